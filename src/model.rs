//! What an event can say about rooms, messages, senders and broadcasts.
//!
//! Each type holds what *one* event says, absent fields as `None`. The tables of the same name
//! hold what all of them say together; the merging is done by Postgres (see `store`), so that
//! any number of replicas agree.
//!
//! JSON that is kept as it is stays text: parsed, it takes many times the memory, and a queue
//! full of it would not be bounded by what its bodies weigh.

mod list;
mod status;
mod time;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::list::List;
pub use self::status::Statuses;
pub use self::time::{FoldKey, Timestamp};
use crate::event::EventId;

/// A message of a customer, an agent or a bot.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct Message {
    pub organization_id: String,
    pub message_id: String,
    pub received_at: Timestamp,
    pub room_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub channel_at: Option<Timestamp>,
    pub r#type: Option<String>,
    pub participant_type: Option<String>,
    pub participant_id: Option<String>,
    pub sender_type: Option<String>,
    pub sender_id: Option<String>,
    pub text: Option<String>,
    pub text_rank: TextRank,
    pub external_id: Option<String>,
    pub channel: Option<String>,
    pub channel_integration_id: Option<String>,
    pub broadcast_id: Option<String>,
    pub file_uniq_id: Option<String>,
    pub is_campaign: Option<bool>,
    pub is_edited: Option<bool>,
    pub review_star: Option<i64>,
    pub file: Option<Box<RawValue>>,
    pub reply: Option<Box<RawValue>>,
    pub buttons: Option<Box<RawValue>>,
    pub raw_message: Option<Box<RawValue>>,
    pub statuses: Statuses,
}

/// Which of several texts of a message wins: the greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TextRank {
    /// From a room's `last_message`, or there is no text.
    #[default]
    Embedded,
    /// From an event of the message itself.
    Sent,
    /// From an edit; of several the one received last, for Qontak sends no time of an edit.
    Edited(EventId),
}

impl TextRank {
    /// As Postgres compares it: any event's id is greater than one.
    pub const fn as_uuid(self) -> Uuid {
        match self {
            Self::Embedded => Uuid::nil(),
            Self::Sent => Uuid::from_u128(1),
            Self::Edited(event_id) => event_id.0,
        }
    }
}

/// What one event says of a conversation: a snapshot, or the little that a reference tells.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct Room {
    pub organization_id: String,
    pub room_id: String,
    pub received_at: Timestamp,
    pub clock: Option<Timestamp>,
    pub key: FoldKey,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: Option<String>,
    pub r#type: Option<String>,
    pub tags: Option<List>,
    pub channel: Option<String>,
    pub channel_account: Option<String>,
    pub channel_uniq_id: Option<String>,
    pub account_uniq_id: Option<String>,
    pub channel_integration_id: Option<String>,
    pub session: Option<String>,
    pub session_at: Option<Timestamp>,
    pub unread_count: Option<i64>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub last_message_at: Option<Timestamp>,
    pub last_activity_at: Option<Timestamp>,
    pub avatar: Option<Box<RawValue>>,
    pub resolved_at: Option<Timestamp>,
    pub resolved_by_id: Option<String>,
    pub resolved_by_type: Option<String>,
    pub external_id: Option<String>,
    pub division_id: Option<String>,
    pub agent_ids: Option<List>,
    pub note: Option<Box<RawValue>>,
    pub extra: Option<Box<RawValue>>,
    pub email_cc: Option<Box<RawValue>>,
    pub is_dont_auto_resolve: Option<bool>,
    pub is_blocked: Option<bool>,
    pub is_unresponded: Option<bool>,
    pub is_manual_survey: Option<bool>,
}

impl Room {
    /// Which fields it has, a bit each, in the order from `name` to `is_manual_survey`.
    pub fn fields(&self) -> i32 {
        let has = [
            self.name.is_some(),
            self.description.is_some(),
            self.status.is_some(),
            self.r#type.is_some(),
            self.tags.is_some(),
            self.channel.is_some(),
            self.channel_account.is_some(),
            self.channel_uniq_id.is_some(),
            self.account_uniq_id.is_some(),
            self.channel_integration_id.is_some(),
            self.session.is_some(),
            self.session_at.is_some(),
            self.unread_count.is_some(),
            self.created_at.is_some(),
            self.updated_at.is_some(),
            self.last_message_at.is_some(),
            self.last_activity_at.is_some(),
            self.avatar.is_some(),
            self.resolved_at.is_some(),
            self.resolved_by_id.is_some(),
            self.resolved_by_type.is_some(),
            self.external_id.is_some(),
            self.division_id.is_some(),
            self.agent_ids.is_some(),
            self.note.is_some(),
            self.extra.is_some(),
            self.email_cc.is_some(),
            self.is_dont_auto_resolve.is_some(),
            self.is_blocked.is_some(),
            self.is_unresponded.is_some(),
            self.is_manual_survey.is_some(),
        ];
        bits(&has)
    }
}

/// The first one is the lowest bit.
fn bits(has: &[bool]) -> i32 {
    has.iter().rev().fold(0, |bits, has| bits << 1 | i32::from(*has))
}

/// The face of a contact, agent or bot, as one message shows it.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of table sender say it")]
pub struct Sender {
    pub organization_id: String,
    pub sender_id: String,
    pub key: FoldKey,
    pub r#type: Option<String>,
    pub name: Option<String>,
    pub username: Option<String>,
    pub avatar: Option<Box<RawValue>>,
}

impl Sender {
    /// Which fields it has, a bit each.
    pub fn fields(&self) -> i32 {
        let Self { r#type, name, username, avatar, .. } = self;
        let has = [r#type.is_some(), name.is_some(), username.is_some(), avatar.is_some()];
        bits(&has)
    }
}

/// Something that happened in the life of a room.
#[derive(Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the columns of table room_event say it")]
pub struct RoomEvent {
    pub organization_id: String,
    pub room_id: String,
    pub r#type: &'static str,
    pub mark: String,
    pub at: Option<Timestamp>,
    pub actor_id: Option<String>,
    pub actor_name: Option<String>,
    pub event_id: EventId,
    pub received_at: Timestamp,
}

/// What a log or a message tells of its broadcast.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the columns of table broadcast say it")]
pub struct Broadcast {
    pub organization_id: String,
    pub broadcast_id: String,
    pub received_at: Timestamp,
    pub created_at: Option<Timestamp>,
    pub name: Option<String>,
    pub template_id: Option<String>,
    pub channel_integration_id: Option<String>,
}

impl Broadcast {
    /// What both tell together, whichever came first.
    pub fn merge(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        self.created_at = match (self.created_at, other.created_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let greatest = |one: &mut Option<String>, other: &Option<String>| {
            if *one < *other {
                one.clone_from(other);
            }
        };
        greatest(&mut self.name, &other.name);
        greatest(&mut self.template_id, &other.template_id);
        greatest(&mut self.channel_integration_id, &other.channel_integration_id);
    }
}

/// One recipient of a broadcast.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the columns of table broadcast_log say it")]
pub struct BroadcastLog {
    pub organization_id: String,
    pub log_id: String,
    pub received_at: Timestamp,
    pub broadcast_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub template_id: Option<String>,
    pub channel_integration_id: Option<String>,
    pub contact_phone_number: Option<String>,
    pub contact_full_name: Option<String>,
    pub whatsapp_message_id: Option<String>,
    pub error_code: Option<i64>,
    pub error_title: Option<String>,
    pub error_message: Option<String>,
    pub billable: Option<bool>,
    pub pricing_category: Option<String>,
    pub pricing_model: Option<String>,
    pub conversation_id: Option<String>,
    pub conversation_origin: Option<String>,
    pub is_pacing: Option<bool>,
    pub messages: Option<Box<RawValue>>,
    pub pending_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub read_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub statuses: Statuses,
}
