//! Changes of an event, by kind.

use super::broadcast_log::broadcast_log;
use super::catalog_state::{self, catalog_state};
use super::message::{broadcast, embedded_message, message, sender, set_keys, starts_session};
use super::room::{Reference, completed, lifecycle_event, resolution, room_of, snapshot, stub};
use super::{EventContext, Fields};
use crate::event::{Changes, Kind, Outcome};

/// Begins the reason of an event whose body, which nobody has published, is not as expected.
const UNKNOWN_SHAPE: &str = "unknown_shape";

/// Outcome, subject id and changes of an event; `None` if a required subject id is missing.
pub fn changes(
    body: &Fields<'_>,
    kind: Kind,
    context: &EventContext<'_>,
) -> Option<(Outcome, Option<String>, Changes)> {
    use Kind::{
        AgentAssignedToRoom, AgentHandoverRoom, AgentUnassignedFromRoom, AvailableUserStatus,
        BroadcastLogStatus, CustomAgentAllocation, ReceiveMessageFromAgent,
        ReceiveMessageFromCustomer, RoomCreated, RoomResolved, RoomUpdated, StatusMessage,
        StatusTemplate, Unknown,
    };
    Some(match kind {
        ReceiveMessageFromCustomer | ReceiveMessageFromAgent | StatusMessage => {
            let body = body.with_data();
            let id = body.id("id")?;
            (Outcome::Applied, Some(id.clone()), message_changes(&body, id, kind, context))
        }
        BroadcastLogStatus => {
            let body = body.with_data();
            let id = body.id("id")?;
            let (log, broadcast) = broadcast_log(&body, id.clone(), context);
            let changes = Changes {
                broadcast_logs: vec![log],
                broadcasts: broadcast.into_iter().collect(),
                ..Changes::default()
            };
            (Outcome::Applied, Some(id), changes)
        }
        RoomCreated
        | RoomResolved
        | RoomUpdated
        | AgentAssignedToRoom
        | AgentUnassignedFromRoom
        | AgentHandoverRoom => match room_of(body, kind) {
            Some(reference) => {
                let id = reference.room_id().to_owned();
                (Outcome::Applied, Some(id), room_changes(body, &reference, kind, context))
            }
            None if matches!(kind, RoomCreated | RoomResolved | RoomUpdated) => return None,
            None => (Outcome::Recorded, None, Changes::default()),
        },
        CustomAgentAllocation => match room_of(body, kind) {
            Some(room @ Reference::Snapshot(..)) => {
                let id = room.room_id().to_owned();
                (Outcome::Applied, Some(id), room_changes(body, &room, kind, context))
            }
            room => {
                body.note(format!("{UNKNOWN_SHAPE}: expected a room"));
                let id = room.map(|room| room.room_id().to_owned());
                (Outcome::Recorded, id, Changes::default())
            }
        },
        StatusTemplate | AvailableUserStatus => match catalog_state(body, kind, context) {
            Some(state) => {
                let id = Some(state.id.clone());
                let catalog_states = vec![state];
                (Outcome::Applied, id, Changes { catalog_states, ..Changes::default() })
            }
            None => {
                let expected = catalog_state::expected(kind);
                body.note(format!("{UNKNOWN_SHAPE}: expected {expected}"));
                (Outcome::Recorded, body.id("id"), Changes::default())
            }
        },
        Unknown => (Outcome::Recorded, None, Changes::default()),
    })
}

fn message_changes(
    body: &Fields<'_>,
    id: String,
    kind: Kind,
    context: &EventContext<'_>,
) -> Changes {
    let mut message = message(body, id, kind, context);
    let sent_at = message.created_at.or(message.channel_at);
    let mut room = message.room_id.as_deref().map(|room_id| match body.object("room") {
        Some(room) => snapshot(&room, room_id, kind, sent_at, context),
        None => stub(room_id, sent_at, context),
    });
    if let Some(room) = &mut room
        && starts_session(body, &message)
    {
        // The copy of the room may be older than the message, or missing. If something else in it is newer
        // and it names no session, a later message may have started one.
        let started_at = context.latest([sent_at]);
        if room.session_at.is_some() || room.clock == started_at {
            room.session_at = room.session_at.max(started_at);
        }
    }
    set_keys(&mut message, room.as_ref(), context);
    let sender = sender(body, &message, context);
    let broadcast = broadcast(body, &message);
    message.broadcast_id = broadcast.as_ref().map(|broadcast| broadcast.broadcast_id.clone());
    Changes {
        messages: vec![message],
        rooms: room.into_iter().map(|room| completed(room, context)).collect(),
        senders: sender.into_iter().collect(),
        broadcasts: broadcast.into_iter().collect(),
        ..Changes::default()
    }
}

fn room_changes(
    body: &Fields<'_>,
    reference: &Reference<'_>,
    kind: Kind,
    context: &EventContext<'_>,
) -> Changes {
    let room_id = reference.room_id();
    let mut changes = Changes::default();
    let mut room = match reference {
        Reference::Snapshot(fields, _) => {
            let last = embedded_message(fields, room_id, context);
            let message_at = last.as_ref().and_then(|message| message.created_at);
            changes.messages.extend(last);
            Some(snapshot(fields, room_id, kind, message_at, context))
        }
        Reference::IdOnly(..) => None,
    };
    if kind == Kind::RoomResolved {
        let room = room.get_or_insert_with(|| stub(room_id, None, context));
        resolution(room, reference, body, context);
    }
    changes.room_events.extend(lifecycle_event(kind, room_id, room.as_ref(), body, context));
    if kind == Kind::RoomCreated {
        room.get_or_insert_with(|| stub(room_id, None, context));
    }
    changes.rooms.extend(room.map(|room| completed(room, context)));
    changes
}
