//! What is to be reached, and what was. It is told and not demanded: another machine is another
//! truth.

use serde::Serialize;

use super::client::Scenario;
use super::report::Report;
use super::run::Run;
use super::service::Variant;
use super::table::{self, number};

/// How many connections are full load.
const FULL: u16 = 256;

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
}

impl Reach {
    const fn at_most(
        what: &'static str,
        limit: f64,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        Self { what, unit, at_most: true, limit, measured }
    }

    const fn at_least(what: &'static str, limit: f64, measured: Option<f64>) -> Self {
        Self { what, unit: "", at_most: false, limit, measured }
    }

    fn row(&self) -> Vec<String> {
        let Self { what, unit, at_most, limit, measured } = *self;
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
        ]
    }
}

/// Compares what was measured with what is to be reached.
pub fn compare(report: &Report) -> Vec<Reach> {
    use Scenario::Messages;
    let ours =
        |connections, of: fn(&Run) -> f64| report.median(Messages, connections, Variant::Ours, of);
    let full = |of| ours(FULL, of);
    let per_second = full(|run| run.events_per_second);
    let closed_loop_ms = per_second.map(|per_second| f64::from(FULL) / per_second * 1e3);
    let over = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    vec![
        Reach::at_most(
            "CPU of service and Postgres per event, 256 connections",
            60.0,
            "µs",
            full(|run| run.service_cpu_us + run.postgres_cpu_us),
        ),
        Reach::at_least(
            "events/s, ours ÷ one each, 256 connections",
            12.0,
            report.ratio(Messages, FULL, Variant::OneEach),
        ),
        Reach::at_least(
            "events/s, ours ÷ ceiling, 256 connections",
            0.5,
            report.ratio(Messages, FULL, Variant::Ceiling),
        ),
        Reach::at_most(
            "p99 ÷ (256 ÷ events/s), 256 connections",
            2.0,
            "",
            over(full(|run| run.p99_ms), closed_loop_ms),
        ),
        Reach::at_most(
            "p50 of a lone caller ÷ p50 of a single-row INSERT",
            1.5,
            "",
            over(ours(1, |run| run.p50_ms), report.insert_p50_ms()),
        ),
        Reach::at_least(
            "events/s, 10 million stored ÷ empty, 256 connections",
            0.85,
            over(
                report.median(Scenario::Stored, FULL, Variant::Ours, |run| run.events_per_second),
                per_second,
            ),
        ),
        Reach::at_most("memory under full load", 64.0, "MB", full(|run| run.resident_bytes / 1e6)),
        Reach::at_most(
            "memory when idle",
            20.0,
            "MB",
            report.idle_bytes().map(|bytes| bytes / 1e6),
        ),
        Reach::at_most(
            "disk per message event, all tables and indexes",
            1200.0,
            "B",
            full(|run| run.disk_bytes),
        ),
        Reach::at_most("WAL per message event", 2000.0, "B", full(|run| run.wal_bytes)),
    ]
}

/// All of it as a table.
pub fn table(reach: &[Reach]) -> String {
    let rows: Vec<_> = reach.iter().map(Reach::row).collect();
    table::table(&["reach", "wanted", "measured", ""], &rows)
}
