//! Logging and metrics. No log line contains a body, message text, name, phone number or token.

pub mod fault;
mod json;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::error;
use tracing_subscriber::EnvFilter;

use self::json::JsonLine;
use crate::config::{Log, LogFormat};

/// Starts logging to standard output. A panic is logged by its location only, because its message
/// may quote data.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter: EnvFilter = settings
        .filter
        .parse()
        .with_context(|| format!("log.filter: invalid directive: {}", settings.filter))?;
    // Postgres sends a notice at each start that the migrations table already exists.
    let filter = filter.add_directive("sqlx::postgres::notice=warn".parse()?);
    // A client that resets its streams causes a warning for each.
    let filter = filter.add_directive("h2=error".parse()?);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match settings.format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.event_format(JsonLine).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        error!(location, "panicked");
    }));
    Ok(())
}

/// Installs the metrics recorder and returns the handle that renders `/metrics`. Only the first call
/// in a process has an effect; later handles, as in tests, render nothing.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
    const EVENTS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("batch_size".into()), &EVENTS)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        describe_counter!("events_total", "Committed deliveries by outcome, as in the ledger.");
        describe_counter!("spooled_total", "Deliveries appended to the spool.");
        describe_counter!("replayed_total", "Events replayed.");
        describe_counter!(
            "unknown_names_total",
            "Events, without duplicates, whose name this version does not know."
        );
        describe_counter!(
            "fields_ignored_total",
            "Fields of events, without duplicates, that could not be used, by path."
        );
        describe_counter!("handshakes_total", "Handshake requests (verify_info) answered.");
        describe_counter!("refused_total", "Requests rejected, by HTTP status.");
        describe_counter!("events_unwritten_total", "Events the writer could not store.");
        describe_counter!(
            "batches_split_total",
            "Batches split after rejected data or a lock timeout."
        );
        describe_counter!(
            "batches_retried_total",
            "Batches retried after a serialization failure or deadlock."
        );
        describe_histogram!("batch_size", Unit::Count, "Events per transaction.");
        describe_histogram!("commit_seconds", Unit::Seconds, "Duration of a batch's transaction.");
        describe_gauge!("queue_bytes", Unit::Bytes, "Size of the write queue.");
        describe_gauge!(
            "spool_queue_bytes",
            Unit::Bytes,
            "Size of the queue in front of the spool."
        );
        describe_gauge!("spool_events", Unit::Count, "Webhooks in the spool.");
        describe_gauge!("spool_bytes", Unit::Bytes, "Spool size, as limited by spool.max_bytes.");
        describe_gauge!(
            "spool_oldest_seconds",
            Unit::Seconds,
            "Age of the oldest webhook in the spool."
        );
        describe_gauge!("spool_failed", Unit::Count, "Whether the disk of the spool is unusable.");
        describe_histogram!(
            "spool_commit_seconds",
            Unit::Seconds,
            "Duration of a group commit of the spool."
        );
        describe_counter!("spool_damaged_total", "Damaged or missing files of the spool.");
        describe_counter!("spool_lost_total", "Spooled webhooks that could not be read again.");
        describe_counter!(
            "qontak_requests_total",
            "Calls of Qontak's API by organisation, route and status."
        );
        describe_histogram!(
            "qontak_wait_seconds",
            Unit::Seconds,
            "Waits before calls of Qontak's API, by reason (limit, retry)."
        );
        describe_gauge!(
            "qontak_token_seconds",
            Unit::Seconds,
            "Time until the access token of an organisation expires."
        );
        describe_gauge!(
            "qontak_hook_enabled",
            Unit::Count,
            "Whether an event is switched on at Qontak, as of the last check."
        );
        describe_gauge!(
            "qontak_hook_urls",
            Unit::Count,
            "How often the webhook URL is registered in a category; should be 1."
        );
        describe_gauge!(
            "qontak_check_failed",
            Unit::Count,
            "Whether the last check of Qontak failed."
        );
        describe_counter!(
            "qontak_missing_total",
            "Rows that Qontak had and this service lacked, by organisation and kind."
        );
        describe_counter!(
            "qontak_changed_total",
            "Rows of which this service lacked a value that Qontak had, by organisation and kind."
        );
        describe_gauge!("connections", Unit::Count, "Open client connections.");
        describe_gauge!(
            "connections_anonymous",
            Unit::Count,
            "Those of which no request carried a valid token or key."
        );
        describe_counter!(
            "connections_evicted_total",
            "Connections without a valid token or key closed to make room for new ones."
        );
        describe_counter!(
            "connections_flooded_total",
            "HTTP/2 connections closed for too many control frames."
        );
        describe_counter!(
            "connections_refused_total",
            "Connections rejected above http.max_connections."
        );
    }
    Ok(handle)
}
