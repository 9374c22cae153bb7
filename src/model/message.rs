//! A message as one event shows it, and how several of them are merged.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use uuid::Uuid;

use super::attribute::Attribute;
use super::author::{Author, Direction};
use super::fold::{OlderKeys, folded, greatest, least};
use super::status::Statuses;
use super::time::{FoldKey, Timestamp};

/// A message of a customer, agent or bot.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table message")]
pub struct Message {
    pub organization_id: String,
    pub message_id: String,
    pub received_at: Timestamp,
    pub key: FoldKey,
    pub older_keys: OlderKeys,
    pub room_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub channel_at: Option<Timestamp>,
    pub r#type: Option<String>,
    pub participant_type: Option<String>,
    pub participant_id: Option<String>,
    pub sender_type: Option<String>,
    pub sender_id: Option<String>,
    pub author_by_sender: Option<Author>,
    pub direction_by_name: Option<Direction>,
    pub text: Option<String>,
    pub text_key: TextKey,
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

folded!(
    Message: room_id r#type participant_type participant_id sender_type sender_id
    author_by_sender external_id channel channel_integration_id broadcast_id file_uniq_id
    is_campaign review_star file reply buttons raw_message
);

impl Message {
    /// Folds another change of the same message into this one.
    pub fn fold(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        least(&mut self.created_at, other.created_at);
        least(&mut self.channel_at, other.channel_at);
        least(&mut self.failed_at, other.failed_at);
        greatest(&mut self.direction_by_name, &other.direction_by_name);
        greatest(&mut self.is_edited, &other.is_edited);
        if other.text.is_some() && (self.text.is_none() || other.text_key >= self.text_key) {
            self.text.clone_from(&other.text);
        }
        self.text_key = self.text_key.max(other.text_key);
        // Title and details never belong to another code.
        match other.error_code.cmp(&self.error_code) {
            Ordering::Less => {}
            Ordering::Equal => {
                greatest(&mut self.error_title, &other.error_title);
                greatest(&mut self.error_details, &other.error_details);
            }
            Ordering::Greater => {
                self.error_code = other.error_code;
                self.error_title.clone_from(&other.error_title);
                self.error_details.clone_from(&other.error_details);
            }
        }
        self.statuses.merge(&other.statuses);
        self.fold_fields(other);
    }
}

/// Orders the texts of a message; the text with the greatest key is kept. An edited text wins over
/// one that is not, any text of an event of the message over one embedded in a room, and that of the
/// newer event over that of the older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::Type)]
#[sqlx(transparent, no_pg_array)]
pub struct TextKey(Uuid);

impl TextKey {
    /// Key of a text in an event of the message.
    pub fn new(is_edited: bool, key: FoldKey) -> Self {
        Self::of(if is_edited { 2 } else { 1 }, key)
    }

    /// Key of a text in a copy of the message.
    pub fn embedded(key: FoldKey) -> Self {
        Self::of(0, key)
    }

    fn of(rank: u128, FoldKey(key): FoldKey) -> Self {
        Self(Uuid::from_u128(rank << 126 | key.as_u128() >> 2))
    }
}

impl Attribute for TextKey {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(self).map(drop)
    }
}
