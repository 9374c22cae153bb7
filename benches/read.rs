//! Benchmark of reading: every list and resource of the API, on a small and on a large database.

mod cases;
mod explain;
mod measure;

use clap::Args;

use self::cases::{CASES, Case, FUNNEL, Shape};
use self::explain::Plans;
use self::measure::{Cost, Database};
use crate::report::{self, Target, number, table};

const HEADER: &str = "|small: rows|buffers|p50 ms|p99 ms|big: rows|buffers|p50 ms|p99 ms|÷ small|\
    deep: rows|buffers|p50 ms|p99 ms|÷ first";

const EXPLANATION: &str = "\
Each request with its API key: `all` sees all organisations, `large` 9 of 10 rows, `small` 1 of 100, \
`tiny` 1 of 10,000. *small* is the first page with 100 thousand messages, *big* the first page with 10 \
million, *deep* a page of the latter after 99,990 rows, or near the end of a shorter list. A page has up \
to 50 rows; big is compared with small if both return the same number. Times are of 100 sequential round \
trips on one connection. Rows read from tables and indexes, and buffers of 8 KiB accessed, are per \
response.";

#[derive(Args)]
pub struct Arguments {
    /// Database with 100 thousand messages from `benches/fill/`, as a superuser.
    #[arg(long)]
    small: String,
    /// Database with 10 million messages.
    #[arg(long)]
    big: String,
    /// Measure only requests whose path contains this text.
    #[arg(long, default_value = "")]
    only: String,
}

struct Row {
    case: &'static Case,
    small: Cost,
    big: Cost,
    deep: Option<Cost>,
}

/// Runs the benchmark.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plans = Plans::default();
    tracing::subscriber::set_global_default(plans.subscriber())?;
    let small = Database::open(&arguments.small).await?;
    let big = Database::open(&arguments.big).await?;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.path.contains(&arguments.only)) {
        eprintln!("{} {}", case.key, case.path);
        let deep = match big.deep_page(case).await? {
            Some(path) => Some(big.measure(case, &[path], &plans).await?),
            None => None,
        };
        let small = small.measure(case, &case.paths(&small.ids), &plans).await?;
        let big = big.measure(case, &case.paths(&big.ids), &plans).await?;
        // Each contact has one room, so no room has earlier ones.
        let is_empty = case.path.contains("/histories");
        anyhow::ensure!(big.returned > 0 || is_empty, "{}: no rows", case.path);
        rows.push(Row { case, small, big, deep });
    }
    report::print(&arguments.big, &tables(&rows), &targets(&rows)).await
}

/// A row for each request, then the plans that read or sort too much.
fn tables(rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let header: Vec<_> = HEADER.split('|').collect();
    let mut text = format!("{EXPLANATION}\n\n{}", table(&header, &cells));
    for Row { case, big, deep, .. } in rows {
        // Sequential scans of the small database are right.
        let deep = deep.iter().flat_map(|deep| &deep.objections);
        for objection in big.objections.iter().chain(deep) {
            text += &format!("\n- {} `{}`: {objection}\n", case.key, case.path);
        }
    }
    text
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let cells =
            |cost: &Cost| [cost.rows_read, cost.buffers, cost.p50_ms, cost.p99_ms].map(number);
        let mut row = vec![format!("{} {}", self.case.key, self.case.path)];
        row.extend(cells(&self.small));
        row.extend(cells(&self.big));
        row.push(number(self.big_to_small()));
        row.extend(self.deep.as_ref().map(cells).unwrap_or_default());
        row.push(number(self.deep_to_first()));
        row
    }

    fn big_to_small(&self) -> f64 {
        let is_comparable = self.big.returned == self.small.returned;
        if is_comparable { self.big.p50_ms / self.small.p50_ms } else { f64::NAN }
    }

    fn deep_to_first(&self) -> f64 {
        self.deep.as_ref().map_or(f64::NAN, |deep| deep.p50_ms / self.big.p50_ms)
    }
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let worst = |what, limit, is_included: fn(&Case) -> bool, value: fn(&Row) -> f64| {
        let rows = rows.iter().filter(|row| is_included(row.case));
        Target::worst(what, limit, rows.map(|row| (value(row), row.case.path)))
    };
    let list = |case: &Case| matches!(case.shape, Shape::List | Shape::LongList);
    let funnel = |case: &Case| case.path == FUNNEL;
    let p99 = |row: &Row| row.deep.as_ref().map_or(0.0, |deep| deep.p99_ms).max(row.big.p99_ms);
    vec![
        worst("any page of a list, 10 million, p99 ms", 10.0, list, p99),
        worst("page 10,000 ÷ page 1, 10 million, p50", 1.2, list, Row::deep_to_first),
        worst("10 million ÷ 100 thousand, page 1, p50", 1.5, list, Row::big_to_small),
        worst("funnel of a broadcast to 100,000, p99 ms", 60.0, funnel, p99),
    ]
}
