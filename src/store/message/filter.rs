//! Filters of message lists, and the places of messages in them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::MessageRow;
use crate::model::Timestamp;
use crate::store::search::Query;

/// All `message.sender_kind` of outgoing messages.
pub const OUTGOING: &[&str] = &["agent", "bot", "other"];

/// Filters of the list across rooms; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these `message.type`.
    pub r#type: Option<Vec<String>>,
    /// Any of these `message.status`, the effective one.
    pub status: Option<Vec<String>>,
    /// Any of these `message.sender_kind`.
    pub authors: Option<&'static [&'static str]>,
    /// Id at the channel (`wamid.…`).
    pub external_id: Option<String>,
    /// In any of these rooms.
    pub room_ids: Option<Vec<String>>,
    /// Any of these `message.channel`.
    pub channel: Option<Vec<String>>,
    /// `message.sender_id`.
    pub sender_id: Option<String>,
    /// Sent by a customer. Set by a scan that finds that all messages of the sender are.
    pub is_of_customer: bool,
    /// `message.broadcast_id`.
    pub broadcast_id: Option<String>,
    /// Whether a broadcast sent it; unknown counts as no.
    pub is_campaign: Option<bool>,
    /// Any of these `message.error_code`.
    pub error_codes: Option<BTreeSet<i64>>,
    /// Without a broadcast log, and one of several messages with the same id at the channel; for the
    /// list of deliveries only.
    pub is_without_log: bool,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Texts with all of these words.
    pub query: Option<Query>,
}

/// Place of a message in the list across rooms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `message.at`.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub message_id: String,
    /// Tie-breaker for equal ids; empty if unknown.
    pub organization_id: String,
}

/// Place of a message in the list of its room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomPlace {
    /// `message.at`.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub message_id: String,
}

impl RoomPlace {
    /// The place between this message and the next newer one, so that a page after it begins with this
    /// message: no other id sorts between an id and the same with the smallest character that Postgres
    /// stores.
    pub fn before(self) -> Self {
        Self { message_id: self.message_id + "\u{1}", ..self }
    }
}

impl MessageRow {
    /// Place in the list across rooms.
    pub fn place(&self) -> Place {
        Place {
            at: self.at,
            message_id: self.id.clone(),
            organization_id: self.organization_id.clone().unwrap_or_default(),
        }
    }

    /// Place in the list of its room.
    pub fn room_place(&self) -> RoomPlace {
        RoomPlace { at: self.at, message_id: self.id.clone() }
    }
}
