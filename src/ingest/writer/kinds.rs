//! Counts events by kind, and remembers when each kind came last.

use std::sync::LazyLock;

use metrics::{Counter, Gauge, counter, gauge};
use strum::VariantNames;

use crate::event::Kind;
use crate::model::Timestamp;

/// Metrics of each kind, by its number. Found once: finding them costs some allocations.
static KINDS: LazyLock<Vec<(Counter, Gauge)>> = LazyLock::new(|| {
    let metrics = |kind: &&'static str| {
        let counter = counter!("qontak_receiver_events_by_kind_total", "kind" => *kind);
        (counter, gauge!("qontak_receiver_last_event_timestamp_seconds", "kind" => *kind))
    };
    Kind::VARIANTS.iter().map(metrics).collect()
});

/// Makes the metrics visible before the first event.
pub fn register() {
    for (counter, gauge) in &*KINDS {
        counter.increment(0);
        gauge.increment(0.0);
    }
}

/// Records an event that was committed for the first time.
pub fn observe(kind: Kind, received_at: Timestamp) {
    if let Some((counter, last)) = KINDS.get(kind as usize) {
        counter.increment(1);
        last.set(received_at.0.timestamp_millis() as f64 / 1e3);
    }
}
