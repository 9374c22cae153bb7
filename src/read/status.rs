//! How far something that was sent has come: its statuses, and what of them does not fit together.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::VariantNames;
use utoipa::ToSchema;

use crate::model::whatsapp_error::{self, Text};
use crate::model::{Status, Timestamp};

/// All that is told of the statuses of one message or recipient.
#[derive(Serialize, ToSchema)]
pub struct Progress {
    /// Of every status seen, when; the effective one is `status`.
    status_times: BTreeMap<&'static str, StatusTime>,
    /// Statuses that were not reported but must have been reached, since a later one was: who read
    /// it has received it. They have no time.
    implied: Vec<&'static str>,
    /// Reports that contradict each other: `failed_and_delivered`, `failed_and_read`. A phone with
    /// several devices reports both.
    conflicts: Vec<&'static str>,
}

/// When a status was reached, and who says so.
#[derive(Serialize, ToSchema)]
pub struct StatusTime {
    at: Timestamp,
    /// Whose clock it is. `channel`: WhatsApp's. `body`: Qontak's, the creation of the message.
    /// `received`: ours, when we first saw the status, so an upper bound.
    source: &'static str,
}

impl Progress {
    /// Of what was sent to a customer.
    pub fn outgoing(times: [(&'static str, Option<StatusTime>); 6]) -> Self {
        let mut progress = Self::incoming(times);
        let is_seen = |status: &str| progress.status_times.contains_key(status);
        let reached = LADDER.iter().rposition(|status| is_seen(status)).unwrap_or_default();
        let implied = LADDER[..reached].iter().copied().filter(|status| !is_seen(status));
        let conflict = match LADDER[reached] {
            _ if !is_seen("failed") => None,
            "read" => Some("failed_and_read"),
            "delivered" => Some("failed_and_delivered"),
            _ => None,
        };
        (progress.implied, progress.conflicts) =
            (implied.collect(), conflict.into_iter().collect());
        progress
    }

    /// The effective status: what follows from all that were seen.
    pub fn status(&self) -> Option<&'static str> {
        Status::VARIANTS.iter().copied().rfind(|status| self.status_times.contains_key(status))
    }

    /// Each status that was seen, with its time and who says so.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Timestamp, &'static str)> {
        self.status_times.iter().map(|(status, time)| (*status, time.at, time.source))
    }

    /// Of what a customer sent: nothing follows from its statuses.
    pub fn incoming(times: [(&'static str, Option<StatusTime>); 6]) -> Self {
        let times = times.into_iter().filter_map(|(status, time)| Some((status, time?)));
        Self { status_times: times.collect(), implied: Vec::new(), conflicts: Vec::new() }
    }
}

/// Each of these implies those before it.
const LADDER: [&str; 3] = ["sent", "delivered", "read"];

impl StatusTime {
    /// The best time there is: `channel` is WhatsApp's clock, `body` the time that Qontak gives,
    /// `received` the time at which we first saw the status, so an upper bound.
    pub fn best(
        channel: Option<Timestamp>,
        body: Option<Timestamp>,
        received: Option<Timestamp>,
    ) -> Option<Self> {
        // Only a status that was seen has a time.
        let received = received?;
        let (at, source) = match (channel, body) {
            (Some(at), _) => (at, "channel"),
            (None, Some(at)) => (at, "body"),
            (None, None) => (received, "received"),
        };
        Some(Self { at, source })
    }
}

/// What an error code stands for. Both are `None` for a code that is not known: then Meta's own
/// title has to do.
#[derive(Serialize, ToSchema)]
pub struct Explained {
    /// What happened.
    error_meaning: Option<Text>,
    /// What to do about it.
    error_advice: Option<Text>,
}

impl Explained {
    /// What is known of this WhatsApp error code.
    pub fn of(error_code: Option<i64>) -> Self {
        let reason = error_code.and_then(whatsapp_error::explain);
        Self {
            error_meaning: reason.map(|reason| reason.meaning),
            error_advice: reason.map(|reason| reason.advice),
        }
    }
}
