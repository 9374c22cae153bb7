//! What we keep of one webhook: the word that the way in and the way out share.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::error;
use utoipa::ToSchema;

use crate::model::{
    Broadcast, BroadcastLog, EventId, FoldKey, Message, Room, RoomEvent, Sender, Timestamp,
};

/// Version of the rules that turn a body into an event; raised when they change, so that
/// the journal tells which rows a later version may read differently.
pub const PARSER_VERSION: i16 = 2;

/// What came in, before anything of its body is read. An event can be read from it at any time,
/// and says the same each time.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Id of the journal row.
    pub id: EventId,
    /// When the request was authenticated.
    pub received_at: Timestamp,
    /// Name of the endpoint whose token was used.
    pub endpoint: Arc<str>,
    /// Organisation of bodies that name none.
    pub organization_id: Option<Arc<str>>,
    /// The bytes as they came, inflated if they came compressed.
    pub body: Bytes,
    /// The request's id, as in the logs.
    pub request_id: String,
}

/// A webhook after normalising: the journal row and every change that follows from it.
#[derive(Debug)]
pub struct Event {
    /// What it was read from.
    pub webhook: Webhook,
    /// What it is; `None` when that could not be told.
    pub kind: Option<Kind>,
    /// The event's name as Qontak sent it.
    pub name: Option<String>,
    /// The organisation it belongs to; empty when neither body nor endpoint names one.
    pub organization_id: String,
    /// What it is about.
    pub subject_id: Option<String>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why it was not understood, and every field that could not be used.
    pub reasons: Vec<String>,
    /// What makes two deliveries the same.
    pub dedup_key: DedupKey,
    /// What it changes; empty unless the outcome is [`Outcome::Applied`].
    pub changes: Changes,
    /// Whether it is in the journal already, and is written to be read anew.
    pub is_replay: bool,
}

impl Event {
    /// Id of the journal row.
    pub const fn id(&self) -> EventId {
        self.webhook.id
    }

    /// When it was received.
    pub const fn received_at(&self) -> Timestamp {
        self.webhook.received_at
    }

    /// Keeps the event although the database refuses what follows from it.
    pub fn quarantine(&mut self, code: &str) {
        error!(event.id = %self.webhook.id.0, db.code = code, "refused by the database, quarantined");
        self.changes = Changes::default();
        self.outcome = Outcome::Quarantined;
        self.reasons.insert(0, format!("refused: by the database, code {code}"));
    }
}

/// The rows that an event says something about.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Changes {
    pub messages: Vec<Message>,
    pub rooms: Vec<Room>,
    pub senders: Vec<Sender>,
    pub room_events: Vec<RoomEvent>,
    pub broadcasts: Vec<Broadcast>,
    pub broadcast_logs: Vec<BroadcastLog>,
}

impl Changes {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Self { messages, rooms, senders, room_events, broadcasts, broadcast_logs } = self;
        messages.is_empty()
            && rooms.is_empty()
            && senders.is_empty()
            && room_events.is_empty()
            && broadcasts.is_empty()
            && broadcast_logs.is_empty()
    }
}

/// What an event is. Names are Qontak's own, but for `room_updated` and `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the documentation: see `as_str`")]
pub enum Kind {
    ReceiveMessageFromCustomer,
    ReceiveMessageFromAgent,
    StatusMessage,
    BroadcastLogStatus,
    RoomCreated,
    RoomResolved,
    /// Any other event whose body is a room (developer-center events such as `add_agent`).
    RoomUpdated,
    AgentAssignedToRoom,
    AgentUnassignedFromRoom,
    AgentHandoverRoom,
    CustomAgentAllocation,
    StatusTemplate,
    AvailableUserStatus,
    /// A name that this version does not know.
    Unknown,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::ReceiveMessageFromCustomer,
        Self::ReceiveMessageFromAgent,
        Self::StatusMessage,
        Self::BroadcastLogStatus,
        Self::RoomCreated,
        Self::RoomResolved,
        Self::RoomUpdated,
        Self::AgentAssignedToRoom,
        Self::AgentUnassignedFromRoom,
        Self::AgentHandoverRoom,
        Self::CustomAgentAllocation,
        Self::StatusTemplate,
        Self::AvailableUserStatus,
        Self::Unknown,
    ];

    /// Its name, in the journal and over the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReceiveMessageFromCustomer => "receive_message_from_customer",
            Self::ReceiveMessageFromAgent => "receive_message_from_agent",
            Self::StatusMessage => "status_message",
            Self::BroadcastLogStatus => "broadcast_log_status",
            Self::RoomCreated => "room_created",
            Self::RoomResolved => "room_resolved",
            Self::RoomUpdated => "room_updated",
            Self::AgentAssignedToRoom => "agent_assigned_to_room",
            Self::AgentUnassignedFromRoom => "agent_unassigned_from_room",
            Self::AgentHandoverRoom => "agent_handover_room",
            Self::CustomAgentAllocation => "custom_agent_allocation",
            Self::StatusTemplate => "status_template",
            Self::AvailableUserStatus => "available_user_status",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of an event that Qontak calls `name`; case and blanks around it do not matter.
    /// `None` for a name that is not Qontak's.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        Self::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, Self::RoomUpdated | Self::Unknown))
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether the same bytes may come again and mean something new, because the body holds no
    /// clock: an agent who goes online, offline and online sends the first body twice.
    const fn may_repeat(self) -> bool {
        matches!(
            self,
            Self::AgentAssignedToRoom
                | Self::AgentUnassignedFromRoom
                | Self::AgentHandoverRoom
                | Self::CustomAgentAllocation
                | Self::StatusTemplate
                | Self::AvailableUserStatus
                | Self::Unknown
        )
    }
}

/// What becomes of an authenticated request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Outcome {
    /// At least one table besides the journal tells of it.
    Applied,
    /// CompressedBody under its name; no table tells of it.
    Recorded,
    /// JSON that could not be identified; kept, and can be read again by a later version.
    Quarantined,
    /// Not JSON; the bytes are kept, and the sender is asked for a whole body.
    Malformed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Recorded, Self::Quarantined, Self::Malformed];

    /// Its name, in the journal and over the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Recorded => "recorded",
            Self::Quarantined => "quarantined",
            Self::Malformed => "malformed",
        }
    }
}

/// SHA-256 of a body: tells deliveries apart, and breaks ties between snapshots.
#[derive(Clone, Copy, Debug)]
pub struct BodyHash(pub [u8; 32]);

impl BodyHash {
    /// Hashes a body.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// In lower-case hex.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The tie-breaker of a fold key.
    pub fn tie(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]) >> (32 - FoldKey::TIE_BITS)
    }
}

/// What makes two deliveries the same, within a day: half of a SHA-256, for which two bodies meet
/// by chance once in 10^20 days of a billion deliveries. All of it would cost 32 bytes a row more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey(pub [u8; 16]);

impl DedupKey {
    /// How long a body without a clock counts as a repetition of itself.
    const WINDOW_SECONDS: i64 = 600;

    /// The same endpoint and bytes are the same delivery; for kinds that may repeat only within
    /// the same ten minutes.
    pub fn new(endpoint: &str, hash: BodyHash, kind: Option<Kind>, received_at: Timestamp) -> Self {
        let mut digest = Sha256::new();
        digest.update(endpoint);
        digest.update([0]);
        digest.update(hash.0);
        if kind.is_some_and(Kind::may_repeat) {
            let window = received_at.0.timestamp().div_euclid(Self::WINDOW_SECONDS);
            digest.update(window.to_be_bytes());
        }
        let hash = digest.finalize();
        Self(std::array::from_fn(|i| hash[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse().unwrap())
    }

    #[test]
    fn a_body_with_a_clock_is_the_same_delivery_all_day() {
        let key = |time| {
            DedupKey::new("qontak", BodyHash::of(b"{}"), Some(Kind::StatusMessage), at(time))
        };
        assert_eq!(key("2025-06-12T02:00:00Z"), key("2025-06-12T22:00:00Z"));
    }

    #[test]
    fn a_body_without_a_clock_is_a_new_event_after_ten_minutes() {
        let key = |time| {
            DedupKey::new("qontak", BodyHash::of(b"{}"), Some(Kind::AvailableUserStatus), at(time))
        };
        assert_eq!(key("2025-06-12T02:00:00Z"), key("2025-06-12T02:09:59Z"));
        assert_ne!(key("2025-06-12T02:00:00Z"), key("2025-06-12T02:10:00Z"));
    }

    #[test]
    fn the_same_bytes_at_two_endpoints_are_two_deliveries() {
        let key = |endpoint| {
            let hash = BodyHash::of(b"{}");
            DedupKey::new(endpoint, hash, Some(Kind::StatusMessage), at("2025-06-12T02:00:00Z"))
        };
        assert_ne!(key("a"), key("b"));
    }
}
