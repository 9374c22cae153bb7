//! A webhook and the event it becomes: the types that receiving and reading share.
//!
//! [`Webhook`] has everything that [`normalize`](crate::ingest::normalize) needs. It is what the
//! journal and the spool store, so that an event can be computed again at any time.

mod dedup_key;
mod kind;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

pub use self::dedup_key::{BodyHash, DedupKey};
pub use self::kind::Kind;
use crate::model::{
    Broadcast, BroadcastLog, CatalogState, EventId, Message, Room, RoomEvent, Sender, Timestamp,
};

/// Version of the parser, stored with each event. Increase it when the same body leads to another
/// event, so that `event.parser_version` shows which rows an older parser wrote.
pub const PARSER_VERSION: i16 = 8;

/// Endpoint of events that were not sent by Qontak but read from its API. No endpoint of the settings has
/// this name.
pub const BACKFILL: &str = "backfill";

/// An authenticated request, before its body is parsed.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Id of the journal row.
    pub id: EventId,
    /// Time at which the request was authenticated.
    pub received_at: Timestamp,
    /// Name of the endpoint whose token was used.
    pub endpoint: Arc<str>,
    /// Organisation of bodies that contain none.
    pub organization_id: Option<Arc<str>>,
    /// The body byte for byte, decompressed if it was compressed.
    pub body: Bytes,
    /// Request id, as in the logs.
    pub request_id: String,
    /// Whether the disk of the spool changed the body, so that it must not be parsed.
    pub is_damaged: bool,
}

/// A normalized webhook: the journal row and all changes that follow from it.
#[derive(Debug)]
pub struct Event {
    /// The webhook.
    pub webhook: Webhook,
    /// Kind of the event; `None` if it could not be determined.
    pub kind: Option<Kind>,
    /// Event name as Qontak sent it.
    pub name: Option<String>,
    /// Organisation of the event; empty if neither body nor endpoint has one.
    pub organization_id: String,
    /// Id of the room, message or broadcast log that the event is about.
    pub subject_id: Option<String>,
    /// Result of normalizing.
    pub outcome: Outcome,
    /// Why the event could not be identified, and each field that could not be used.
    pub reasons: Vec<String>,
    /// Paths of the fields that could not be used, without the indexes of array elements.
    pub ignored_fields: Vec<String>,
    /// Key that is equal for deliveries of the same event.
    pub dedup_key: DedupKey,
    /// Changes of other tables; empty unless the outcome is [`Outcome::Applied`].
    pub changes: Changes,
    /// Whether the event is in the journal already and is written again.
    pub is_replay: bool,
}

impl Event {
    /// Id of the journal row.
    pub const fn id(&self) -> EventId {
        self.webhook.id
    }

    /// Time of receipt.
    pub const fn received_at(&self) -> Timestamp {
        self.webhook.received_at
    }

    /// The event name, if this version does not know it.
    pub fn unknown_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| Kind::from_name(name).is_none())
    }

    /// Drops the changes that the database rejected, so that the event itself can be stored.
    pub fn quarantine(&mut self, code: &str) {
        self.changes = Changes::default();
        self.outcome = Outcome::Quarantined;
        let reason = format!("refused: rejected by the database (SQLSTATE {code})");
        self.reasons.insert(0, reason);
    }
}

/// The changes of an event, by table.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the types")]
pub struct Changes {
    pub messages: Vec<Message>,
    pub rooms: Vec<Room>,
    pub senders: Vec<Sender>,
    pub room_events: Vec<RoomEvent>,
    pub broadcasts: Vec<Broadcast>,
    pub broadcast_logs: Vec<BroadcastLog>,
    pub catalog_states: Vec<CatalogState>,
}

impl Changes {
    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        let Self {
            messages,
            rooms,
            senders,
            room_events,
            broadcasts,
            broadcast_logs,
            catalog_states,
        } = self;
        messages.is_empty()
            && rooms.is_empty()
            && senders.is_empty()
            && room_events.is_empty()
            && broadcasts.is_empty()
            && broadcast_logs.is_empty()
            && catalog_states.is_empty()
    }
}

/// Result of an event.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantNames,
    sqlx::Type,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "event_outcome", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Stored in the journal and in at least one other table.
    Applied,
    /// Stored in the journal only: an event of this kind changes no other table.
    Recorded,
    /// JSON that could not be identified; stored in the journal and can be replayed.
    Quarantined,
    /// Not JSON; the bytes are stored, and the sender is asked to send the whole body.
    Malformed,
}

impl Outcome {
    /// Name in the journal and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
