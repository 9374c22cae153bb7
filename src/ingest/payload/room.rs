//! A room as Qontak sends it: the body itself, an object in it, or only its id.

use chrono::SecondsFormat;

use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{FoldKey, Room, RoomEvent, Timestamp};

/// Where a body speaks of its room.
pub enum Reference<'a> {
    /// A snapshot of the room.
    Snapshot(Fields<'a>, String),
    /// Only its id, and the object that names it.
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

/// A body that *is* a room. A message also has `id` and `type`, but names its room beside them.
pub fn is_flat_room(body: &Fields<'_>) -> bool {
    let is_room_type = |name: String| name.starts_with("Models::") && name.ends_with("Room");
    body.id("id").is_some()
        && body.word("channel").is_some()
        && !body.has("room_id")
        && (body.word("type").is_some_and(is_room_type)
            || body.id("channel_integration_id").is_some())
}

/// Where [`room_of`] looks for the id of an event that must have one, in its order.
pub const ID_PATHS: &[&str] = &["room.id", "data.room.id", "data.room_id", "room_id", "id"];

/// The room that an event of this kind is about.
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
    // A room event may be a room that lacks what tells a room.
    if matches!(kind, Kind::RoomCreated | Kind::RoomResolved) {
        let id = body.id("id")?;
        return Some(Reference::Snapshot(body.clone(), id));
    }
    None
}

/// Reads a snapshot of a room, as an event of this kind shows it.
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
    // `updated_at` stays near `created_at` in some answers although the room went on, and runs
    // ahead of `last_activity_at` in others: the later of the two is the clock.
    let (smaller, clock) = match (updated_at, last_activity_at) {
        (None, None) => {
            let fallback = last_message_at.max(created_at);
            (fallback, fallback)
        }
        (one, None) | (None, one) => (one, one),
        (one, other) => (one.min(other), one.max(other)),
    };
    let implied = || (kind == Kind::RoomResolved).then(|| "resolved".to_owned());
    let status = fields.word("status").map(|status| status.trim().to_ascii_lowercase());
    let status = status.or_else(implied);
    let mut room = Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        clock,
        key: key(clock, smaller, status.as_deref(), context),
        name: fields.text("name"),
        description: fields.text("description"),
        status,
        r#type: fields.word("type"),
        tags: fields.list("tags"),
        channel: fields.word("channel"),
        channel_account: fields.text("channel_account"),
        channel_uniq_id: fields.id("channel_uniq_id"),
        account_uniq_id: fields.id("account_uniq_id"),
        channel_integration_id: fields.id("channel_integration_id"),
        session: fields.word("session"),
        session_at: fields.time("session_at"),
        unread_count: fields.integer("unread_count"),
        created_at,
        updated_at,
        last_message_at,
        last_activity_at,
        avatar: fields.avatar("avatar"),
        resolved_at: fields.time("resolved_at"),
        resolved_by_id: fields.id("resolved_by_id"),
        resolved_by_type: fields.said("resolved_by_type"),
        external_id: fields.id("external_id"),
        division_id: fields.id("division_id"),
        agent_ids: fields.list("agent_ids"),
        note: fields.as_is("note"),
        extra: fields.object_as_is("extra"),
        email_cc: fields.array_as_is("email_cc"),
        is_dont_auto_resolve: fields.boolean("is_dont_auto_resolve"),
        is_blocked: fields.boolean("is_blocked"),
        is_unresponded: fields.boolean("is_unresponded"),
        is_manual_survey: fields.boolean("is_manual_survey"),
    };
    // What says nothing is newer than nothing.
    if room.fields() == 0 {
        room.key = FoldKey::default();
    }
    room
}

/// A room of which only the id is known.
pub fn stub(room_id: &str, context: &EventContext<'_>) -> Room {
    Room {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        received_at: context.received_at,
        ..Room::default()
    }
}

/// Completes what a `room_resolved` says of its room: when and by whom it was resolved. A mere
/// reference counts as a snapshot of that moment.
pub fn resolution(
    room: &mut Room,
    reference: &Reference<'_>,
    body: &Fields<'_>,
    context: &EventContext<'_>,
) {
    // The wrapper's own time, in the shape with `service_name`.
    let wrapper_at = || body.has("service_name").then(|| body.time("created_at")).flatten();
    match reference {
        Reference::Snapshot(..) => {
            let data_at = || body.object("data")?.time("resolved_at");
            room.resolved_at = room
                .resolved_at
                .or_else(data_at)
                .or_else(wrapper_at)
                .or(room.clock)
                .or(Some(room.received_at));
            if room.clock.is_some() {
                return;
            }
        }
        Reference::IdOnly(fields, _) => {
            let at = fields.time("resolved_at").or_else(wrapper_at);
            room.status = Some("resolved".to_owned());
            room.resolved_at = at.or(Some(room.received_at));
            room.resolved_by_id = fields.id("resolved_by_id").or_else(|| fields.id("resolved_by"));
        }
    }
    // Without times of its own the room is as it was at that moment.
    room.clock = room.resolved_at;
    room.key = key(room.clock, room.clock, room.status.as_deref(), context);
}

/// What an event of this kind adds to the lifecycle_event of its room.
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
    // Without a snapshot the only clock is the body's own, if it has one.
    let at = at.or_else(|| if room.is_none() { body.time("created_at") } else { None });
    // Where nothing else says when, the resolve time is the time of receipt, which differs
    // between copies: then the body tells them apart.
    let said_at = at.filter(|at| *at != context.received_at);
    let (actor_id, actor_name) = actor(kind, room, body);
    Some(RoomEvent {
        organization_id: context.organization_id.to_owned(),
        room_id: room_id.to_owned(),
        r#type,
        discriminator: match said_at {
            // As exact as `at` is kept: reports that differ in it are not the same.
            Some(at) => {
                let at = at.0.to_rfc3339_opts(SecondsFormat::Micros, true);
                format!("{at} {}", actor_id.as_deref().unwrap_or_default())
            }
            None => context.hash.to_hex(),
        },
        at: said_at,
        actor_id,
        actor_name,
        event_id: context.event_id,
        received_at: context.received_at,
    })
}

/// Who did it, or to whom it was done. No body of these events was ever published: both shapes
/// that are known from elsewhere are tried.
fn actor(kind: Kind, room: Option<&Room>, body: &Fields<'_>) -> (Option<String>, Option<String>) {
    match kind {
        Kind::RoomResolved => (room.and_then(|room| room.resolved_by_id.clone()), None),
        Kind::RoomCreated => (None, None),
        _ => {
            if let Some(agent) = body.object("agent") {
                return (agent.id("id"), agent.word("full_name").or_else(|| agent.word("name")));
            }
            let name = body.object("profile").and_then(|profile| profile.word("name"));
            (body.id("contact_able_id"), name)
        }
    }
}

fn key(
    clock: Option<Timestamp>,
    smaller: Option<Timestamp>,
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
    FoldKey::new(clock, smaller, rank, context.hash.tie())
}
