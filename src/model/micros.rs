//! Serialization of a [`Timestamp`] as microseconds since 1970, for cursors: exact, unlike its own
//! serialization. Use as `#[serde(with = "micros")]`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

use super::Timestamp;

/// Serializes the microseconds.
pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.0.timestamp_micros())
}

/// Fails for times that Postgres cannot store.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let time = Timestamp::from_micros(i64::deserialize(deserializer)?);
    time.filter(|time| time.is_storable()).ok_or_else(|| D::Error::custom("time out of range"))
}
