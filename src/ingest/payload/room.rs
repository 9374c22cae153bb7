//! Parser of rooms: the body itself, an object in it, or only an id.

mod lifecycle;

pub use self::lifecycle::{lifecycle_event, resolution};
use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{FoldKey, Room, Timestamp};

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
    let is_room_type = |name: String| name.starts_with("Models::") && name.ends_with("Room");
    // A channel that is too long to be kept still shows that this is a room.
    body.id("id").is_some()
        && body.text("channel").is_some_and(|channel| !channel.trim().is_empty())
        && !body.has("room_id")
        && (body.text("type").is_some_and(is_room_type)
            || body.id("channel_integration_id").is_some())
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

/// Reads a snapshot of a room from an event of this kind.
pub fn snapshot(
    fields: &Fields<'_>,
    room_id: &str,
    kind: Kind,
    context: &EventContext<'_>,
) -> Room {
    let created_at = fields.time("created_at");
    let updated_at = fields.time("updated_at");
    let last_message_at = fields.time("last_message_at");
    let last_activity_at = fields.time("last_activity_at");
    // In some bodies `updated_at` stays near `created_at` although the room has changed since, in
    // others it is ahead of `last_activity_at`. So the clock is the later of the two.
    let (earlier, clock) = match (updated_at, last_activity_at) {
        (None, None) => {
            let fallback = last_message_at.max(created_at);
            (fallback, fallback)
        }
        (one, None) | (None, one) => (one, one),
        (one, other) => (one.min(other), one.max(other)),
    };
    let implied = || (kind == Kind::RoomResolved).then(|| "resolved".to_owned());
    let status = fields.non_blank("status").map(|status| status.trim().to_ascii_lowercase());
    let status = status.or_else(implied);
    let mut room = Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        clock,
        key: key(clock, earlier, status.as_deref(), context),
        name: fields.non_blank("name"),
        description: fields.text("description"),
        status,
        r#type: fields.non_blank("type"),
        tags: fields.list("tags"),
        channel: fields.non_blank("channel"),
        channel_account: fields.text("channel_account"),
        channel_uniq_id: fields.id("channel_uniq_id"),
        account_uniq_id: fields.id("account_uniq_id"),
        channel_integration_id: fields.id("channel_integration_id"),
        session: fields.non_blank("session"),
        session_at: fields.time("session_at"),
        unread_count: fields.integer("unread_count"),
        created_at,
        updated_at,
        last_message_at,
        last_activity_at,
        avatar: fields.avatar("avatar"),
        resolved_at: fields.time("resolved_at"),
        resolved_by_id: fields.id("resolved_by_id"),
        resolved_by_type: fields.non_placeholder("resolved_by_type"),
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
    };
    // A snapshot without fields must not count as newer than any other.
    if room.fields() == 0 {
        room.key = FoldKey::default();
    }
    room
}

/// A room of which nothing but the id is known.
pub fn stub(room_id: &str, context: &EventContext<'_>) -> Room {
    Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        ..Room::default()
    }
}

/// Key of a snapshot. Statuses rank in the order of a room's lifecycle.
fn key(
    clock: Option<Timestamp>,
    earlier: Option<Timestamp>,
    status: Option<&str>,
    context: &EventContext<'_>,
) -> FoldKey {
    let rank = match status {
        Some("campaign") => 1,
        Some("unassigned") => 2,
        Some("assigned") => 3,
        Some("resolved") => 4,
        Some("deleted") => 5,
        _ => 0,
    };
    FoldKey::new(clock, earlier, rank, context.hash.tie())
}
