//! Statistics for charts: messages over time, first response times, open conversations.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use sqlx::PgPool;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::reader::{Authorized, OrganizationQuery};
use crate::http::Error;
use crate::http::query::Parameter;
use crate::http::query::value::{DayOrTime, non_empty, period};
use crate::model::Timestamp;
use crate::store::message::count::{self, Counted};
use crate::store::room::stats;
use crate::{parameter_schema, query};

/// Maximum number of open rooms that are counted; counting them takes some 10 ms.
const MAX_OPEN: i64 = 20_000;
/// Maximum number of rooms whose first response time is measured: the latest ones.
const MAX_FIRST_RESPONSES: i64 = 1_000;

#[derive(Serialize, ToSchema)]
struct Stats {
    #[schema(value_type = Interval)]
    interval: &'static str,
    /// Time zone of all times in the response.
    #[schema(value_type = String)]
    time_zone: Tz,
    /// Start of the period, inclusive.
    start: Local,
    /// End of the period, exclusive.
    end: Local,
    /// Messages per hour or day and channel.
    messages: Vec<Messages>,
    first_response: FirstResponse,
    rooms: Rooms,
}

/// Messages of one channel in one hour or day.
#[derive(Serialize, ToSchema)]
struct Messages {
    /// Start of the hour or day.
    at: Local,
    /// Channel; null if no event named it.
    channel: Option<String>,
    /// Messages from customers.
    r#in: i64,
    /// Messages from agents and bots.
    out: i64,
    /// Messages from agents.
    out_agent: i64,
    /// Messages from bots, including broadcasts, and from senders of unknown type.
    out_bot: i64,
}

/// Time from the first message of the customer in a room to the first message of an agent after it.
/// Bots do not count.
#[derive(Serialize, ToSchema)]
struct FirstResponse {
    /// Number of rooms with a first response.
    rooms: i64,
    /// Median in seconds; null if `rooms` is 0.
    p50_seconds: Option<f64>,
    /// 95th percentile in seconds; null if `rooms` is 0.
    p95_seconds: Option<f64>,
    /// Whether only the latest 1,000 rooms were measured because there are 1,000 or more. `rooms` and
    /// the percentiles are then those of a sample.
    is_sample: bool,
}

/// Rooms now.
#[derive(Serialize, ToSchema)]
struct Rooms {
    /// Rooms that are unassigned or assigned; 20,000 means 20,000 or more.
    open: i64,
    /// Open rooms whose last message is from the customer.
    unanswered: i64,
    /// Whether counting stopped at 20,000 open rooms. `unanswered` is then the number among these.
    is_sample: bool,
}

/// A time with the UTC offset of the time zone: `2025-06-12T09:00:00+07:00`. Without `format`, because
/// generated validators accept only `Z` there.
#[derive(ToSchema)]
#[schema(value_type = String)]
struct Local(DateTime<Tz>);

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

query! {
    /// Parameters of the statistics.
    pub struct StatsQuery {
        /// Interval of the counts; `day` by default.
        interval: Interval,
        /// Time zone of days and hours, such as `Asia/Jakarta`; `UTC` by default.
        time_zone: TimeZone,
        /// Start: a day (`2025-06-12`) or time. Default: 7 days before `end_date`, 24 hours with
        /// `interval=hour`. Maximum: 366 days, 31 with `interval=hour`.
        start_date: DayOrTime,
        /// Until the end of this day, or before this time; until the end of this hour by default.
        end_date: DayOrTime,
    }
}

/// Get statistics: messages per hour or day and channel, first response times, open conversations
///
/// Hours, days and channels without messages are omitted.
#[utoipa::path(
    get, path = "/stats", params(StatsQuery, OrganizationQuery),
    responses((status = OK, body = One<Stats>))
)]
pub async fn show(
    Authorized { reader, query }: Authorized<StatsQuery>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let Span { interval, time_zone, since, until } = query.span()?;
    let organizations = reader.organizations();
    let starts = interval.starts(since, until, time_zone);
    let counted = count::list(&db, organizations, &starts, since, until).await?;
    let response =
        stats::first_response(&db, organizations, since, until, MAX_FIRST_RESPONSES).await?;
    let open = stats::count_open(&db, organizations, MAX_OPEN).await?;
    let local = |time: Timestamp| Local(time.0.with_timezone(&time_zone));
    let messages = counted.into_iter().filter_map(|row| {
        let span = usize::try_from(row.span).ok()?.checked_sub(1)?;
        Some(Messages::new(local(*starts.get(span)?), row))
    });
    Ok(one(Stats {
        interval: interval.into(),
        time_zone,
        start: local(since),
        end: local(until),
        messages: messages.collect(),
        first_response: FirstResponse {
            rooms: response.answered,
            p50_seconds: response.p50_seconds,
            p95_seconds: response.p95_seconds,
            is_sample: response.examined == MAX_FIRST_RESPONSES,
        },
        rooms: Rooms {
            open: open.open,
            unanswered: open.unanswered,
            is_sample: open.open == MAX_OPEN,
        },
    }))
}

impl Messages {
    fn new(at: Local, row: Counted) -> Self {
        Self {
            at,
            channel: Some(row.channel).filter(|channel| !channel.is_empty()),
            r#in: row.customer,
            out: row.agent + row.other,
            out_agent: row.agent,
            out_bot: row.other,
        }
    }
}

/// Validated parameters.
struct Span {
    interval: Interval,
    time_zone: Tz,
    since: Timestamp,
    until: Timestamp,
}

impl StatsQuery {
    fn span(self) -> Result<Span, Error> {
        let interval = self.interval.unwrap_or(Interval::Day);
        let time_zone = self.time_zone.map_or(Tz::UTC, |zone| zone.0);
        let (since, until) = period(self.start_date, self.end_date, &time_zone)?;
        let (default, max) = interval.days();
        let until = until.unwrap_or_else(|| match since {
            Some(since) => next_hour().min(Timestamp(since.0 + TimeDelta::days(max))),
            None => next_hour(),
        });
        let since = since.unwrap_or_else(|| Timestamp(until.0 - TimeDelta::days(default)));
        if since >= until {
            return Err(Error::parameter("end_date", "must be after start_date"));
        }
        // A year in which clocks are set back has an hour more.
        if until.0 - since.0 > TimeDelta::days(max) + TimeDelta::hours(2) {
            let expected = format!("must be at most {max} days before end_date");
            return Err(Error::parameter("start_date", expected));
        }
        Ok(Span { interval, time_zone, since, until })
    }
}

/// The end of the current hour, so that repeated requests within the hour have the same response
/// unless messages arrive.
fn next_hour() -> Timestamp {
    let seconds = Timestamp::now().0.timestamp();
    Timestamp::from_unix((seconds / 3600 + 1) * 3600).unwrap_or_else(Timestamp::now)
}

/// An IANA time zone.
struct TimeZone(Tz);

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
enum Interval {
    Hour,
    Day,
}

impl Interval {
    /// Default and maximum length of the period in days.
    const fn days(self) -> (i64, i64) {
        match self {
            Self::Hour => (1, 31),
            Self::Day => (7, 366),
        }
    }

    /// Starts of the hours or days of the period.
    fn starts(self, start: Timestamp, end: Timestamp, zone: Tz) -> Vec<Timestamp> {
        let day_of = |time: Timestamp| time.0.with_timezone(&zone).date_naive();
        let first = match self {
            Self::Hour => start.0.duration_trunc(TimeDelta::hours(1)).ok().map(Timestamp),
            Self::Day => Timestamp::beginning(day_of(start), &zone),
        };
        let next = |time: &Timestamp| match self {
            Self::Hour => Some(Timestamp(time.0 + TimeDelta::hours(1))),
            Self::Day => Timestamp::beginning(day_of(*time).succ_opt()?, &zone),
        };
        std::iter::successors(first, next).take_while(|time| *time < end).collect()
    }
}
