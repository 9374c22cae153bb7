//! Numbers for charts: messages in and out over time, how long customers wait, what is open now.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::envelope::{One, one};
use super::reader::Reader;
use crate::http::Error;
use crate::http::extract::Parameters;
use crate::model::Timestamp;
use crate::store::message::count::{self, Counted};
use crate::store::room::stats;

/// Rooms that are counted or looked at for one number: so many take some hundredths of a second.
const MAX_OPEN: i64 = 20_000;
const MAX_FIRST_RESPONSES: i64 = 1_000;

#[derive(Serialize, ToSchema)]
struct Stats {
    /// `hour` or `day`.
    interval: &'static str,
    /// Whose days and clocks these are.
    #[schema(value_type = String)]
    time_zone: Tz,
    /// From then on.
    start: Local,
    /// Before then.
    end: Local,
    /// By hour or day, and channel.
    messages: Vec<Messages>,
    first_response: FirstResponse,
    rooms: Rooms,
}

/// Messages of one channel in one hour or day; those without any are left out.
#[derive(Serialize, ToSchema)]
struct Messages {
    /// When the hour or day began.
    at: Local,
    /// Null where no event named it.
    channel: Option<String>,
    /// Of customers.
    r#in: i64,
    /// Of agents and bots.
    out: i64,
    /// Of agents.
    out_agent: i64,
    /// Of bots, broadcasts among them, and of whom Qontak did not name.
    out_bot: i64,
}

/// From the first message of a customer's in a room to the first one of an agent's after it; bots
/// do not count.
#[derive(Serialize, ToSchema)]
struct FirstResponse {
    /// Rooms that were answered so.
    rooms: i64,
    /// Seconds that half of them took at most; null if there are none.
    p50_seconds: Option<f64>,
    /// Seconds that 95 of 100 took at most.
    p95_seconds: Option<f64>,
    /// Whether only the latest 1,000 rooms were looked at, since there are so many or more: then
    /// `rooms` is less than the whole, and the seconds are those of a sample.
    is_sample: bool,
}

/// Rooms as they are now.
#[derive(Serialize, ToSchema)]
struct Rooms {
    /// Unassigned or assigned; 20,000 stands for so many or more.
    open: i64,
    /// Those of them in which the last word is the customer's.
    unanswered: i64,
    /// Whether it was counted no further than 20,000: then there are so many open rooms or more, and
    /// `unanswered` is of these only.
    is_sample: bool,
}

/// A time as clocks show it in a time zone.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime)]
struct Local(DateTime<Tz>);

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// Messages by the hour or day and channel, first response times, and rooms that are open now.
///
/// Hours, days and channels without messages are left out.
#[utoipa::path(get, path = "/stats", params(Span), responses((status = OK, body = One<Stats>)))]
pub async fn show(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let Span { interval, time_zone, start, end } = Span::read(&mut parameters);
    parameters.finish()?;
    let organizations = reader.organizations();
    let starts = interval.starts(start, end, time_zone);
    let counted = count::list(&db, organizations, &starts, start, end).await?;
    let response =
        stats::first_response(&db, organizations, start, end, MAX_FIRST_RESPONSES).await?;
    let open = stats::count_open(&db, organizations, MAX_OPEN).await?;
    let local = |time: Timestamp| Local(time.0.with_timezone(&time_zone));
    let messages = counted.into_iter().filter_map(|row| {
        let span = usize::try_from(row.span).ok()?.checked_sub(1)?;
        Some(Messages::new(local(*starts.get(span)?), row))
    });
    Ok(one(Stats {
        interval: interval.as_str(),
        time_zone,
        start: local(start),
        end: local(end),
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

/// What is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Span {
    /// What to count by; `day` if nothing is said.
    #[param(inline, value_type = Option<Interval>)]
    interval: Interval,
    /// Whose days they are: a name such as `Asia/Jakarta`; else `UTC`.
    #[param(value_type = Option<String>)]
    time_zone: Tz,
    /// From this day (`2025-06-12`) or time on; else the last 7 days, or the last 24 hours. At most
    /// 366 days, or 31 by the hour, before `end_date`.
    #[param(rename = "start_date", value_type = Option<String>)]
    start: Timestamp,
    /// Until the end of this day, or before this time; else until now.
    #[param(rename = "end_date", value_type = Option<String>)]
    end: Timestamp,
}

impl Span {
    fn read(parameters: &mut Parameters) -> Self {
        let interval = Interval::read(parameters);
        let time_zone = parameters.value("time_zone").and_then(|name| {
            name.parse().ok().or_else(|| {
                parameters.refuse("time_zone", "must be a name such as Asia/Jakarta or UTC")
            })
        });
        let time_zone = time_zone.unwrap_or(Tz::UTC);
        let (start, end) = parameters.period_in(&time_zone);
        let (usual, most) = interval.days();
        let end = end.unwrap_or_else(|| match start {
            // No further than may be asked for.
            Some(start) => next_hour().min(Timestamp(start.0 + TimeDelta::days(most))),
            None => next_hour(),
        });
        let start = start.unwrap_or_else(|| Timestamp(end.0 - TimeDelta::days(usual)));
        // A year in which clocks are set has an hour more.
        let limit = TimeDelta::days(most) + TimeDelta::hours(2);
        if start >= end {
            parameters.refuse::<()>("end_date", "must be after start_date");
        } else if end.0 - start.0 > limit {
            let allowed = format!("must be at most {most} days before end_date");
            parameters.refuse::<()>("start_date", &allowed);
        }
        Self { interval, time_zone, start, end }
    }
}

/// When the hour is over: so who asks again within it gets the same answer, if nothing came.
fn next_hour() -> Timestamp {
    let seconds = Timestamp::now().0.timestamp();
    Timestamp::from_unix((seconds / 3600 + 1) * 3600).unwrap_or_else(Timestamp::now)
}

/// What messages are counted by.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum Interval {
    /// By the hour.
    Hour,
    /// By the day.
    Day,
}

impl Interval {
    const ALL: [Self; 2] = [Self::Hour, Self::Day];

    fn read(parameters: &mut Parameters) -> Self {
        let word = parameters.one_of("interval", &Self::ALL.map(Self::as_str));
        let given = Self::ALL.into_iter().find(|one| word.as_deref() == Some(one.as_str()));
        given.unwrap_or(Self::Day)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Days that are shown if nothing else is asked for, and at most.
    const fn days(self) -> (i64, i64) {
        match self {
            Self::Hour => (1, 31),
            Self::Day => (7, 366),
        }
    }

    /// When each hour or day of this time begins.
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
