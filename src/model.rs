//! Changes that an event makes to rooms, messages, senders and broadcasts.
//!
//! Each type has the fields of *one* event; absent ones are `None`. Postgres merges them into the
//! table of the same name (see `store`), so that all replicas agree. Changes of one batch are
//! merged here first, by the same rules.
//!
//! Raw JSON stays text: parsed, it takes many times the memory, and the size of bodies would no
//! longer bound the memory of the queue.

mod author;
mod broadcast_log;
mod event_id;
mod message;
pub mod micros;
mod packed_list;
pub mod phone;
pub mod qontak_object;
mod status;
mod time;
pub mod whatsapp_error;

use chrono::DateTime;
use serde::Serialize;
use serde_json::value::RawValue;
use strum::IntoStaticStr;
use utoipa::ToSchema;

pub use self::author::{Author, Direction};
pub use self::broadcast_log::BroadcastLog;
pub use self::event_id::EventId;
pub use self::message::{Message, TextKey};
pub use self::packed_list::PackedList;
pub use self::status::{Status, Statuses};
pub use self::time::{FoldKey, Precedence, Timestamp};

/// A room (conversation) as one event shows it: a snapshot, or little more than an id.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table room")]
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
    pub tags: Option<PackedList>,
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
    pub agent_ids: Option<PackedList>,
    pub note: Option<Box<RawValue>>,
    pub extra: Option<Box<RawValue>>,
    pub email_cc: Option<Box<RawValue>>,
    pub is_dont_auto_resolve: Option<bool>,
    pub is_blocked: Option<bool>,
    pub is_unresponded: Option<bool>,
    pub is_manual_survey: Option<bool>,
}

/// Calls a macro with the names of all optional fields of a room, in the order of the table's
/// columns.
macro_rules! with_room_fields {
    ($call:ident) => {
        $call!(
            name description status r#type tags channel channel_account channel_uniq_id
            account_uniq_id channel_integration_id session session_at unread_count
            created_at updated_at last_message_at last_activity_at avatar resolved_at
            resolved_by_id resolved_by_type external_id division_id agent_ids note extra
            email_cc is_dont_auto_resolve is_blocked is_unresponded is_manual_survey
        )
    };
}

impl Room {
    /// `resolved_at` of a snapshot that is not resolved. No real time is that early.
    pub const NOT_RESOLVED: Timestamp = Timestamp(DateTime::UNIX_EPOCH);

    /// Number of optional fields.
    pub const FIELDS: i32 = {
        macro_rules! count {
            ($($field:ident)*) => { [$(stringify!($field)),*].len() as i32 };
        }
        with_room_fields!(count)
    };

    /// Bit mask of the fields that are present, from `name` (lowest bit) to `is_manual_survey`.
    pub fn fields(&self) -> i32 {
        macro_rules! mask {
            ($($field:ident)*) => { bit_mask(&[$(self.$field.is_some()),*]) };
        }
        with_room_fields!(mask)
    }

    /// Copies absent fields from an older snapshot.
    pub fn fill(&mut self, older: &Self) {
        macro_rules! fill {
            ($($field:ident)*) => {
                $(if self.$field.is_none() {
                    self.$field.clone_from(&older.$field);
                })*
            };
        }
        with_room_fields!(fill);
    }
}

/// Bit mask whose lowest bit is the first element.
fn bit_mask(present: &[bool]) -> i32 {
    present.iter().rev().fold(0, |mask, present| mask << 1 | i32::from(*present))
}

/// Profile of a contact, agent or bot, as one message shows it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table sender")]
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
    /// Bit mask of the fields that are present.
    pub fn fields(&self) -> i32 {
        let Self { r#type, name, username, avatar, .. } = self;
        let present = [r#type.is_some(), name.is_some(), username.is_some(), avatar.is_some()];
        bit_mask(&present)
    }
}

/// An entry in the history of a room.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table room_event")]
pub struct RoomEvent {
    pub organization_id: String,
    pub room_id: String,
    pub r#type: &'static str,
    pub discriminator: String,
    pub at: Option<Timestamp>,
    pub actor_id: Option<String>,
    pub actor_name: Option<String>,
    pub event_id: EventId,
    pub received_at: Timestamp,
}

/// Type of a lifecycle event of a room.
#[derive(Clone, Copy, Debug, IntoStaticStr, ToSchema)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "documented by the names")]
pub enum RoomEventType {
    Created,
    Assigned,
    Unassigned,
    HandedOver,
    Resolved,
}

/// A broadcast as one log or message shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table broadcast")]
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
    /// Merges another change of the same broadcast. The order does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        least(&mut self.created_at, other.created_at);
        greatest(&mut self.name, &other.name);
        greatest(&mut self.template_id, &other.template_id);
        greatest(&mut self.channel_integration_id, &other.channel_integration_id);
    }
}

/// Keeps the greater of two values; `None` is the least.
fn greatest<T: Ord + Clone>(one: &mut Option<T>, other: &Option<T>) {
    if *one < *other {
        one.clone_from(other);
    }
}

/// Keeps the earlier of two times; `None` if both are absent.
fn least(one: &mut Option<Timestamp>, other: Option<Timestamp>) {
    *one = match (*one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}
