//! Times, and the key by which snapshots are ordered.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

/// A time in UTC, in Qontak's format: `2025-06-12T02:15:03.000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[sqlx(transparent)]
#[schema(examples("2025-06-12T02:15:03.000Z"))]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    /// 2015-01-01 in seconds since 1970. Qontak has no older data.
    const EARLIEST: i64 = 1_420_070_400;

    /// The current time, to the microsecond like Postgres.
    pub fn now() -> Self {
        let now = Utc::now();
        Self(DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now))
    }

    /// The UTC day, which determines the partition of the journal.
    pub fn day(self) -> chrono::NaiveDate {
        self.0.date_naive()
    }

    /// Seconds since this time; 0 if it is in the future.
    pub fn age_seconds(self) -> f64 {
        let age = Self::now().0 - self.0;
        age.to_std().map_or(0.0, |age| age.as_secs_f64())
    }

    /// Whether it is between 2015 and a day after `received_at`.
    pub fn is_plausible(self, received_at: Self) -> bool {
        self.0.timestamp() >= Self::EARLIEST && self.0 - received_at.0 <= TimeDelta::days(1)
    }

    /// Start of a day in a time zone. Some days have no midnight because of daylight saving time.
    pub fn beginning(day: NaiveDate, zone: &impl TimeZone) -> Option<Self> {
        let at = |hour| zone.from_local_datetime(&(day.and_time(NaiveTime::MIN) + hour)).earliest();
        let time = at(TimeDelta::zero()).or_else(|| at(TimeDelta::hours(1)))?;
        Some(Self(time.to_utc()))
    }

    /// Whether both Postgres and chrono support it: from 1970 to the year 9999.
    pub fn is_storable(self) -> bool {
        (0..253_402_300_800).contains(&self.0.timestamp())
    }

    /// Parses RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| Self(time.to_utc()))
    }

    /// The next time that Postgres can store: one microsecond later.
    pub fn next(self) -> Self {
        Self(self.0 + TimeDelta::microseconds(1))
    }

    /// Converts microseconds since 1970, as in cursors.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self)
    }

    /// Converts seconds since 1970.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        DateTime::from_timestamp(seconds, 0).map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Orders snapshots of one room or sender: by clock (the later of two times), the earlier time, the
/// rank of the status, and the SHA-256 of the body.
///
/// 128 bits, packed so that Postgres can compare them as a `uuid`: 52 for each time (microseconds
/// since 2015, to the year 2157), 3 for the rank, 21 for the hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FoldKey(pub Uuid);

impl FoldKey {
    /// Bits of the hash, which breaks ties.
    pub const TIE_BITS: u32 = 21;
    const TIME_BITS: u32 = 52;
    const RANK_BITS: u32 = 3;

    /// Packs a key. A snapshot without a clock is older than all others.
    pub fn new(clock: Option<Timestamp>, earlier: Option<Timestamp>, rank: u8, tie: u32) -> Self {
        let time = |time: Option<Timestamp>| {
            let micros = time
                .map_or(0, |time| time.0.timestamp_micros() - Timestamp::EARLIEST * 1_000_000 + 1);
            u128::from(micros.clamp(0, (1 << Self::TIME_BITS) - 1).unsigned_abs())
        };
        let rank = u128::from(rank.min((1 << Self::RANK_BITS) - 1));
        let tie = u128::from(tie & ((1 << Self::TIE_BITS) - 1));
        let key = ((time(clock) << Self::TIME_BITS | time(earlier)) << Self::RANK_BITS | rank)
            << Self::TIE_BITS
            | tie;
        Self(Uuid::from_u128(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(Timestamp::parse(text).unwrap())
    }

    #[test]
    fn times_before_2015_or_over_a_day_ahead_are_not_plausible() {
        let received_at = at("2025-06-12T00:00:00Z").unwrap();
        assert!(at("2025-06-13T00:00:00Z").unwrap().is_plausible(received_at));
        assert!(!at("2025-06-13T00:00:01Z").unwrap().is_plausible(received_at));
        assert!(!at("2014-12-31T23:59:59Z").unwrap().is_plausible(received_at));
    }

    #[test]
    fn fold_keys_sort_by_clock_then_earlier_time_then_rank_then_hash() {
        let early = at("2025-06-12T02:15:03.000Z");
        let late = at("2025-06-12T02:15:03.001Z");
        let keys = [
            FoldKey::new(None, None, 7, u32::MAX),
            FoldKey::new(early, early, 7, u32::MAX),
            FoldKey::new(late, early, 7, u32::MAX),
            FoldKey::new(late, late, 0, u32::MAX),
            FoldKey::new(late, late, 1, 0),
            FoldKey::new(late, late, 1, 1),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }
}
