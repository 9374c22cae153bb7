//! Results of a write.

use std::fmt;
use std::time::{Duration, Instant};

use metrics::counter;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{drift, kinds};
use crate::event::{Event, Kind, Outcome};
use crate::ingest::activity::Activity;
use crate::model::EventId;
use crate::store::{PreviousOutcome, Stored, Written};

/// Result of storing an event; serialised as the webhook response.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Id of the event in the journal; for a duplicate that of the first delivery.
    pub event_id: EventId,
    /// For a duplicate that of the first delivery.
    #[serde(serialize_with = "outcome_or_spooled")]
    #[schema(value_type = ReceiptOutcome)]
    pub outcome: Option<Outcome>,
    /// Whether the same event was delivered before; always false for `spooled`.
    pub duplicate: bool,
    /// What was not understood; absent if there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub reasons: Vec<String>,
    /// Kind of the event; `None` if it could not be determined. For the log.
    #[serde(skip)]
    pub kind: Option<Kind>,
    /// Number of events in the transaction. For the log.
    #[serde(skip)]
    pub batch_size: usize,
    /// Begin and end of the transaction; `None` for a spooled event. For metrics and traces.
    #[serde(skip)]
    pub transaction: Option<(Instant, Instant)>,
    /// Outcome before a replay.
    #[serde(skip)]
    pub before: Option<PreviousOutcome>,
}

/// Result of a webhook. `spooled`: stored on disk or in NATS, written when the database is available.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum ReceiptOutcome {
    Applied,
    Recorded,
    Quarantined,
    Malformed,
    Spooled,
}

impl Receipt {
    pub(super) fn new(
        event: &Event,
        row: Stored,
        batch_size: usize,
        transaction: (Instant, Instant),
        activity: &Activity,
    ) -> Self {
        count(&row);
        let duplicate = matches!(row.written, Written::Duplicate);
        if matches!(row.written, Written::First) {
            drift::observe(event);
            kinds::observe(event);
            activity.observe(event);
        }
        let before = match row.written {
            Written::Replay(before) => Some(before),
            _ => None,
        };
        Self {
            event_id: row.event_id,
            outcome: Some(row.outcome),
            duplicate,
            reasons: event.reasons.clone(),
            kind: event.kind,
            batch_size,
            transaction: Some(transaction),
            before,
        }
    }

    /// Receipt of an event that goes to the spool.
    pub fn spooled(event: &Event) -> Self {
        // A malformed body never becomes valid, so the sender gets the 400 at once.
        let is_malformed = event.outcome == Outcome::Malformed;
        Self {
            event_id: event.id(),
            outcome: is_malformed.then_some(Outcome::Malformed),
            duplicate: false,
            reasons: event.reasons.clone(),
            kind: event.kind,
            batch_size: 0,
            transaction: None,
            before: None,
        }
    }

    /// The outcome in one word.
    pub fn outcome(&self) -> &'static str {
        self.outcome.map_or("spooled", Outcome::as_str)
    }
}

/// Counts an event as the ledger does.
fn count(row: &Stored) {
    let outcome = match row.written {
        Written::First => row.outcome.as_str(),
        Written::Duplicate => "duplicate",
        Written::AlreadyCommitted => return,
        Written::Replay(_) => {
            counter!("qontak_receiver_replayed_total").increment(1);
            return;
        }
    };
    counter!("qontak_receiver_events_total", "outcome" => outcome).increment(1);
}

fn outcome_or_spooled<S: Serializer>(
    outcome: &Option<Outcome>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.map_or("spooled", Outcome::as_str))
}

/// The event was not stored, or may not have been; the sender should retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue holds as many bytes as allowed.
    #[error("write queue is full ({}), retry later", Size(*max_bytes))]
    QueueFull {
        /// Maximum size of the queue.
        max_bytes: usize,
    },
    /// No result within the timeout. The write may still succeed.
    #[error(
        "write timed out after {0:?}; the event may still be stored, a retry is recognised as a \
         duplicate"
    )]
    TimedOut(Duration),
    /// Neither the database nor the spool could store the event.
    #[error("storage unavailable, retry later")]
    StorageUnavailable,
}

/// A number of bytes, shown in MiB if it is a whole number of them.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: usize = 1 << 20;
        match self.0 {
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{} MiB", bytes / MIB),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_errors_state_the_limit() {
        let full = |max_bytes| WriteError::QueueFull { max_bytes }.to_string();
        assert_eq!(full(32 << 20), "write queue is full (32 MiB), retry later");
        assert_eq!(full(65_536), "write queue is full (65536 bytes), retry later");
        let timed_out = WriteError::TimedOut(Duration::from_millis(1400)).to_string();
        assert!(timed_out.starts_with("write timed out after 1.4s; "), "{timed_out}");
    }
}
