//! Delivery progress of a message: its statuses with their times, and contradictions among them.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::VariantNames;
use utoipa::ToSchema;

use crate::model::whatsapp_error::{self, Text};
use crate::model::{Status, Timestamp};

/// Statuses of one message or recipient.
#[derive(Serialize, ToSchema)]
pub struct Progress {
    /// Time of each reported status. The effective status is `status`.
    #[schema(value_type = StatusTimes)]
    status_times: BTreeMap<&'static str, StatusTime>,
    /// Statuses that were not reported, but reached because a later one was: a message that was read
    /// was delivered. They have no time.
    #[schema(value_type = Vec<Status>)]
    implied: Vec<&'static str>,
    /// Contradicting reports. WhatsApp reports both for a recipient with several devices.
    conflicts: Vec<Conflict>,
}

/// A contradiction of two reports.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Conflict {
    FailedAndDelivered,
    FailedAndRead,
}

/// Time of each status; absent if the status was not reported.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document and the columns of CSV")]
struct StatusTimes {
    #[schema(nullable = false)]
    created: Option<StatusTime>,
    #[schema(nullable = false)]
    pending: Option<StatusTime>,
    #[schema(nullable = false)]
    sent: Option<StatusTime>,
    #[schema(nullable = false)]
    delivered: Option<StatusTime>,
    #[schema(nullable = false)]
    read: Option<StatusTime>,
    #[schema(nullable = false)]
    failed: Option<StatusTime>,
}

/// Time of a status, and its source.
#[derive(Serialize, ToSchema)]
pub struct StatusTime {
    /// Time of the status.
    at: Timestamp,
    source: Source,
}

/// Clock of a time. `channel`: WhatsApp's. `body`: Qontak's, the creation of the message. `received`:
/// this service's, when it first received the status; an upper bound.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Channel,
    Body,
    Received,
}

impl Progress {
    /// Progress of an outgoing message.
    pub fn outgoing(times: [(&'static str, Option<StatusTime>); 6]) -> Self {
        let mut progress = Self::incoming(times);
        let is_seen = |status: &str| progress.status_times.contains_key(status);
        let reached = LADDER.iter().rposition(|status| is_seen(status)).unwrap_or_default();
        let implied = LADDER[..reached].iter().copied().filter(|status| !is_seen(status));
        let conflict = match LADDER[reached] {
            _ if !is_seen("failed") => None,
            "read" => Some(Conflict::FailedAndRead),
            "delivered" => Some(Conflict::FailedAndDelivered),
            _ => None,
        };
        (progress.implied, progress.conflicts) =
            (implied.collect(), conflict.into_iter().collect());
        progress
    }

    /// The effective status: the highest rank of those reported.
    pub fn status(&self) -> Option<&'static str> {
        Status::VARIANTS.iter().copied().rfind(|status| self.status_times.contains_key(status))
    }

    /// Each reported status with its time and source.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Timestamp, Source)> {
        self.status_times.iter().map(|(status, time)| (*status, time.at, time.source))
    }

    /// Progress of an incoming message: its statuses imply nothing.
    pub fn incoming(times: [(&'static str, Option<StatusTime>); 6]) -> Self {
        let times = times.into_iter().filter_map(|(status, time)| Some((status, time?)));
        Self { status_times: times.collect(), implied: Vec::new(), conflicts: Vec::new() }
    }
}

/// Each of these implies the previous ones.
const LADDER: [&str; 3] = ["sent", "delivered", "read"];

impl StatusTime {
    /// The most accurate of the known times; `None` if the status was not received.
    pub fn best(
        channel: Option<Timestamp>,
        body: Option<Timestamp>,
        received: Option<Timestamp>,
    ) -> Option<Self> {
        let received = received?;
        let (at, source) = match (channel, body) {
            (Some(at), _) => (at, Source::Channel),
            (None, Some(at)) => (at, Source::Body),
            (None, None) => (received, Source::Received),
        };
        Some(Self { at, source })
    }
}

/// Explanation of a WhatsApp error code. Both fields are null for codes not listed here; Meta's
/// title is then all there is.
#[derive(Serialize, ToSchema)]
pub struct Explained {
    /// What happened, in English and Indonesian.
    error_meaning: Option<Text>,
    /// What to do, in English and Indonesian.
    error_advice: Option<Text>,
}

impl Explained {
    /// Looks up a WhatsApp error code.
    pub fn of(error_code: Option<i64>) -> Self {
        let reason = error_code.and_then(whatsapp_error::explain);
        Self {
            error_meaning: reason.map(|reason| reason.meaning),
            error_advice: reason.map(|reason| reason.advice),
        }
    }
}
