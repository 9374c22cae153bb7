//! What does this body say? Reads what it can and keeps the rest.
//!
//! This never fails: an event that we refuse is one that Qontak may not send again.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::payload::{self, Class, Fields, Handshake, Notes, Origin, Reference};
use crate::event::{BodyHash, Changes, DedupKey, Event, Kind, Outcome, Webhook};

/// What a body turned out to be.
#[derive(Debug)]
pub enum Normalized {
    /// The check that Qontak makes when a URL is saved; it is to be echoed.
    Handshake(Handshake),
    /// Anything else.
    Event(Box<Event>),
}

/// Normalises a webhook: one just received, or one that was kept.
pub fn normalize(webhook: Webhook) -> Normalized {
    let object = match parse(&webhook.body) {
        Ok(Value::Object(object)) => object,
        Ok(other) => {
            let reason = format!(
                "not_an_object: expected a JSON object, but it is {}",
                payload::found(&other)
            );
            return unread(webhook, Outcome::Quarantined, reason);
        }
        Err(Unparsed::TooMuch(reason)) => {
            let reason = format!(
                "unparsable: expected no nesting of 128 and more, no number beyond 1e308 and no \
                 lone surrogate, but there is: {reason}"
            );
            return unread(webhook, Outcome::Quarantined, reason);
        }
        Err(Unparsed::NotJson(reason)) => return unread(webhook, Outcome::Malformed, reason),
    };
    if payload::is_handshake(&object)
        && let Ok(handshake) = serde_json::from_slice::<Handshake>(without_bom(&webhook.body))
    {
        return Normalized::Handshake(handshake);
    }
    Normalized::Event(Box::new(read(webhook, &object)))
}

/// Reads a body that is an object and no handshake.
fn read(webhook: Webhook, object: &Map<String, Value>) -> Event {
    let notes = Notes::new(webhook.received_at);
    let body = Fields::of_body(object, &notes);
    let Class { kind, name } = payload::classify(&body);
    let organization_id = payload::organization_id(&body)
        .or_else(|| webhook.organization_id.as_deref().map(str::to_owned))
        .unwrap_or_default();
    let hash = BodyHash::of(&webhook.body);
    let origin = Origin {
        event_id: webhook.id,
        received_at: webhook.received_at,
        organization_id: &organization_id,
        hash,
    };
    let read = match kind {
        None => Err(format!("unclassifiable: {}", payload::TELLING)),
        Some(kind) => changes(&body, kind, &origin).ok_or_else(|| {
            format!("missing_subject_id: {}", payload::missing_subject(&body, kind))
        }),
    };
    let mut reasons = notes.into_reasons();
    let (outcome, subject_id, changes) = read.unwrap_or_else(|reason| {
        reasons.insert(0, reason);
        (Outcome::Quarantined, None, Changes::default())
    });
    Event {
        dedup_key: DedupKey::new(&webhook.endpoint, hash, kind, webhook.received_at),
        webhook,
        kind,
        name,
        organization_id,
        subject_id,
        outcome,
        reasons,
        changes,
        is_replay: false,
    }
}

/// What an event of a known kind changes, and what it is about; `None` if that is missing.
fn changes(
    body: &Fields<'_>,
    kind: Kind,
    origin: &Origin<'_>,
) -> Option<(Outcome, Option<String>, Changes)> {
    use Kind::{
        AgentAssignedToRoom, AgentHandoverRoom, AgentUnassignedFromRoom, AvailableUserStatus,
        BroadcastLogStatus, CustomAgentAllocation, ReceiveMessageFromAgent,
        ReceiveMessageFromCustomer, RoomCreated, RoomResolved, RoomUpdated, StatusMessage,
        StatusTemplate, Unknown,
    };
    Some(match kind {
        ReceiveMessageFromCustomer | ReceiveMessageFromAgent | StatusMessage => {
            let id = body.id("id")?;
            (Outcome::Applied, Some(id.clone()), of_message(body, id, kind, origin))
        }
        BroadcastLogStatus => {
            let id = body.id("id")?;
            let (log, broadcast) = payload::broadcast_log(body, id.clone(), origin);
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
        | AgentHandoverRoom => match payload::room_of(body, kind) {
            Some(reference) => {
                let id = reference.room_id().to_owned();
                (Outcome::Applied, Some(id), of_room(body, &reference, kind, origin))
            }
            None if matches!(kind, RoomCreated | RoomResolved | RoomUpdated) => return None,
            None => (Outcome::Recorded, None, Changes::default()),
        },
        CustomAgentAllocation => {
            let id = payload::room_of(body, kind).map(|room| room.room_id().to_owned());
            (Outcome::Recorded, id, Changes::default())
        }
        StatusTemplate | AvailableUserStatus => {
            (Outcome::Recorded, body.id("id"), Changes::default())
        }
        Unknown => (Outcome::Recorded, None, Changes::default()),
    })
}

fn of_message(body: &Fields<'_>, id: String, kind: Kind, origin: &Origin<'_>) -> Changes {
    let (message, sender, broadcast) = payload::message(body, id, kind, origin);
    let room = message.room_id.as_deref().map(|room_id| match body.object("room") {
        Some(room) => payload::snapshot(&room, room_id, kind, origin),
        None => payload::stub(room_id, origin),
    });
    Changes {
        messages: vec![message],
        rooms: room.into_iter().collect(),
        senders: sender.into_iter().collect(),
        broadcasts: broadcast.into_iter().collect(),
        ..Changes::default()
    }
}

fn of_room(
    body: &Fields<'_>,
    reference: &Reference<'_>,
    kind: Kind,
    origin: &Origin<'_>,
) -> Changes {
    let room_id = reference.room_id();
    let mut changes = Changes::default();
    let mut room = match reference {
        Reference::Snapshot(fields, _) => {
            changes.messages.extend(payload::embedded_message(fields, room_id, origin));
            Some(payload::snapshot(fields, room_id, kind, origin))
        }
        Reference::IdOnly(..) => None,
    };
    if kind == Kind::RoomResolved {
        let room = room.get_or_insert_with(|| payload::stub(room_id, origin));
        payload::resolution(room, reference, body, origin);
    }
    changes.room_events.extend(payload::life(kind, room_id, room.as_ref(), body, origin));
    if kind == Kind::RoomCreated {
        room.get_or_insert_with(|| payload::stub(room_id, origin));
    }
    changes.rooms.extend(room);
    changes
}

/// The event of a body that is not an object.
fn unread(webhook: Webhook, outcome: Outcome, reason: String) -> Normalized {
    let hash = BodyHash::of(&webhook.body);
    Normalized::Event(Box::new(Event {
        dedup_key: DedupKey::new(&webhook.endpoint, hash, None, webhook.received_at),
        kind: None,
        name: None,
        organization_id: webhook.organization_id.as_deref().unwrap_or_default().to_owned(),
        subject_id: None,
        outcome,
        reasons: vec![reason],
        changes: Changes::default(),
        is_replay: false,
        webhook,
    }))
}

/// Why a body has no value. The texts are for the caller.
enum Unparsed {
    /// JSON, but with more than the parser holds: a resend would not help.
    TooMuch(String),
    /// Not JSON, perhaps cut off: a resend may be whole.
    NotJson(String),
}

fn parse(body: &Bytes) -> Result<Value, Unparsed> {
    let body = without_bom(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        Unparsed::NotJson(format!("not UTF-8 from byte {}", error.valid_up_to() + 1))
    })?;
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            if text.contains(r"\u0000") {
                strip_nul(&mut value);
            }
            Ok(value)
        }
        // Deep nesting, lone surrogates and huge numbers stop serde_json although they are
        // JSON. A reader that keeps nothing minds none of them, and so tells the two apart.
        Err(error) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(Unparsed::TooMuch(error.to_string())),
            Err(error) => Err(Unparsed::NotJson(format!("not JSON: {error}"))),
        },
    }
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Postgres holds NUL neither in text nor in jsonb. The journal's bytes keep it.
fn strip_nul(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(stripped) = without_nul(text) {
                *text = stripped;
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip_nul),
        Value::Object(object) => {
            let fields = std::mem::take(object).into_iter().map(|(key, mut value)| {
                strip_nul(&mut value);
                (without_nul(&key).into_owned(), value)
            });
            object.extend(fields);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}
