//! What is to be reached, and what was. It is told and not demanded: another machine is another
//! truth.

use serde::Serialize;

use super::table::{number, table};

/// One thing to be reached.
#[derive(Serialize)]
pub struct Reach {
    what: &'static str,
    unit: &'static str,
    /// Whether less is better.
    at_most: bool,
    limit: f64,
    /// `None` if a part of the benchmark was left out.
    measured: Option<f64>,
    /// Which of many is the worst, and was measured.
    worst: Option<&'static str>,
}

impl Reach {
    pub const fn at_most(
        what: &'static str,
        limit: f64,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        Self { what, unit, at_most: true, limit, measured, worst: None }
    }

    pub const fn at_least(what: &'static str, limit: f64, measured: Option<f64>) -> Self {
        Self { what, unit: "", at_most: false, limit, measured, worst: None }
    }

    /// The most of many.
    pub fn worst(
        what: &'static str,
        limit: f64,
        unit: &'static str,
        of: impl Iterator<Item = (f64, &'static str)>,
    ) -> Self {
        let (measured, worst) = of.max_by(|one, other| one.0.total_cmp(&other.0)).unzip();
        Self { worst, ..Self::at_most(what, limit, unit, measured) }
    }

    fn row(&self) -> Vec<String> {
        let Self { what, unit, at_most, limit, measured, worst } = *self;
        let show = |value: f64| {
            let digits = if value.abs() < 100.0 && value.fract() != 0.0 { 2 } else { 0 };
            format!("{} {unit}", number(value, digits)).trim_end().to_owned()
        };
        let is_met = |value: f64| if at_most { value <= limit } else { value >= limit };
        vec![
            what.to_owned(),
            format!("{} {}", if at_most { "≤" } else { "≥" }, show(limit)),
            measured.map_or_else(|| "not measured".to_owned(), show),
            measured.map_or("", |value| if is_met(value) { "ok" } else { "—" }).to_owned(),
            worst.map_or_else(String::new, |worst| format!("`{worst}`")),
        ]
    }
}

/// All of them; where none is the worst of many, without that column.
pub fn as_table(all: &[Reach]) -> String {
    let columns = if all.iter().any(|reach| reach.worst.is_some()) { 5 } else { 4 };
    let rows: Vec<_> = all.iter().map(|reach| reach.row()[..columns].to_vec()).collect();
    table(&["reach", "wanted", "measured", "", "worst"][..columns], &rows)
}
