//! Parser of rooms: the body itself, an object in it, or only an id.

use chrono::SecondsFormat;

use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{FoldKey, Room, RoomEvent, Timestamp};

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
    body.id("id").is_some()
        && body.non_blank("channel").is_some()
        && !body.has("room_id")
        && (body.non_blank("type").is_some_and(is_room_type)
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
    // others it is ahead of `last_activity_at`. So the later of the two is the clock.
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
        name: fields.text("name"),
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

/// Adds to a room when and by whom a `room_resolved` resolved it. If the body has only the room's
/// id, the room becomes a snapshot of that time.
pub fn resolution(
    room: &mut Room,
    reference: &Reference<'_>,
    body: &Fields<'_>,
    context: &EventContext<'_>,
) {
    // Bodies with `service_name` have the time of the event at the top level.
    let event_at = || body.has("service_name").then(|| body.time("created_at")).flatten();
    match reference {
        Reference::Snapshot(..) => {
            let data_at = || body.object("data")?.time("resolved_at");
            room.resolved_at = room
                .resolved_at
                .or_else(data_at)
                .or_else(event_at)
                .or(room.clock)
                .or(Some(room.received_at));
            if room.clock.is_some() {
                return;
            }
        }
        Reference::IdOnly(fields, _) => {
            let at = fields.time("resolved_at").or_else(event_at);
            room.status = Some("resolved".to_owned());
            room.resolved_at = at.or(Some(room.received_at));
            room.resolved_by_id = fields.id("resolved_by_id").or_else(|| fields.id("resolved_by"));
        }
    }
    // A room without a clock is a snapshot of the time it was resolved.
    room.clock = room.resolved_at;
    room.key = key(room.clock, room.clock, room.status.as_deref(), context);
}

/// Entry that an event of this kind adds to the history of its room.
pub fn lifecycle_event(
    kind: Kind,
    room_id: &str,
    room: Option<&Room>,
    body: &Fields<'_>,
    context: &EventContext<'_>,
) -> Option<RoomEvent> {
    let clock = || room.and_then(|room| room.clock);
    let (r#type, at) = match kind {
        Kind::RoomCreated => ("created", room.and_then(|room| room.created_at).or_else(clock)),
        Kind::RoomResolved => ("resolved", room.and_then(|room| room.resolved_at)),
        Kind::AgentAssignedToRoom => ("assigned", clock()),
        Kind::AgentUnassignedFromRoom => ("unassigned", clock()),
        Kind::AgentHandoverRoom => ("handed_over", clock()),
        _ => return None,
    };
    // Without a snapshot only the body can have a time.
    let at = at.or_else(|| if room.is_none() { body.time("created_at") } else { None });
    // A resolve time that defaulted to the time of receipt differs between copies of the event, so
    // it cannot identify the entry.
    let reported_at = at.filter(|at| *at != context.received_at);
    let (actor_id, actor_name) = actor(kind, room, body);
    Some(RoomEvent {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        r#type,
        discriminator: match reported_at {
            // To the microsecond, like the column `at`: entries with different times are different.
            Some(at) => {
                let at = at.0.to_rfc3339_opts(SecondsFormat::Micros, true);
                format!("{at} {}", actor_id.as_deref().unwrap_or_default())
            }
            None => context.hash.to_hex(),
        },
        at: reported_at,
        actor_id,
        actor_name,
        event_id: context.event_id,
        received_at: context.received_at,
    })
}

/// The agent that resolved the room, or was assigned or unassigned. Qontak documents no bodies of the
/// latter events; both shapes known from other events are read.
fn actor(kind: Kind, room: Option<&Room>, body: &Fields<'_>) -> (Option<String>, Option<String>) {
    match kind {
        Kind::RoomResolved => (room.and_then(|room| room.resolved_by_id.clone()), None),
        Kind::RoomCreated => (None, None),
        _ => {
            if let Some(agent) = body.object("agent") {
                return (
                    agent.id("id"),
                    agent.non_blank("full_name").or_else(|| agent.non_blank("name")),
                );
            }
            let name = body.object("profile").and_then(|profile| profile.non_blank("name"));
            (body.id("contact_able_id"), name)
        }
    }
}

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
