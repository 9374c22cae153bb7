//! Parser of rooms: the body itself, an object in it, or only an id.

mod lifecycle;

use std::borrow::Cow;

pub use self::lifecycle::{lifecycle_event, resolution};
use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::phone::normalize_account;
use crate::model::{FoldKey, PackedList, Precedence, Room, Timestamp};

/// The room in a body.
pub enum Reference<'a> {
    /// A snapshot of the room.
    Snapshot(Fields<'a>, String),
    /// Only the id, and the object that contains it.
    IdOnly(Fields<'a>, String),
}

impl Reference<'_> {
    /// The room's id.
    pub fn room_id(&self) -> &str {
        match self {
            Self::Snapshot(_, id) | Self::IdOnly(_, id) => id,
        }
    }
}

/// Whether the body *is* a room. A message also has `id` and `type`, but a `room_id` as well.
pub fn is_flat_room(body: &Fields<'_>) -> bool {
    let is_room_type = |name: Cow<'_, str>| name.starts_with("Models::") && name.ends_with("Room");
    // A channel that is too long to be kept still shows that this is a room.
    body.id_str("id").is_some()
        && body.text_str("channel").is_some_and(|channel| !channel.trim().is_empty())
        && !body.has("room_id")
        && (body.text_str("type").is_some_and(is_room_type)
            || body.id_str("channel_integration_id").is_some())
}

/// Where [`room_of`] looks for a required room id, in this order.
pub const ID_PATHS: &[&str] = &["room.id", "data.room.id", "data.room_id", "room_id", "id"];

/// Finds the room of an event.
pub fn room_of<'a>(body: &Fields<'a>, kind: Kind) -> Option<Reference<'a>> {
    if is_flat_room(body) {
        let id = body.id("id")?;
        return Some(Reference::Snapshot(body.clone(), id));
    }
    let nested = |fields: &Fields<'a>| {
        let room = fields.object("room")?;
        let id = room.id("id")?;
        Some(Reference::Snapshot(room, id))
    };
    if let Some(room) = nested(body) {
        return Some(room);
    }
    if let Some(data) = body.object("data") {
        if let Some(room) = nested(&data) {
            return Some(room);
        }
        if is_flat_room(&data) {
            let id = data.id("id")?;
            return Some(Reference::Snapshot(data, id));
        }
        if let Some(id) = data.id("room_id") {
            return Some(Reference::IdOnly(data, id));
        }
    }
    if let Some(id) = body.id("room_id") {
        return Some(Reference::IdOnly(body.clone(), id));
    }
    // Some room events are rooms without the fields that `is_flat_room` needs.
    if matches!(kind, Kind::RoomCreated | Kind::RoomResolved) {
        let id = body.id("id")?;
        return Some(Reference::Snapshot(body.clone(), id));
    }
    None
}

/// Reads a snapshot of a room from an event of this kind. `message_at` is the creation of the
/// message that contains it, or of its last message.
pub fn snapshot(
    fields: &Fields<'_>,
    room_id: &str,
    kind: Kind,
    message_at: Option<Timestamp>,
    context: &EventContext<'_>,
) -> Room {
    let created_at = fields.time("created_at");
    let updated_at = fields.time("updated_at");
    let last_message_at = fields.time("last_message_at");
    let last_activity_at = fields.time("last_activity_at");
    let account_uniq_id = fields.id("account_uniq_id");
    let session_at = fields.time("session_at").map(|at| at.ordering(context.received_at));
    let implied = || (kind == Kind::RoomResolved).then(|| "resolved".to_owned());
    let status = fields.word("status").or_else(implied);
    let mut room = Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        name: fields.non_blank("name"),
        description: fields.text("description"),
        status,
        r#type: fields.non_blank("type"),
        tags: fields.list("tags"),
        channel: fields.word("channel"),
        channel_account: fields.text("channel_account"),
        channel_uniq_id: fields.id("channel_uniq_id"),
        account_normalized: account_uniq_id.as_deref().map(normalize_account),
        account_uniq_id,
        channel_integration_id: fields.id("channel_integration_id"),
        session: fields.non_blank("session"),
        session_at,
        unread_count: fields.integer("unread_count"),
        created_at,
        updated_at,
        last_message_at,
        last_activity_at,
        avatar: fields.avatar("avatar"),
        resolved_at: fields.time("resolved_at"),
        resolved_by_id: fields.id("resolved_by_id"),
        resolved_by_type: fields.non_placeholder("resolved_by_type"),
        resolved_by_at: None,
        resolved_at_by: None,
        external_id: fields.id("external_id"),
        division_id: fields.id("division_id"),
        agent_ids: fields.list("agent_ids"),
        note: fields.raw("note"),
        extra: fields.raw_object("extra"),
        email_cc: fields.raw_array("email_cc"),
        is_dont_auto_resolve: fields.boolean("is_dont_auto_resolve"),
        is_blocked: fields.boolean("is_blocked"),
        is_unresponded: fields.boolean("is_unresponded"),
        is_manual_survey: fields.boolean("is_manual_survey"),
        ..Room::default()
    };
    // In some bodies `updated_at` stays near `created_at` although the room has changed since, in
    // others it is ahead of `last_activity_at`, and with some only the session or the message moves.
    let times = [updated_at, last_activity_at, last_message_at, session_at, message_at];
    room.clock = context.latest(times).or_else(|| context.latest([created_at]));
    room
}

/// Completes a room: its resolution and its key.
pub fn completed(mut room: Room, context: &EventContext<'_>) -> Room {
    // A snapshot that is not resolved ends an earlier resolution. So a room that is resolved again does not
    // show its first resolution.
    let is_resolved = room.status.as_deref() == Some("resolved");
    if room.status.is_some() && !is_resolved {
        room.resolved_at = Some(Room::NOT_RESOLVED);
        room.resolved_by_id = Some(String::new());
        room.resolved_by_type = Some(String::new());
    }
    // If no such snapshot arrived in between, time and resolver tell two resolutions apart.
    if let Some(id) = &room.resolved_by_id {
        room.resolved_by_at = Some(room.resolved_at.unwrap_or(Room::NOT_RESOLVED));
        // Types of another resolver do not count.
        room.resolved_by_type.get_or_insert_default();
        room.resolved_at_by = room.resolved_at.map(|_| id.clone());
    } else {
        room.resolved_at_by = room.resolved_at.map(|_| String::new());
    }
    room.key = key(&room, context);
    room
}

/// A room of which only the id is known, and perhaps the creation of a message in it.
pub fn stub(room_id: &str, message_at: Option<Timestamp>, context: &EventContext<'_>) -> Room {
    Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        clock: context.latest([message_at]),
        ..Room::default()
    }
}

/// Key of a snapshot. Statuses rank in the order of a room's lifecycle.
fn key(room: &Room, context: &EventContext<'_>) -> FoldKey {
    // A snapshot without fields must not count as newer than any other.
    if room.fields() == 0 {
        return FoldKey::default();
    }
    if room.clock.is_none() {
        return FoldKey::at(None, context.hash.tie());
    }
    let status_rank = match room.status.as_deref() {
        Some("campaign") => 1,
        Some("unassigned") => 2,
        Some("assigned") => 3,
        Some("resolved") => 4,
        Some("deleted") => 5,
        _ => 0,
    };
    let earlier = match (room.updated_at, room.last_activity_at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    FoldKey::new(&Precedence {
        clock: room.clock,
        earlier: context.latest([earlier.or(room.clock)]),
        status_rank,
        agents: room.agent_ids.as_ref().map_or(0, PackedList::len),
        tags: room.tags.as_ref().map_or(0, PackedList::len),
        session_at: room.session_at,
        unread_count: room.unread_count.unwrap_or(0),
        tie: (context.hash.tie() >> 112) as u16,
    })
}
