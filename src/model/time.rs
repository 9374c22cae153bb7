//! Times, and the key by which snapshots are ordered.

use std::fmt;

use chrono::{
    DateTime, DurationRound, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc,
};
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
    /// Zero of the clocks in fold keys: 2015-01-01 in microseconds since 1970. Stored keys contain
    /// it, so it never changes, whatever counts as plausible.
    const FOLD_EPOCH_MICROS: i64 = 1_420_070_400_000_000;
    /// How far a clock may be ahead of the time of receipt.
    const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

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

    /// The time by which it is ordered: itself, or the second of `received_at` if it is more than
    /// five minutes later. A sender that labels local time as UTC is hours ahead, and would otherwise
    /// win over all events of those hours.
    pub fn ordering(self, received_at: Self) -> Self {
        if self.0 - received_at.0 <= Self::TOLERANCE {
            return self;
        }
        // An event is sent before it is received: not later than the next one, if both are sent
        // within a second.
        Self(received_at.0.duration_trunc(TimeDelta::seconds(1)).unwrap_or(received_at.0))
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

/// What orders snapshots of one room, the most significant first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Precedence {
    /// Latest time of the snapshot. A snapshot without any is older than all others.
    pub clock: Option<Timestamp>,
    /// The earlier of `updated_at` and `last_activity_at`.
    pub earlier: Option<Timestamp>,
    /// Rank of the status in the lifecycle of a room, up to 7.
    pub status_rank: u8,
    /// Number of agents.
    pub agents: usize,
    /// Number of tags.
    pub tags: usize,
    /// Last message of the customer.
    pub session_at: Option<Timestamp>,
    /// Number of unread messages.
    pub unread_count: i64,
    /// Part of the SHA-256 of the body, which breaks ties.
    pub tie: u16,
}

/// Orders snapshots of one room or sender by their [`Precedence`].
///
/// 128 bits, packed so that Postgres can compare them as a `uuid`: 43 for the clock (units of 512
/// microseconds since 2015, to the year 2157), 32 for how far the earlier time lies behind it, 3 for
/// the status, 4 each for agents and tags, 17 for how many seconds the session lies behind the
/// clock, 9 for unread messages, 16 for the hash. Greater values than fit count as the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::Type)]
#[sqlx(transparent, no_pg_array)]
pub struct FoldKey(pub Uuid);

impl FoldKey {
    /// Unit of the clock: Qontak's times have milliseconds.
    const UNIT_MICROS: i64 = 512;

    /// Key of a change that only its clock and a hash order: 43 bits of the one, 85 of the other.
    pub fn at(clock: Option<Timestamp>, hash: u128) -> Self {
        let Self(clock) = Self::new(&Precedence { clock, ..Precedence::default() });
        Self(Uuid::from_u128(clock.as_u128() >> 85 << 85 | hash >> 43))
    }

    /// The key in the opposite order.
    pub fn reversed(self) -> Self {
        Self(Uuid::from_u128(!self.0.as_u128()))
    }

    /// Packs a key.
    pub fn new(order: &Precedence) -> Self {
        let micros = |time: Timestamp| time.0.timestamp_micros() - Timestamp::FOLD_EPOCH_MICROS;
        // One more than the time, so that any time is greater than none.
        let clock = order.clock.map(|clock| micros(clock) + 1);
        let closeness = |time: Option<Timestamp>, unit: i64, bits: u32| match (clock, time) {
            (Some(clock), Some(time)) => max(bits) - (clock - 1 - micros(time)) / unit,
            _ => 0,
        };
        let mut key = 0_u128;
        let mut push = |value: i64, bits: u32| {
            key = key << bits | u128::from(value.clamp(0, max(bits)).unsigned_abs());
        };
        push(clock.unwrap_or(0) / Self::UNIT_MICROS, 43);
        push(closeness(order.earlier, Self::UNIT_MICROS, 32), 32);
        push(order.status_rank.into(), 3);
        push(order.agents.try_into().unwrap_or(i64::MAX), 4);
        push(order.tags.try_into().unwrap_or(i64::MAX), 4);
        push(closeness(order.session_at, 1_000_000, 17), 17);
        push(order.unread_count, 9);
        push(order.tie.into(), 16);
        Self(Uuid::from_u128(key))
    }
}

/// Greatest number of this many bits.
const fn max(bits: u32) -> i64 {
    (1 << bits) - 1
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
    fn times_more_than_five_minutes_ahead_are_ordered_by_their_receipt() {
        let received_at = at("2025-06-12T00:00:00.700Z").unwrap();
        let ahead = at("2025-06-12T00:05:00.700Z").unwrap();
        assert_eq!(ahead.ordering(received_at), ahead);
        assert_eq!(Some(ahead.next().ordering(received_at)), at("2025-06-12T00:00:00Z"));
    }

    #[test]
    fn fold_keys_sort_by_each_part_of_the_precedence_in_turn() {
        let early = at("2025-06-12T02:15:03.000Z");
        let late = at("2025-06-12T02:15:03.001Z");
        let session_at = at("2025-06-12T02:15:02.000Z");
        let most = Precedence {
            clock: None,
            earlier: None,
            status_rank: 9,
            agents: 99,
            tags: 99,
            session_at: None,
            unread_count: i64::MAX,
            tie: u16::MAX,
        };
        let of = |clock, earlier, session_at| {
            FoldKey::new(&Precedence { clock, earlier, session_at, ..Precedence::default() })
        };
        let late_with = |change: fn(&mut Precedence)| {
            let mut order = Precedence { clock: late, earlier: late, ..Precedence::default() };
            change(&mut order);
            FoldKey::new(&order)
        };
        let keys = [
            FoldKey::default(),
            FoldKey::new(&most),
            of(early, at("2015-01-01T00:00:00Z"), None),
            FoldKey::new(&Precedence { clock: early, earlier: early, session_at: early, ..most }),
            of(late, None, None),
            of(late, early, late),
            of(late, late, None),
            late_with(|order| order.tie = 1),
            late_with(|order| order.tie = u16::MAX),
            late_with(|order| order.unread_count = 1),
            late_with(|order| order.unread_count = 1 << 40),
            of(late, late, session_at),
            of(late, late, late),
            late_with(|order| order.tags = 1),
            late_with(|order| order.tags = 2),
            late_with(|order| order.agents = 1),
            late_with(|order| order.status_rank = 1),
            late_with(|order| order.status_rank = 7),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:#?}");
    }
}
