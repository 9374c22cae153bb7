//! State of a simulated room, and the part of a body that describes it.

use super::body::Body;
use super::expected::RoomClaim;
use super::message::Message;
use super::world::{Subject, World};

const AVATAR: &str = r#"{"url":"https://cdn.example.com/assets/qi-user.png","large":{"url":"https://cdn.example.com/assets/qi-user.png"},"filename":null,"size":0,"small":{"url":"https://cdn.example.com/assets/qi-user.png"},"medium":{"url":"https://cdn.example.com/assets/qi-user.png"}}"#;

/// Number of agents of all rooms together.
const AGENTS: u32 = 20;

/// Format of the bodies of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The current format.
    Current,
    /// The current format without avatars and image messages.
    Plain,
    /// The format of 2021, without a name of the event.
    Legacy,
    /// An invented format: wrong types, unknown fields, NUL, characters of every Unicode plane.
    Invalid,
}

/// Current state of a room. Times are milliseconds since 1970.
#[derive(Debug)]
pub struct Room {
    pub number: u32,
    pub shape: Shape,
    pub status: &'static str,
    pub created_at: i64,
    pub session_at: i64,
    pub updated_at: i64,
    pub last_message_at: i64,
    pub unread_count: u32,
    /// Number of the assigned agent.
    pub agent: u32,
}

impl Room {
    /// Opens a room now.
    pub fn open(world: &mut World, shape: Shape, status: &'static str) -> Self {
        let (number, now) = (world.new_room(), world.now);
        Self {
            number,
            shape,
            status,
            created_at: now,
            session_at: now,
            updated_at: now,
            last_message_at: now,
            unread_count: 0,
            agent: world.ids.attribute(Subject::Room, number, AGENTS),
        }
    }

    /// What a room event of this moment reports.
    pub fn claim(&self, world: &World) -> RoomClaim {
        let agents = u32::from(self.status != "unassigned");
        RoomClaim { agents, tags: 1, ..self.claim_at(world.now) }
    }

    /// What an event of this message reports at this moment.
    pub fn claim_in_message(&self, world: &World, message: &Message) -> RoomClaim {
        match self.shape {
            // In 2021 only an assignment moved `updated_at`.
            Shape::Legacy => RoomClaim {
                clock: self.updated_at.max(self.session_at).max(message.created_at),
                earlier: self.updated_at,
                ..self.claim_at(world.now)
            },
            Shape::Current | Shape::Plain => RoomClaim { tags: 1, ..self.claim_at(world.now) },
            Shape::Invalid => self.claim_at(world.now),
        }
    }

    /// A snapshot without agents and tags, active at this time.
    fn claim_at(&self, clock: i64) -> RoomClaim {
        let mut statuses = RoomClaim::STATUSES.iter();
        RoomClaim {
            number: self.number,
            clock,
            earlier: self.updated_at.min(clock),
            status_rank: statuses.position(|status| *status == self.status).unwrap_or(0),
            agents: 0,
            tags: 0,
            session_at: self.session_at,
            unread_count: self.unread_count,
            status: self.status,
        }
    }

    /// Fills a placeholder about the room.
    pub fn fill(&self, name: &'static str, body: &mut Body<'_>) {
        let is_resolved = self.status == "resolved";
        match name {
            "room_id" => body.id(Subject::Room, self.number),
            "room_status" => body.put(self.status),
            "session_at" => body.time(self.session_at),
            "room_avatar" if self.shape == Shape::Plain => body.put("null"),
            "room_avatar" => body.put(AVATAR),
            "unread_count" => body.format(format_args!("{}", self.unread_count)),
            "room_created_at" => body.time(self.created_at),
            "updated_at" => body.time(self.updated_at),
            "last_message_at" => body.time(self.last_message_at),
            "is_unresponded" => body.flag(self.unread_count > 0),
            "agent_ids" if self.status == "unassigned" => body.put("[]"),
            "agent_ids" => {
                body.put("[");
                body.quoted_id(Subject::Agent, self.agent);
                body.put("]");
            }
            "resolved_at" if is_resolved => {
                body.put("\"");
                body.time(self.updated_at);
                body.put("\"");
            }
            "resolved_by_id" if is_resolved => body.quoted_id(Subject::Agent, self.agent),
            "resolved_by_type" if is_resolved => body.put("\"Models::User\""),
            "resolved_at" | "resolved_by_id" | "resolved_by_type" => body.put("null"),
            _ => body.fill(name, self.number),
        }
    }
}
