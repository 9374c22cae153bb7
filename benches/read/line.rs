//! What one question costs, as a line of the table.

use serde::Serialize;

use super::cases::FUNNEL;
use super::measure::Cost;
use crate::report::{self, Reach, number};

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
are round trips on a kept connection, of 100 answers one after the other (50 of the small database, or of what is no list); \
rows are those read from tables and indexes, buffers the pages of 8 KiB looked at, by all statements of \
an answer together.";

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

/// A line for each, and what is wrong with the plans.
pub fn table(lines: &[Line]) -> String {
    let rows: Vec<_> = lines.iter().map(Line::row).collect();
    let mut text = format!("{EXPLANATION}\n\n{}", report::table(&HEADER, &rows));
    for line in lines {
        // A small table is read whole for good reason.
        let costs = [&line.big].into_iter().chain(&line.deep);
        let mut objections: Vec<&String> = costs.flat_map(|cost| &cost.objections).collect();
        objections.dedup();
        for objection in objections {
            text += &format!("\n- {} `{}`: {objection}\n", line.key, line.path);
        }
    }
    text
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

/// What is to be reached, and what was.
pub fn reach(lines: &[Line]) -> Vec<Reach> {
    let values = |of: fn(&Line) -> Option<f64>| {
        lines.iter().filter_map(move |line| Some((of(line)?, line.path)))
    };
    let page_p99 = |line: &Line| {
        let pages = [&line.big].into_iter().chain(&line.deep);
        line.is_list.then(|| pages.fold(0.0, |most: f64, page| most.max(page.p99_ms)))
    };
    vec![
        Reach::worst("any page of a list, 10 million, p99", 10.0, "ms", values(page_p99)),
        Reach::worst("page 10,000 ÷ page 1, 10 million, p50", 1.2, "", values(Line::deep_to_first)),
        Reach::worst(
            "10 million ÷ 100 thousand, page 1, p50",
            1.5,
            "",
            values(|line| line.big_to_small().filter(|_| line.is_list)),
        ),
        Reach::worst(
            "funnel of a broadcast of 100,000, p99",
            60.0,
            "ms",
            values(|line| (line.path == FUNNEL).then_some(line.big.p99_ms)),
        ),
    ]
}
