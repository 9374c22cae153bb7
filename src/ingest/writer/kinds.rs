//! Counts events by kind and by endpoint, and measures how old they are.

use std::sync::{LazyLock, OnceLock};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use strum::VariantNames;

use crate::event::{BACKFILL, Event, Kind};
use crate::model::Timestamp;

/// Metrics that every event changes. Found once: finding them costs some allocations.
static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let of_kind = |kind: &&'static str| {
        let counter = counter!("qontak_receiver_events_by_kind_total", "kind" => *kind);
        (counter, gauge!("qontak_receiver_last_event_timestamp_seconds", "kind" => *kind))
    };
    Metrics {
        kinds: Kind::VARIANTS.iter().map(of_kind).collect(),
        age: histogram!("qontak_receiver_event_age_seconds"),
    }
});

/// A counter of each endpoint of the settings, and of backfills.
static ENDPOINTS: OnceLock<Vec<(String, Counter)>> = OnceLock::new();

struct Metrics {
    /// By number of the kind.
    kinds: Vec<(Counter, Gauge)>,
    age: Histogram,
}

/// Makes the metrics visible before the first event.
pub fn register<'a>(endpoints: impl Iterator<Item = &'a String>) {
    for (counter, gauge) in &METRICS.kinds {
        counter.increment(0);
        gauge.increment(0.0);
    }
    let endpoints = endpoints.map(String::as_str).chain([BACKFILL]);
    let counters = endpoints.map(|endpoint| (endpoint.to_owned(), of_endpoint(endpoint)));
    for (_, counter) in ENDPOINTS.get_or_init(|| counters.collect()) {
        counter.increment(0);
    }
}

/// Records an event that was committed for the first time.
pub fn observe(event: &Event) {
    let received_at = event.received_at();
    if let Some((counter, last)) = event.kind.and_then(|kind| METRICS.kinds.get(kind as usize)) {
        counter.increment(1);
        last.set(seconds(received_at));
    }
    let endpoint = &*event.webhook.endpoint;
    let mut counters = ENDPOINTS.get().into_iter().flatten();
    match counters.find(|(name, _)| name == endpoint) {
        Some((_, counter)) => counter.increment(1),
        // Of the spool or of a replay: the endpoint has been removed from the settings.
        None => of_endpoint(endpoint).increment(1),
    }
    // Other events show messages that are older.
    let is_new = matches!(
        event.kind,
        Some(Kind::ReceiveMessageFromCustomer | Kind::ReceiveMessageFromAgent)
    );
    if is_new
        && endpoint != BACKFILL
        && let Some(created_at) = event.changes.messages.first().and_then(|it| it.created_at)
    {
        // Qontak's clock may be ahead.
        METRICS.age.record((seconds(received_at) - seconds(created_at)).max(0.0));
    }
}

fn of_endpoint(endpoint: &str) -> Counter {
    counter!("qontak_receiver_events_by_endpoint_total", "endpoint" => endpoint.to_owned())
}

fn seconds(time: Timestamp) -> f64 {
    time.0.timestamp_millis() as f64 / 1e3
}
