//! Bodies of room events: a snapshot of the room with its last message.

use std::sync::LazyLock;

use super::body::Body;
use super::expected::{Claim, RoomClaim};
use super::message::Message;
use super::room::{Room, Shape};
use super::template::Template;
use super::webhook::Webhook;
use super::world::World;

static ROOM: LazyLock<Template> = LazyLock::new(|| Template::parse(include_str!("body/room.json")));
static LEGACY_RESOLVED: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/legacy-room-resolved.json")));

/// An event of a room.
pub fn room_event(world: &World, room: &Room, event: &'static str, last: &Message) -> Webhook {
    let mut body = Body::new(world);
    let claim = room.claim(world);
    if room.shape == Shape::Legacy && event == "room_resolved" {
        LEGACY_RESOLVED.write(&mut body, |name, body| room.fill(name, body));
        let claim = RoomClaim { agents: 0, tags: 0, ..claim };
        return Webhook::new(body, Claim { room: Some(claim), ..Claim::default() });
    }
    ROOM.write(&mut body, |name, body| match name {
        "room_event" => body.put(event),
        "webhook_event" if event.starts_with("agent_") => body.put("agent_responsibility"),
        "webhook_event" => body.put("room_interaction"),
        _ => last.fill(name, room, body),
    });
    Webhook::new(body, Claim { message: Some(last.claim(room)), room: Some(claim), log: None })
}
