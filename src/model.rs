//! Changes that an event makes to rooms, messages, senders and broadcasts.
//!
//! Each type has the fields of *one* event; absent ones are `None`. Postgres merges them into the
//! table of the same name (see `store`), so that all replicas agree. Changes of one batch are
//! merged here first, by the same rules.
//!
//! Raw JSON stays text: parsed, it takes many times the memory, and the size of bodies would no
//! longer bound the memory of the queue.

mod attribute;
mod author;
mod broadcast_log;
mod event_id;
mod fold;
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

pub use self::attribute::Attribute;
pub use self::author::{Author, Direction};
pub use self::broadcast_log::{BroadcastLog, DeliveryFailure};
pub use self::event_id::EventId;
pub use self::fold::OlderKeys;
use self::fold::{folded, greatest, least};
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
    pub older_keys: OlderKeys,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: Option<String>,
    pub r#type: Option<String>,
    pub tags: Option<PackedList>,
    pub channel: Option<String>,
    pub channel_account: Option<String>,
    pub channel_uniq_id: Option<String>,
    pub account_uniq_id: Option<String>,
    pub account_normalized: Option<String>,
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
    pub resolved_by_at: Option<Timestamp>,
    pub resolved_at_by: Option<String>,
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

folded!(
    Room: name description status r#type tags channel channel_account channel_uniq_id
    account_uniq_id account_normalized channel_integration_id session session_at unread_count
    created_at updated_at last_message_at last_activity_at avatar resolved_at resolved_by_id
    resolved_by_type resolved_by_at resolved_at_by external_id division_id agent_ids note extra email_cc is_dont_auto_resolve
    is_blocked is_unresponded is_manual_survey
);

impl Room {
    /// `resolved_at` of a snapshot that is not resolved, and `resolved_by_at` of one that says by whom but
    /// not when. No real time is that early.
    pub const NOT_RESOLVED: Timestamp = Timestamp(DateTime::UNIX_EPOCH);

    /// Folds another snapshot of the same room into this one.
    pub fn fold(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        self.clock = self.clock.max(other.clock);
        self.fold_fields(other);
    }
}

/// Profile of a contact, agent or bot, as one message shows it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table sender")]
pub struct Sender {
    pub organization_id: String,
    pub sender_id: String,
    pub key: FoldKey,
    pub older_keys: OlderKeys,
    pub r#type: Option<String>,
    pub name: Option<String>,
    pub username: Option<String>,
    pub avatar: Option<Box<RawValue>>,
}

folded!(Sender: r#type name username avatar);

impl Sender {
    /// Folds another profile of the same sender into this one.
    pub fn fold(&mut self, other: &Self) {
        self.fold_fields(other);
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

impl RoomEvent {
    /// Folds another report of the same lifecycle event into this one: the earlier event is kept.
    pub fn fold(&mut self, other: &Self) {
        greatest(&mut self.actor_id, &other.actor_id);
        greatest(&mut self.actor_name, &other.actor_name);
        self.event_id = self.event_id.min(other.event_id);
        self.received_at = self.received_at.min(other.received_at);
    }
}

/// State of a template or agent, as one event reports it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table catalog_state")]
pub struct CatalogState {
    pub organization_id: String,
    pub kind: &'static str,
    pub id: String,
    pub event_id: EventId,
    pub at: Timestamp,
    pub data: Box<RawValue>,
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

/// A broadcast as one log or message shows it. Each of its logs repeats the same fields, so the
/// oldest event wins: the row seldom changes, and writers do not contend for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table broadcast")]
pub struct Broadcast {
    pub organization_id: String,
    pub broadcast_id: String,
    pub received_at: Timestamp,
    pub created_at: Option<Timestamp>,
    /// [Reversed](FoldKey::reversed) key of the event.
    pub key: FoldKey,
    pub older_keys: OlderKeys,
    pub name: Option<String>,
    pub template_id: Option<String>,
    pub channel_integration_id: Option<String>,
}

folded!(Broadcast: name template_id channel_integration_id);

impl Broadcast {
    /// Folds another change of the same broadcast into this one.
    pub fn fold(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        least(&mut self.created_at, other.created_at);
        self.fold_fields(other);
    }
}
