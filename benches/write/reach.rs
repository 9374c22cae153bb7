//! What is to be reached, and what was.

use super::client::Scenario;
use super::results::{Cell, Results, median};
use super::run::Run;
use super::service::Variant;
use crate::report::Reach;

/// How many connections are full load.
const FULL: u16 = 256;

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
