//! What was measured, as tables and as JSON.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::cases::FUNNEL;
use super::measure::Cost;
use super::table::{number, table};

const HEADER: [&str; 15] = [
    "",
    "small: rows",
    "buffers",
    "p50 ms",
    "p99 ms",
    "big: rows",
    "buffers",
    "p50 ms",
    "p99 ms",
    "÷ small",
    "deep: rows",
    "buffers",
    "p50 ms",
    "p99 ms",
    "÷ first",
];

const EXPLANATION: &str = "\
A line for each question, with the key that asks: of all organisations, of one with 9 of 10 rows, \
with 1 of 100, with 1 of 10,000. First the first page of the small database (100 thousand \
messages), then that of the big one (10 million), then a page deep in the big one: it begins where \
page 10,000 of 10 rows begins, or near the end of a shorter list, and was reached by walking there. \
A page has 50 rows, if there are so many; big is compared with small where both show as many. Times \
are round trips on a kept connection, of 100 answers one after the other; rows are those read from \
tables and indexes, buffers the pages of 8 KiB looked at, by all statements of an answer together.";

/// What one question costs.
#[derive(Serialize)]
pub struct Line {
    pub key: &'static str,
    pub path: &'static str,
    /// The first page, of 100 thousand messages and of 10 million.
    pub small: Cost,
    pub big: Cost,
    /// A page far behind, of 10 million.
    pub deep: Option<Cost>,
    /// Whether it has pages.
    pub is_list: bool,
}

/// One thing to be reached.
#[derive(Serialize)]
struct Reach {
    what: &'static str,
    limit: f64,
    unit: &'static str,
    measured: Option<f64>,
    /// The question with the worst value.
    worst: Option<&'static str>,
}

/// Prints it, and writes it: as JSON to this path, as Markdown beside it.
pub fn write(facts: &[(&str, String)], lines: &[Line], json_path: &Path) -> anyhow::Result<()> {
    let reach = reach(lines);
    let mut text = String::new();
    for (name, value) in facts {
        text += &format!("- {name}: {value}\n");
    }
    let rows: Vec<_> = lines.iter().map(Line::row).collect();
    text += &format!("\n{EXPLANATION}\n\n{}", table(&HEADER, &rows));
    for line in lines {
        // A small table is read whole for good reason.
        let costs = [&line.big].into_iter().chain(&line.deep);
        let mut objections: Vec<&String> = costs.flat_map(|cost| &cost.objections).collect();
        objections.dedup();
        for objection in objections {
            text += &format!("\n- {} `{}`: {objection}", line.key, line.path);
        }
    }
    let rows: Vec<_> = reach.iter().map(Reach::row).collect();
    text +=
        &format!("\n### Reach\n\n{}", table(&["reach", "wanted", "measured", "", "worst"], &rows));
    println!("\n{text}");
    let all = json!({ "facts": facts, "lines": lines, "reach": reach });
    for (path, text) in [
        (json_path.to_owned(), serde_json::to_string_pretty(&all)?),
        (json_path.with_extension("md"), text),
    ] {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

impl Line {
    fn row(&self) -> Vec<String> {
        let cost = |cost: &Cost| {
            let Cost { rows_read, buffers, p50_ms, p99_ms, .. } = cost;
            [number(*rows_read, 0), number(*buffers, 0), number(*p50_ms, 2), number(*p99_ms, 2)]
        };
        let mut row = vec![format!("{} {}", self.key, self.path)];
        row.extend(cost(&self.small));
        row.extend(cost(&self.big));
        let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| number(ratio, 2));
        row.push(ratio(self.big_to_small()));
        row.extend(self.deep.as_ref().map(cost).unwrap_or_default());
        row.push(ratio(self.deep_to_first()));
        row
    }

    fn big_to_small(&self) -> Option<f64> {
        (self.big.shown == self.small.shown).then(|| self.big.p50_ms / self.small.p50_ms)
    }

    fn deep_to_first(&self) -> Option<f64> {
        Some(self.deep.as_ref()?.p50_ms / self.big.p50_ms)
    }
}

fn reach(lines: &[Line]) -> Vec<Reach> {
    let worst = |what, limit, unit, of: &dyn Fn(&Line) -> Option<f64>| {
        let values = lines.iter().filter_map(|line| Some((of(line)?, line.path)));
        let worst = values.max_by(|one, other| one.0.total_cmp(&other.0));
        Reach { what, limit, unit, measured: worst.map(|it| it.0), worst: worst.map(|it| it.1) }
    };
    let list = |line: &Line, value: f64| line.is_list.then_some(value);
    vec![
        worst("any page of a list, 10 million, p99", 10.0, "ms", &|line| {
            list(line, line.deep.iter().fold(line.big.p99_ms, |most, deep| most.max(deep.p99_ms)))
        }),
        worst("page 10,000 ÷ page 1, 10 million, p50", 1.2, "", &Line::deep_to_first),
        worst("10 million ÷ 100 thousand, page 1, p50", 1.5, "", &|line| {
            list(line, line.big_to_small()?)
        }),
        worst("funnel of a broadcast of 100,000, p99", 60.0, "ms", &|line| {
            (line.path == FUNNEL).then_some(line.big.p99_ms)
        }),
    ]
}

impl Reach {
    fn row(&self) -> Vec<String> {
        let show = |value: f64| format!("{} {}", number(value, 2), self.unit).trim_end().to_owned();
        let is_met = self.measured.map(|measured| measured <= self.limit);
        vec![
            self.what.to_owned(),
            format!("≤ {}", show(self.limit)),
            self.measured.map_or_else(|| "not measured".to_owned(), show),
            is_met.map_or("", |is_met| if is_met { "ok" } else { "—" }).to_owned(),
            self.worst.map_or_else(String::new, |path| format!("`{path}`")),
        ]
    }
}
