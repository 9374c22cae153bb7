//! The results as tables.

use super::client::Scenario;
use super::results::{Cell, Results};
use super::rounds::CONNECTIONS;
use super::run::Run;
use super::service::Variant;
use crate::report::{number, table};

const EXPLANATION: &str = "\
Services take turns: *ours*, with its default settings; *no search*, the same without the indexes of \
search; *one each*, the same server, door and reading, with a transaction for each event, 16 at a \
time; and the *ceiling*, which drops the event once it is read. As many connections as it says, each with one event at a \
time. CPU is microseconds of each process per event, from /proc; memory is the most that the \
service had. After a checkpoint each page that is touched goes into the WAL as a whole, once; there is \
no checkpoint between the cells, and each page of the indexes of 10 million messages was touched \
before, so *its pages* in the WAL become few, as they are most of the time where checkpoints are half an \
hour apart. With 256 connections ours is sent the broadcast as a whole, in one round; in all other \
cells as much as there is time for. Disk is what all tables and indexes grew by, per \
event in the journal; everything else is per delivery that was acknowledged. Medians of all rounds, \
ratios of each round by itself. Logs are written to /dev/null.";

const HEADER: [&str; 14] = [
    "service",
    "connections",
    "events/s",
    "p50 ms",
    "p99 ms",
    "service µs",
    "Postgres µs",
    "client µs",
    "memory MB",
    "WAL B",
    "its pages B",
    "disk B",
    "÷ ceiling",
    "÷ one each",
];

/// A table for each scenario.
pub fn all(results: &Results) -> String {
    let mut text = format!("{EXPLANATION}\n");
    for scenario in Scenario::ALL {
        let cells = CONNECTIONS.into_iter().flat_map(|connections| {
            Variant::ALL.map(|variant| Cell { scenario, connections, variant })
        });
        let rows: Vec<_> = cells.filter_map(|cell| row(results, cell)).collect();
        if !rows.is_empty() {
            text += &format!("\n### {scenario}\n\n{}", table(&HEADER, &rows));
        }
    }
    text
}

/// A line of a table; `None` if it was not measured.
fn row(results: &Results, cell: Cell) -> Option<Vec<String>> {
    let median = |of: fn(&Run) -> f64, digits| Some(number(results.median(cell, of)?, digits));
    let stored = |of, digits| match cell.variant {
        Variant::Ceiling => Some(String::new()),
        Variant::Ours | Variant::NoSearch | Variant::OneEach => median(of, digits),
    };
    let ratio = |variant| match cell.variant {
        Variant::Ours => results.ratio(cell, Cell { variant, ..cell }),
        _ => None,
    };
    let ratio = |variant| ratio(variant).map_or_else(String::new, |ratio| number(ratio, 2));
    Some(vec![
        cell.variant.as_str().to_owned(),
        cell.connections.to_string(),
        median(|run| run.events_per_second, 0)?,
        median(|run| run.p50_ms, 2)?,
        median(|run| run.p99_ms, 2)?,
        median(|run| run.service_cpu_us, 1)?,
        median(|run| run.postgres_cpu_us, 1)?,
        median(|run| run.client_cpu_us, 1)?,
        median(|run| run.resident_bytes / 1e6, 1)?,
        stored(|run| run.wal_bytes, 0)?,
        stored(|run| run.wal_page_bytes.unwrap_or(f64::NAN), 0)?,
        stored(|run| run.disk_bytes, 0)?,
        ratio(Variant::Ceiling),
        ratio(Variant::OneEach),
    ])
}
