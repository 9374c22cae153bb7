//! Parser of lifecycle events: a room is created, resolved, assigned, unassigned or handed over.
//!
//! Copies of one event must lead to one entry, so the discriminator of an entry must not depend on
//! the time of receipt.

use chrono::SecondsFormat;

use super::Reference;
use crate::event::Kind;
use crate::ingest::payload::{EventContext, Fields};
use crate::model::{Room, RoomEvent, RoomEventType};

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
        }
        Reference::IdOnly(fields, _) => {
            let at = fields.time("resolved_at").or_else(event_at);
            room.status = Some("resolved".to_owned());
            room.resolved_at = at.or(Some(room.received_at));
            room.resolved_by_id = fields.id("resolved_by_id").or_else(|| fields.id("resolved_by"));
        }
    }
    // A room without a clock is a snapshot of the time it was resolved.
    room.clock = room.clock.or_else(|| context.latest([room.resolved_at]));
}

/// Entry that an event of this kind adds to the history of its room; `None` for other kinds.
pub fn lifecycle_event(
    kind: Kind,
    room_id: &str,
    room: Option<&Room>,
    body: &Fields<'_>,
    context: &EventContext<'_>,
) -> Option<RoomEvent> {
    // A clock that is ahead counts as the time of receipt, which differs between copies of the event.
    let is_ahead = |room: &Room| {
        let times = [room.updated_at, room.last_activity_at, room.last_message_at];
        let latest = times.into_iter().flatten().max();
        latest.is_some_and(|latest| latest.ordering(context.received_at) != latest)
    };
    let clock = || room.filter(|room| !is_ahead(room)).and_then(|room| room.clock);
    let (r#type, at) = match kind {
        Kind::RoomCreated => {
            (RoomEventType::Created, room.and_then(|room| room.created_at).or_else(clock))
        }
        Kind::RoomResolved => (RoomEventType::Resolved, room.and_then(|room| room.resolved_at)),
        Kind::AgentAssignedToRoom => (RoomEventType::Assigned, clock()),
        Kind::AgentUnassignedFromRoom => (RoomEventType::Unassigned, clock()),
        Kind::AgentHandoverRoom => (RoomEventType::HandedOver, clock()),
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
        r#type: r#type.into(),
        discriminator: match reported_at {
            // To the microsecond, like the column `at`: entries with different times are different.
            Some(at) => {
                let at = at.0.to_rfc3339_opts(SecondsFormat::Micros, true);
                // Of two reports of one resolution only one may say by whom.
                let actor = actor_id.as_deref().filter(|_| kind != Kind::RoomResolved);
                format!("{at} {}", actor.unwrap_or_default())
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

/// Id and name of the agent that resolved the room, or to or from whom it was assigned, unassigned or
/// handed over. Qontak has not published these bodies, so both known shapes of an agent are read.
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
