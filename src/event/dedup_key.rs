//! The key that recognises repeated deliveries.

use sha2::{Digest, Sha256};

use super::Kind;
use crate::model::Timestamp;

/// SHA-256 of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyHash(pub [u8; 32]);

impl BodyHash {
    /// Hashes a body.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// Lower-case hex.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 128 bits, which break ties of a [`FoldKey`](crate::model::FoldKey).
    pub fn tie(self) -> u128 {
        u128::from_be_bytes(std::array::from_fn(|i| self.0[i]))
    }
}

/// Key that is equal for deliveries of the same event; unique within a day of the journal.
///
/// Half of a SHA-256: with a billion deliveries per day, two bodies collide once in 10^20 days. A
/// whole one would cost 32 more bytes per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey(pub [u8; 16]);

impl DedupKey {
    /// Period in which equal bodies without a time are the same event.
    const WINDOW_SECONDS: i64 = 600;

    /// Hashes endpoint and body; for kinds that may repeat, also the ten minutes of receipt.
    pub fn new(endpoint: &str, hash: BodyHash, kind: Option<Kind>, received_at: Timestamp) -> Self {
        let mut digest = Sha256::new();
        digest.update(endpoint);
        digest.update([0]);
        digest.update(hash.0);
        if kind.is_some_and(Kind::may_repeat) {
            let window = received_at.0.timestamp().div_euclid(Self::WINDOW_SECONDS);
            digest.update(window.to_be_bytes());
        }
        let hash = digest.finalize();
        Self(std::array::from_fn(|i| hash[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse().unwrap())
    }

    #[test]
    fn equal_bodies_with_a_time_have_one_key_all_day() {
        let key = |time| {
            DedupKey::new("qontak", BodyHash::of(b"{}"), Some(Kind::StatusMessage), at(time))
        };
        assert_eq!(key("2025-06-12T02:00:00Z"), key("2025-06-12T22:00:00Z"));
    }

    #[test]
    fn equal_bodies_without_a_time_have_one_key_for_ten_minutes() {
        let key = |time| {
            DedupKey::new("qontak", BodyHash::of(b"{}"), Some(Kind::AvailableUserStatus), at(time))
        };
        assert_eq!(key("2025-06-12T02:00:00Z"), key("2025-06-12T02:09:59Z"));
        assert_ne!(key("2025-06-12T02:00:00Z"), key("2025-06-12T02:10:00Z"));
    }

    #[test]
    fn equal_bodies_at_two_endpoints_have_two_keys() {
        let key = |endpoint| {
            let hash = BodyHash::of(b"{}");
            DedupKey::new(endpoint, hash, Some(Kind::StatusMessage), at("2025-06-12T02:00:00Z"))
        };
        assert_ne!(key("a"), key("b"));
    }
}
