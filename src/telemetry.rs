//! Logs and metrics, on. No log line holds a body, a text, a name, a number or a token.

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard output. A panic is logged by its place: its text may quote data.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter: EnvFilter = settings
        .filter
        .parse()
        .with_context(|| format!("log.filter: cannot be read: {}", settings.filter))?;
    // Postgres tells that a table of the migrations exists already: nobody asked.
    let filter = filter.add_directive("sqlx::postgres::notice=warn".parse()?);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match settings.format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        error!(place, "panicked");
    }));
    Ok(())
}

/// Starts counting; the handle renders what `/metrics` shows. Starting again, as tests do, gives
/// a handle that shows nothing.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
    const EVENTS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("batch_size".into()), &EVENTS)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        let counted = "Deliveries by outcome; a spooled one again when it is committed.";
        describe_counter!("events_total", counted);
        describe_counter!("handshakes_total", "Handshakes answered.");
        describe_counter!("refused_total", "Requests refused, by status.");
        describe_counter!("events_unwritten_total", "Events that a transaction did not store.");
        describe_counter!("batches_split_total", "Batches split, for refused data or a lock.");
        describe_counter!("batches_retried_total", "Batches written again after a lost race.");
        describe_histogram!("batch_size", Unit::Count, "Events in one transaction.");
        describe_histogram!("commit_seconds", Unit::Seconds, "From a batch's begin to its commit.");
        describe_gauge!("queue_bytes", Unit::Bytes, "What waits for a commit.");
        describe_gauge!("spool_queue_bytes", Unit::Bytes, "What waits to be put into the spool.");
        describe_gauge!("spool_events", Unit::Count, "Webhooks in the spool.");
        describe_gauge!("spool_bytes", Unit::Bytes, "What they count towards spool.max_bytes.");
        describe_gauge!("spool_oldest_seconds", Unit::Seconds, "Age of the first of them.");
        describe_gauge!("connections", Unit::Count, "Connections of webhooks and the API.");
        describe_counter!("connections_refused_total", "Those above http.max_connections.");
    }
    Ok(handle)
}
