//! Figures of the statistics, as the response shows them.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::seconds::Seconds;
use crate::model::Timestamp;
use crate::store::message::count::Counted;
use crate::store::resolution::Resolved;
use crate::store::response::Answer;

/// Maximum number of response and resolution times that are measured: the latest ones.
pub const MAX_MEASURED: i64 = 10_000;

/// Messages of one channel in one hour or day, by the time of the message.
#[derive(Serialize, ToSchema)]
pub struct Messages {
    /// Start of the hour or day.
    pub at: Local,
    /// Channel; null if no event named it.
    pub channel: Option<String>,
    /// Messages from customers, without reactions.
    pub r#in: i64,
    /// Messages from agents, bots and senders of unknown type, without broadcasts, notices and
    /// reactions.
    pub out: i64,
    /// Those of agents.
    pub out_agent: i64,
    /// Those of bots and of senders of unknown type.
    pub out_bot: i64,
    /// Messages of broadcasts (`is_campaign`).
    pub campaigns: i64,
    /// Notices in a conversation (type `system`), whoever they name as sender.
    pub notices: i64,
    /// Reactions of customers and agents.
    pub reactions: i64,
}

/// Events of one kind in one hour or day, by the time of receipt.
#[derive(Serialize, ToSchema)]
#[schema(as = EventCount)]
pub struct Events {
    /// Start of the hour or day.
    pub at: Local,
    /// Kind of the events, as in `/v1/events`.
    pub kind: String,
    /// Number of events, without repeated deliveries and those of a backfill.
    pub events: i64,
}

/// The last event of a channel of an organisation.
#[derive(Serialize, ToSchema)]
pub struct LastEvent {
    /// Organisation; null if unknown.
    pub organization_id: Option<String>,
    /// `wa_cloud`, `ig`, `web_chat`, …; open list.
    pub channel: String,
    /// Kind of the event.
    pub kind: String,
    /// Time this service received it.
    pub at: Timestamp,
}

/// Deliveries of one source in one hour or day, by the time of the message or recipient, with the
/// statuses that they have reached by now. A delivery counts in every status that it reached.
#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    /// Start of the hour or day.
    pub at: Local,
    /// `conversation`: messages from agents, bots and senders of unknown type. `broadcast`:
    /// recipients of broadcasts; their messages do not count again.
    pub source: &'static str,
    /// All deliveries.
    pub total: i64,
    /// Sent, delivered or read, also if it failed later.
    pub sent: i64,
    /// Delivered or read.
    pub delivered: i64,
    /// Read.
    pub read: i64,
    /// Failed, and neither delivered nor read.
    pub failed: i64,
}

/// Times from a customer's first message in a wait to the answer that ended it, by the time of the
/// answer.
///
/// A wait begins with the first message of the customer after the last answer or resolution.
/// Broadcasts, notices and reactions neither begin nor end it.
#[derive(Serialize, ToSchema)]
pub struct Responses {
    /// Rooms of these answers.
    pub rooms: i64,
    /// Answers, one for each wait.
    pub responses: i64,
    /// Median in seconds, a time that occurred; null without responses.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds, a time that occurred; null without responses.
    pub p95_seconds: Option<f64>,
    /// Whether only the latest 10,000 answers of the period (of agents and bots together) were read.
    pub is_sample: bool,
}

/// Resolutions in one hour or day.
#[derive(Serialize, ToSchema)]
pub struct Resolutions {
    /// Start of the hour or day.
    pub at: Local,
    /// Resolutions.
    pub resolutions: i64,
    /// Median of the resolution times in seconds, a time that occurred; null without one.
    pub p50_seconds: Option<f64>,
    /// 95th percentile of the resolution times in seconds, a time that occurred; null without one.
    pub p95_seconds: Option<f64>,
    /// Whether only some of the resolutions were measured, because the period has more than 10,000.
    pub is_sample: bool,
}

/// Resolutions, by the time of the resolution. A resolution time starts with the customer's first
/// message since the room was resolved before; without one, the resolution has none.
#[derive(Serialize, ToSchema)]
pub struct ResolutionTimes {
    /// Resolutions.
    pub resolutions: i64,
    /// Median in seconds, a time that occurred; null without one.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds, a time that occurred; null without one.
    pub p95_seconds: Option<f64>,
    /// Whether only the latest 10,000 resolutions were measured.
    pub is_sample: bool,
}

/// An agent, with its figures for the period. Where `first_response` or `resolution` are samples, so
/// are these.
#[derive(Serialize, ToSchema)]
pub struct Agent {
    /// Qontak's id of the user.
    pub id: String,
    /// Organisation; null when unknown.
    pub organization_id: Option<String>,
    /// Last known name; null when unknown.
    pub name: Option<String>,
    /// Rooms handled: answered or resolved by the agent.
    pub rooms: i64,
    /// Answers that were an agent's first since the conversation began or was last resolved.
    pub opening_response: Times,
    /// All other answers that ended a wait.
    pub next_response: Times,
    /// Resolutions by the agent.
    pub resolution: Times,
    /// Open rooms that are assigned to the agent now, among the first 10,000 open rooms.
    pub open: i64,
    /// Those whose customer waits for an answer.
    pub unanswered: i64,
}

/// Number and percentiles of times.
#[derive(Serialize, ToSchema)]
pub struct Times {
    /// How many there are.
    pub count: i64,
    /// Median in seconds, a time that occurred; null without one.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds, a time that occurred; null without one.
    pub p95_seconds: Option<f64>,
}

/// Rooms now.
#[derive(Serialize, ToSchema)]
pub struct Rooms {
    /// Rooms that are unassigned or assigned; 10,000 means 10,000 or more.
    pub open: i64,
    /// Rooms whose customer waits: those of `response=unanswered`.
    pub unanswered: i64,
    /// Whether counting stopped at 10,000 open rooms. `unanswered` is then the number among these.
    pub is_sample: bool,
}

/// A time with the UTC offset of the time zone: `2025-06-12T09:00:00+07:00`. Without `format`, because
/// generated validators accept only `Z` there.
#[derive(ToSchema)]
#[schema(value_type = String)]
pub struct Local(pub DateTime<Tz>);

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Messages {
    pub fn new(at: Local, row: Counted) -> Self {
        Self {
            at,
            channel: Some(row.channel).filter(|channel| !channel.is_empty()),
            r#in: row.customer,
            out: row.agent + row.other,
            out_agent: row.agent,
            out_bot: row.other,
            campaigns: row.campaigns,
            notices: row.notices,
            reactions: row.reactions,
        }
    }
}

impl Deliveries {
    pub const fn none(at: Local, source: &'static str) -> Self {
        Self { at, source, total: 0, sent: 0, delivered: 0, read: 0, failed: 0 }
    }

    /// Adds the messages of one channel.
    pub const fn add(&mut self, row: &Counted) {
        self.total += row.outgoing;
        self.sent += row.sent;
        self.delivered += row.delivered;
        self.read += row.read;
        self.failed += row.failed;
    }
}

impl Responses {
    /// The answers of agents, or those of bots, among those that were read.
    pub fn of(answers: &[Answer], are_from_agents: bool) -> Self {
        let own = || answers.iter().filter(|answer| answer.is_from_agent == are_from_agents);
        let rooms: HashSet<(i32, &str)> =
            own().map(|answer| (answer.organization, &*answer.room_id)).collect();
        let times = Times::of(own().map(|answer| answer.seconds).collect());
        Self {
            rooms: rooms.len() as i64,
            responses: times.count,
            p50_seconds: times.p50_seconds,
            p95_seconds: times.p95_seconds,
            is_sample: answers.len() as i64 == MAX_MEASURED,
        }
    }
}

impl Times {
    pub fn of(mut seconds: Seconds) -> Self {
        Self {
            count: seconds.count(),
            p50_seconds: seconds.percentile(0.5),
            p95_seconds: seconds.percentile(0.95),
        }
    }
}

impl ResolutionTimes {
    /// Figures of the resolutions that were read, of so many.
    pub fn new(resolutions: i64, read: &[Resolved]) -> Self {
        let times = Times::of(read.iter().filter_map(|row| row.seconds).collect());
        Self {
            resolutions,
            p50_seconds: times.p50_seconds,
            p95_seconds: times.p95_seconds,
            is_sample: (read.len() as i64) < resolutions,
        }
    }
}
