//! A message as one event shows it, and how several of them are merged.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Author, Direction, Statuses, Timestamp, bit_mask, greatest, least};

/// A message of a customer, agent or bot.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table message")]
pub struct Message {
    pub organization_id: String,
    pub message_id: String,
    pub received_at: Timestamp,
    /// Latest time of the event; the Unix epoch if the event is not about the message.
    pub clock: Timestamp,
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

/// Calls a macro with the names of the fields that have the value of the newest event and that Rust
/// can compare, in the order of `message.clocks`.
macro_rules! with_message_fields {
    ($call:ident) => {
        $call!(
            room_id r#type participant_type participant_id sender_type sender_id external_id
            channel channel_integration_id broadcast_id file_uniq_id is_campaign review_star
        )
    };
}

impl Message {
    /// Bit mask of the fields of `message.clocks` that are present, from `room_id` (lowest bit) to
    /// `author_by_sender`.
    pub fn fields(&self) -> i32 {
        let Self { file, reply, buttons, raw_message, author_by_sender, .. } = self;
        let json = [file, reply, buttons, raw_message].map(Option::is_some);
        let author = [author_by_sender.is_some()];
        macro_rules! mask {
            ($($field:ident)*) => {{
                let comparable = [$(self.$field.is_some()),*];
                bit_mask(&[&comparable[..], &json, &author].concat())
            }};
        }
        with_message_fields!(mask)
    }

    /// Merges another change of the same message by the rules of the table; the order does not
    /// matter. Returns false without any change if only Postgres can do so: if a field of the older
    /// change is missing in the newer one, or to compare `jsonb`.
    pub fn merge(&mut self, other: &Self) -> bool {
        let newer = other.clock.cmp(&self.clock);
        let lacking = match newer {
            Ordering::Greater => self.fields() & !other.fields(),
            Ordering::Less => other.fields() & !self.fields(),
            Ordering::Equal => 0,
        };
        let differs = |one: &Option<Box<RawValue>>, other: &Option<Box<RawValue>>| {
            let texts = (one.as_deref().map(RawValue::get), other.as_deref().map(RawValue::get));
            newer.is_eq() && matches!(texts, (Some(one), Some(other)) if one != other)
        };
        if lacking != 0
            || differs(&self.file, &other.file)
            || differs(&self.reply, &other.reply)
            || differs(&self.buttons, &other.buttons)
            || differs(&self.raw_message, &other.raw_message)
            || !self.statuses.merge(&other.statuses)
        {
            return false;
        }
        self.received_at = self.received_at.min(other.received_at);
        self.clock = self.clock.max(other.clock);
        least(&mut self.created_at, other.created_at);
        least(&mut self.channel_at, other.channel_at);
        least(&mut self.failed_at, other.failed_at);
        macro_rules! keep_newer {
            ($($field:ident)*) => {
                $(keep_newer(newer, &mut self.$field, &other.$field);)*
            };
        }
        with_message_fields!(keep_newer);
        keep_newer(newer, &mut self.author_by_sender, &other.author_by_sender);
        greatest(&mut self.direction_by_name, &other.direction_by_name);
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
        greatest(&mut self.is_edited, &other.is_edited);
        keep_newer(other.text_key.cmp(&self.text_key), &mut self.text, &other.text);
        self.text_key = self.text_key.max(other.text_key);
        for (one, other) in [
            (&mut self.file, &other.file),
            (&mut self.reply, &other.reply),
            (&mut self.buttons, &other.buttons),
            (&mut self.raw_message, &other.raw_message),
        ] {
            // With equal clocks both are equal.
            if other.is_some() && (newer.is_gt() || one.is_none()) {
                one.clone_from(other);
            }
        }
        true
    }
}

/// Keeps the value of the newer change, and of equally new ones the greater; `None` always loses.
/// `newer` compares the other change with this one.
fn keep_newer<T: Ord + Clone>(newer: Ordering, one: &mut Option<T>, other: &Option<T>) {
    match newer {
        Ordering::Greater if other.is_some() => one.clone_from(other),
        Ordering::Less if one.is_some() => {}
        _ => greatest(one, other),
    }
}

/// Orders the texts of a message; the text with the greatest key is kept. An edited text wins over
/// one that is not, any text of an event of the message over one embedded in a room, and the later
/// clock over the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TextKey(Uuid);

impl TextKey {
    /// The key of a text in an event of the message; [`TextKey::default`] is the one of an embedded
    /// text.
    pub fn new(is_edited: bool, clock: Timestamp) -> Self {
        let rank: u128 = if is_edited { 2 << 120 } else { 1 << 64 };
        let micros = clock.0.timestamp_micros().max(0).unsigned_abs();
        Self(Uuid::from_u128(rank | u128::from(micros)))
    }

    /// The key as Postgres compares it.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}
