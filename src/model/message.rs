//! A message as one event shows it, and how several of them are merged.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{EventId, Statuses, Timestamp, greatest, least};

/// A message of a customer, agent or bot.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table message")]
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
    pub error_code: Option<i64>,
    pub error_title: Option<String>,
    pub error_details: Option<String>,
    pub failed_at: Option<Timestamp>,
    pub statuses: Statuses,
}

impl Message {
    /// Merges another change of the same message by the rules of the table; the order does not
    /// matter. Returns false without any change if only Postgres can compare two values, as with
    /// `jsonb`.
    pub fn merge(&mut self, other: &Self) -> bool {
        let differs = |one: &Option<Box<RawValue>>, other: &Option<Box<RawValue>>| {
            let texts = (one.as_deref().map(RawValue::get), other.as_deref().map(RawValue::get));
            matches!(texts, (Some(one), Some(other)) if one != other)
        };
        if differs(&self.file, &other.file)
            || differs(&self.reply, &other.reply)
            || differs(&self.buttons, &other.buttons)
            || differs(&self.raw_message, &other.raw_message)
            || !self.statuses.merge(&other.statuses)
        {
            return false;
        }
        self.received_at = self.received_at.min(other.received_at);
        least(&mut self.created_at, other.created_at);
        least(&mut self.channel_at, other.channel_at);
        least(&mut self.failed_at, other.failed_at);
        greatest(&mut self.room_id, &other.room_id);
        greatest(&mut self.r#type, &other.r#type);
        greatest(&mut self.participant_type, &other.participant_type);
        greatest(&mut self.participant_id, &other.participant_id);
        greatest(&mut self.sender_type, &other.sender_type);
        greatest(&mut self.sender_id, &other.sender_id);
        greatest(&mut self.external_id, &other.external_id);
        greatest(&mut self.channel, &other.channel);
        greatest(&mut self.channel_integration_id, &other.channel_integration_id);
        greatest(&mut self.broadcast_id, &other.broadcast_id);
        greatest(&mut self.file_uniq_id, &other.file_uniq_id);
        greatest(&mut self.is_campaign, &other.is_campaign);
        greatest(&mut self.is_edited, &other.is_edited);
        greatest(&mut self.review_star, &other.review_star);
        // Title and details never belong to another code.
        match self.error_code.cmp(&other.error_code) {
            Ordering::Less => {
                self.error_code = other.error_code;
                self.error_title.clone_from(&other.error_title);
                self.error_details.clone_from(&other.error_details);
            }
            Ordering::Equal => {
                greatest(&mut self.error_title, &other.error_title);
                greatest(&mut self.error_details, &other.error_details);
            }
            Ordering::Greater => {}
        }
        let rank = self.text_rank.cmp(&other.text_rank);
        if self.text.is_none() || rank.is_eq() {
            greatest(&mut self.text, &other.text);
        } else if rank.is_lt() && other.text.is_some() {
            self.text.clone_from(&other.text);
        }
        self.text_rank = self.text_rank.max(other.text_rank);
        for (one, other) in [
            (&mut self.file, &other.file),
            (&mut self.reply, &other.reply),
            (&mut self.buttons, &other.buttons),
            (&mut self.raw_message, &other.raw_message),
        ] {
            if one.is_none() {
                one.clone_from(other);
            }
        }
        true
    }
}

/// Rank of a message's text; the text with the greatest rank is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TextRank {
    /// From `last_message` of a room, or no text.
    #[default]
    Embedded,
    /// From an event of the message itself.
    Sent,
    /// From an edit. The one received last wins, because Qontak sends no time of an edit.
    Edited(EventId),
}

impl TextRank {
    /// The rank as Postgres compares it. Every event id is greater than 1.
    pub const fn as_uuid(self) -> Uuid {
        match self {
            Self::Embedded => Uuid::nil(),
            Self::Sent => Uuid::from_u128(1),
            Self::Edited(event_id) => event_id.0,
        }
    }
}
