//! Statistics, Markdown tables and targets.

use std::fs;

use sqlx::{Connection, PgConnection};

/// Prints the machine and its Postgres, the tables and the targets.
pub async fn print(database_url: &str, tables: &str, targets: &[Target]) -> anyhow::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let settings: String = sqlx::query_scalar(
        "select string_agg(name || ' ' || current_setting(name), ', ' order by name)
         from pg_settings
         where name in ('server_version', 'shared_buffers', 'checkpoint_timeout', 'max_wal_size')",
    )
    .fetch_one(&mut PgConnection::connect(database_url).await?)
    .await?;
    println!("- CPU{}, {cores} cores, shared by client, service and Postgres", cpu.trim_start());
    println!("- Linux {}\n- Postgres: {settings}\n\n{tables}\n### Targets\n", kernel.trim());
    let rows: Vec<_> = targets.iter().map(Target::row).collect();
    print!("{}", table(&["", "target", "measured", "result"], &rows));
    Ok(())
}

/// A limit for one result. A miss is reported but is no failure: results depend on the machine.
pub struct Target {
    what: &'static str,
    limit: f64,
    is_minimum: bool,
    /// NaN if it was not measured.
    measured: f64,
    /// The case that was measured, if it is the worst of several.
    worst: &'static str,
}

impl Target {
    pub const fn at_most(what: &'static str, limit: f64, measured: f64) -> Self {
        Self { what, limit, is_minimum: false, measured, worst: "" }
    }

    pub const fn at_least(what: &'static str, limit: f64, measured: f64) -> Self {
        Self { is_minimum: true, ..Self::at_most(what, limit, measured) }
    }

    /// The highest of several values must be at most `limit`.
    pub fn worst(
        what: &'static str,
        limit: f64,
        values: impl Iterator<Item = (f64, &'static str)>,
    ) -> Self {
        let highest = values.filter(|value| !value.0.is_nan()).max_by(|a, b| a.0.total_cmp(&b.0));
        let (measured, worst) = highest.unwrap_or((f64::NAN, ""));
        Self { worst, ..Self::at_most(what, limit, measured) }
    }

    fn row(&self) -> Vec<String> {
        let Self { what, limit, is_minimum, measured, worst } = *self;
        let is_met = if is_minimum { measured >= limit } else { measured <= limit };
        let result = if is_met { "met" } else { "missed" };
        let result = if measured.is_nan() { "not measured" } else { result };
        vec![
            what.to_owned(),
            format!("{} {}", if is_minimum { "≥" } else { "≤" }, number(limit)),
            format!("{} {worst}", number(measured)).trim().to_owned(),
            result.to_owned(),
        ]
    }
}

/// A Markdown table with padded columns: the first left-aligned, the others right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.chain([header[column].chars().count(), 3]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<String>| {
        let pad = |(column, cell): (usize, &String)| match (column, widths[column]) {
            (0, width) => format!("{cell:<width$}"),
            (_, width) => format!("{cell:>width$}"),
        };
        format!("| {} |\n", cells.iter().enumerate().map(pad).collect::<Vec<_>>().join(" | "))
    };
    let mut rule: Vec<_> = widths.iter().map(|width| "-".repeat(width - 1) + ":").collect();
    rule[0] = "-".repeat(widths[0]);
    let text = line(header.iter().map(|&name| name.to_owned()).collect()) + &line(rule);
    rows.iter().fold(text, |text, row| text + &line(row.clone()))
}

/// A number with two digits after the point, or none from 100 on; empty if it is NaN.
pub fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => String::new(),
        _ if value.abs() < 100.0 && value.fract() != 0.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// The median; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => f64::midpoint(values[(count - 1) / 2], values[count / 2]),
    }
}
