//! Period of the statistics: whole intervals by default, never cut without a word.

use chrono::{DateTime, Days, DurationRound, TimeDelta};
use chrono_tz::Tz;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use crate::http::Error;
use crate::http::query::Parameter;
use crate::http::query::value::{DayOrTime, non_empty, period};
use crate::model::Timestamp;
use crate::{parameter_schema, query};

query! {
    /// Parameters of the statistics.
    pub struct StatsQuery {
        /// Interval of the counts; `day` by default.
        interval: Interval,
        /// Time zone of days and hours, such as `Asia/Jakarta`; `UTC` by default.
        time_zone: TimeZone,
        /// Start: a day (`2025-06-12`) or time. Default: 7 whole days, or 24 hours with
        /// `interval=hour`, until `end_date`. Maximum: 366 days before `end_date`, 31 with
        /// `interval=hour`.
        start_date: DayOrTime,
        /// Until the end of this day, or before this time; until the end of the current day or hour
        /// by default, or until the maximum.
        end_date: DayOrTime,
    }
}

/// Validated parameters. Counts are kept by the hour, so the period has whole hours.
pub struct Period {
    pub interval: Interval,
    pub time_zone: Tz,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Starts of the intervals; the first may begin before `since`.
    pub starts: Vec<Timestamp>,
    /// Whether the first interval begins before `since`.
    pub is_start_cut: bool,
    /// Whether the last interval ends after `until`.
    pub is_end_cut: bool,
    /// Whether the period ends early, at its maximum length.
    pub is_period_cut: bool,
}

impl Period {
    /// Reads the parameters. Without dates the period ends with the current interval.
    pub fn read(query: StatsQuery) -> Result<Self, Error> {
        let interval = query.interval.unwrap_or(Interval::Day);
        let time_zone = query.time_zone.map_or(Tz::UTC, |zone| zone.0);
        let (since, until) = period(query.start_date, query.end_date, &time_zone)?;
        let (default, max) = interval.days();
        let now = interval.end(Timestamp::now(), time_zone);
        let latest = since.map(|since| Timestamp(since.0 + TimeDelta::days(max)));
        let is_period_cut = until.is_none() && latest.is_some_and(|latest| latest < now);
        let until = until.unwrap_or_else(|| latest.map_or(now, |latest| latest.min(now)));
        let until =
            if interval.start(until, time_zone) == until { until } else { whole_hour(until) };
        let since = since.unwrap_or_else(|| interval.default_start(until, default, time_zone));
        if since >= until {
            return Err(Error::parameter("end_date", "must be after start_date"));
        }
        // A year in which clocks are set back has an hour more.
        if until.0 - since.0 > TimeDelta::days(max) + TimeDelta::hours(2) {
            let expected = format!("must be at most {max} days before end_date");
            return Err(Error::parameter("start_date", expected));
        }
        let starts = interval.starts(since, until, time_zone);
        let first = starts.first().copied().unwrap_or(since);
        let since = Timestamp(floor(since.0)).max(first);
        let last = starts.last().copied().unwrap_or(since);
        Ok(Self {
            interval,
            time_zone,
            since,
            until,
            is_start_cut: first < since,
            is_end_cut: interval.end(last, time_zone) > until,
            is_period_cut,
            starts,
        })
    }

    /// Index of the interval that a time of the period is in, from 1, as SQL's `width_bucket`.
    pub fn span_of(&self, time: Timestamp) -> i32 {
        i32::try_from(self.starts.partition_point(|start| *start <= time)).unwrap_or(i32::MAX)
    }
}

fn floor(time: DateTime<chrono::Utc>) -> DateTime<chrono::Utc> {
    time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time)
}

/// The time itself if it is a whole hour, or else the next one.
fn whole_hour(time: Timestamp) -> Timestamp {
    let hour = floor(time.0);
    Timestamp(if hour == time.0 { hour } else { hour + TimeDelta::hours(1) })
}

/// An IANA time zone.
pub struct TimeZone(pub Tz);

parameter_schema!(TimeZone, [], non_empty());

impl Parameter for TimeZone {
    fn parse(values: &[&str]) -> Result<Self, String> {
        let expected = "must be a name such as Asia/Jakarta or UTC";
        values[0].parse().map(Self).map_err(|_| expected.to_owned())
    }
}

/// Interval of the counts.
#[derive(Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, ToSchema, VariantNames)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Interval {
    Hour,
    Day,
}

impl Interval {
    /// Default and maximum length of the period in days.
    const fn days(self) -> (u64, i64) {
        match self {
            Self::Hour => (1, 31),
            Self::Day => (7, 366),
        }
    }

    /// Start of the hour or day that a time is in.
    fn start(self, time: Timestamp, zone: Tz) -> Timestamp {
        match self {
            Self::Hour => Timestamp(floor(time.0)),
            Self::Day => {
                let day = time.0.with_timezone(&zone).date_naive();
                Timestamp::beginning(day, &zone).unwrap_or(time)
            }
        }
    }

    /// End of the hour or day that a time is in.
    fn end(self, time: Timestamp, zone: Tz) -> Timestamp {
        let start = self.start(time, zone);
        match self {
            Self::Hour => Timestamp(start.0 + TimeDelta::hours(1)),
            Self::Day => {
                let day = time.0.with_timezone(&zone).date_naive().succ_opt();
                day.and_then(|day| Timestamp::beginning(day, &zone)).unwrap_or(start)
            }
        }
    }

    /// Start of a period of so many days that ends with the interval before `until`.
    fn default_start(self, until: Timestamp, days: u64, zone: Tz) -> Timestamp {
        let hours_before = Timestamp(until.0 - TimeDelta::days(days.cast_signed()));
        match self {
            Self::Hour => hours_before,
            Self::Day => {
                let last = Timestamp(until.0 - TimeDelta::microseconds(1));
                let last = last.0.with_timezone(&zone).date_naive();
                let first = last.checked_sub_days(Days::new(days - 1));
                first.and_then(|day| Timestamp::beginning(day, &zone)).unwrap_or(hours_before)
            }
        }
    }

    /// Starts of the hours or days of the period.
    fn starts(self, since: Timestamp, until: Timestamp, zone: Tz) -> Vec<Timestamp> {
        let next = |time: &Timestamp| Some(self.end(*time, zone)).filter(|end| end > time);
        std::iter::successors(Some(self.start(since, zone)), next)
            .take_while(|time| *time < until)
            .collect()
    }
}
