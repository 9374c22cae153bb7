//! What is to be reached, and what was. It is told and not demanded: another machine is another
//! truth.

use serde::Serialize;

use super::client::Scenario;
use super::results::{Cell, Results, median};
use super::run::Run;
use super::service::Variant;
use super::table::number;

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

    /// A line of the table.
    pub fn row(&self) -> Vec<String> {
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
pub fn compare(results: &Results) -> Vec<Reach> {
    let messages =
        |connections, variant| Cell { scenario: Scenario::Messages, connections, variant };
    let ours = messages(FULL, Variant::Ours);
    let full = |of: fn(&Run) -> f64| results.median(ours, of);
    let lone = results.runs(messages(1, Variant::Ours)).iter().zip(&results.insert_p50_ms);
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
            results.ratio(ours, messages(FULL, Variant::OneEach)),
        ),
        Reach::at_least(
            "events/s, ours ÷ ceiling, 256 connections",
            0.5,
            results.ratio(ours, messages(FULL, Variant::Ceiling)),
        ),
        Reach::at_most(
            "p99 ÷ (256 ÷ events/s), 256 connections",
            2.0,
            "",
            full(|run| run.p99_ms / (f64::from(FULL) / run.events_per_second * 1e3)),
        ),
        Reach::at_most(
            "p50 of a lone caller ÷ p50 of a single-row INSERT",
            1.5,
            "",
            median(lone.map(|(run, insert_p50_ms)| run.p50_ms / insert_p50_ms)),
        ),
        Reach::at_least(
            "events/s, 10 million stored ÷ empty, 256 connections",
            0.85,
            results.ratio(Cell { scenario: Scenario::Stored, ..ours }, ours),
        ),
        Reach::at_least(
            "events/s, with search ÷ without, 256 connections",
            0.85,
            results.ratio(ours, messages(FULL, Variant::NoSearch)),
        ),
        Reach::at_most("memory under full load", 64.0, "MB", full(|run| run.resident_bytes / 1e6)),
        Reach::at_most(
            "memory when idle",
            20.0,
            "MB",
            median(results.idle_bytes.iter().map(|bytes| bytes / 1e6)),
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
