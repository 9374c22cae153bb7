//! What does Qontak send of a room?

use std::sync::LazyLock;

use super::Webhook;
use super::body::Body;
use super::expected::{Claim, RoomClaim};
use super::message::Message;
use super::template::Template;
use super::world::{Subject, World};

static ROOM: LazyLock<Template> = LazyLock::new(|| Template::parse(include_str!("body/room.json")));
static LEGACY_RESOLVED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/legacy-room-resolved.json")));

const AVATAR: &str = r#"{"url":"https://cdn.example.com/assets/qi-user.png","large":{"url":"https://cdn.example.com/assets/qi-user.png"},"filename":null,"size":0,"small":{"url":"https://cdn.example.com/assets/qi-user.png"},"medium":{"url":"https://cdn.example.com/assets/qi-user.png"}}"#;

/// How many agents look after all rooms.
const AGENTS: u32 = 20;

/// Which of Qontak's habits the bodies of a room follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Those of today.
    Current,
    /// The same, without pictures: neither of people nor in messages.
    Plain,
    /// Those of 2021: nothing names the event.
    Legacy,
    /// Those of nobody: wrong types, unknown fields, NUL, letters of every plane.
    Strange,
}

/// A room as it is now. Times are milliseconds since 1970.
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
    /// The number of the agent who looks after it.
    pub agent: u32,
}

impl Room {
    /// A room that opens now.
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
            agent: world.ids.trait_of(Subject::Room, number, AGENTS),
        }
    }

    /// Its snapshot in an event of this moment.
    pub const fn claim(&self, world: &World) -> RoomClaim {
        RoomClaim { number: self.number, clock: world.now, status: self.status }
    }

    /// An event of the room, which shows its last message as well.
    pub fn event(&self, world: &World, event: &'static str, last: &Message) -> Webhook {
        let mut body = Body::new(world);
        let room = Some(self.claim(world));
        if self.shape == Shape::Legacy && event == "room_resolved" {
            LEGACY_RESOLVED.write(&mut body, |gap, body| self.fill(gap, body));
            return Webhook::new(body, Claim { room, ..Claim::default() });
        }
        ROOM.write(&mut body, |gap, body| match gap {
            "room_event" => body.put(event),
            "webhook_event" if event.starts_with("agent_") => body.put("agent_responsibility"),
            "webhook_event" => body.put("room_interaction"),
            _ => last.fill(gap, self, body),
        });
        Webhook::new(body, Claim { message: Some(last.claim(self)), room, log: None })
    }

    /// Fills a gap that is about the room.
    pub fn fill(&self, gap: &'static str, body: &mut Body<'_>) {
        let is_resolved = self.status == "resolved";
        match gap {
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
            _ => body.fill(gap, self.number),
        }
    }
}
