//! Logging and metrics. No log line contains a body, message text, name, phone number or token.

pub mod catalog;
pub mod fault;
mod json;
pub mod process;

use std::io::Write;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::error;
use tracing_subscriber::EnvFilter;

use self::json::JsonLine;
use crate::config::{Log, LogFormat};

/// Git revision of this build, from the variable `REVISION` at compile time; otherwise `unknown`.
pub const REVISION: &str = match option_env!("REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Starts logging to standard output. A panic is logged by its location only, because its message
/// may quote data.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter: EnvFilter = settings.filter.0.parse().context("log.filter: invalid")?;
    // Postgres sends a notice at each start that the migrations table already exists.
    let filter = filter.add_directive("sqlx::postgres::notice=warn".parse()?);
    // A client that resets its streams causes a warning for each.
    let filter = filter.add_directive("h2=error".parse()?);
    // Each attempt to connect causes several lines. The spool logs what matters.
    let filter = filter.add_directive("async_nats=off".parse()?);
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

/// Prints an error as a JSON line of the log, which may not have been started.
pub fn print_error(message: &str, error: &anyhow::Error) {
    let timestamp = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let error = format!("{error:#}");
    let line = serde_json::json!({
        "timestamp": timestamp, "level": "ERROR", "message": message, "error": error,
    });
    // Nobody is left to tell if the output is closed.
    _ = writeln!(std::io::stdout(), "{line}");
}

/// Installs the metrics recorder and returns the handle that renders `/metrics`. Only the first call
/// in a process has an effect; later handles, as in tests, render nothing.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
    const EVENTS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    const AGES: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("qontak_receiver_batch_size".into()), &EVENTS)?
        .set_buckets_for_metric(Matcher::Full("qontak_receiver_event_age_seconds".into()), &AGES)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        catalog::register();
        process::started();
        process::measure();
    }
    Ok(handle)
}
