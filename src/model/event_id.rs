//! Ids of events.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Timestamp;

/// A UUIDv7 with the time of receipt, so that the id determines the partition of the journal.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    sqlx::Type,
    ToSchema,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// Generates an id for an event received at `received_at`.
    pub fn next(received_at: Timestamp) -> Self {
        let seconds = received_at.0.timestamp().max(0).unsigned_abs();
        let nanos = received_at.0.timestamp_subsec_nanos();
        // The 12 bits after the milliseconds are a fraction of a millisecond, so that events sort
        // by time of receipt. The rest is random.
        let fraction = u128::from(nanos % 1_000_000) * 4096 / 1_000_000;
        Self(Uuid::new_v7(uuid::Timestamp::from_unix_time(seconds, nanos, fraction, 12)))
    }

    /// The id of bytes without one: the same for the same bytes and time.
    pub fn of_bytes(received_at: Timestamp, bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let (random, _) = digest.split_first_chunk().expect("32 bytes");
        let random = u64::from_be_bytes(*random) >> 2;
        Self(Uuid::from_u128(Self::first(received_at).0.as_u128() | u128::from(random)))
    }

    /// The least id of an event received at this time or later.
    pub fn first(received_at: Timestamp) -> Self {
        let micros = received_at.0.timestamp_micros().max(0).unsigned_abs();
        let fraction = u128::from(micros % 1000) * 4096 / 1000;
        // Milliseconds, version 7, fraction and variant, as in `next`.
        let bits = u128::from(micros / 1000) << 80 | 7 << 76 | fraction << 64 | 2 << 62;
        Self(Uuid::from_u128(bits))
    }

    /// The id after this one in the order of ids.
    pub const fn next_id(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().saturating_add(1)))
    }

    /// Time of receipt, to the millisecond; `None` if the id is no UUIDv7.
    pub fn received_at(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        chrono::DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos).map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse().unwrap())
    }

    #[test]
    fn event_id_contains_the_time_of_receipt() {
        let received_at = at("2025-06-12T02:15:03.123Z");
        assert_eq!(EventId::next(received_at).received_at(), Some(received_at));
    }

    #[test]
    fn ids_of_one_millisecond_sort_by_time_of_receipt() {
        let micros = |micros| EventId::next(at(&format!("2025-06-12T02:15:03.123{micros:03}Z")));
        let ids: Vec<EventId> = (0..1000).map(micros).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[999].received_at(), Some(at("2025-06-12T02:15:03.123Z")));
        assert_ne!(micros(0), micros(0));
    }

    #[test]
    fn first_id_is_between_the_ids_of_its_time_and_of_the_microsecond_before() {
        for micros in [0, 1, 500, 999] {
            let time = at("2025-06-12T02:15:03.123Z");
            let time = Timestamp(time.0 + chrono::TimeDelta::microseconds(micros));
            let before = Timestamp(time.0 - chrono::TimeDelta::microseconds(1));
            let first = EventId::first(time);
            assert!(EventId::next(before) < first && first <= EventId::next(time), "{micros}");
        }
    }
}
