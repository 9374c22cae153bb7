//! Random events with ids from a small range, in all shapes that Qontak sends.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::harness::ORGANIZATION;

/// Event with an id from a small range, so that events affect the same rows.
pub fn event() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => message(),
        2 => room(),
        2 => resolution(),
        3 => agent(),
        3 => broadcast_log(),
        1 => event_without_changes(),
    ]
}

/// Distinct texts, so that the winner of a merge is visible.
fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("a")),
        Just(json!("b")),
        Just(json!("c")),
        Just(json!("")),
        Just(json!(7))
    ]
}

fn second() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..6_i64).prop_map(|second| json!(1_749_694_500 + second)),
        // Less than a millisecond apart, the precision of the API.
        1 => (1..4).prop_map(|micros| json!(format!("2025-06-12T02:15:00.00000{micros}Z"))),
    ]
}

/// Field with a value, with null, or missing.
fn field(
    name: &'static str,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Option<(&'static str, Value)>> {
    prop_oneof![
        3 => value.prop_map(move |value| Some((name, value))),
        1 => Just(Some((name, Value::Null))),
        2 => Just(None),
    ]
    .boxed()
}

fn object(
    fields: Vec<BoxedStrategy<Option<(&'static str, Value)>>>,
) -> impl Strategy<Value = Map<String, Value>> {
    fields.prop_map(|fields| {
        fields.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    })
}

fn status() -> impl Strategy<Value = Value> {
    let words = ["created", "pending", "sent", "delivered", "read", "failed", "played", "warning"];
    prop::sample::select(words.to_vec()).prop_map(Value::from)
}

fn snapshot() -> impl Strategy<Value = Map<String, Value>> {
    let statuses = ["unassigned", "assigned", "resolved", "campaign"];
    object(vec![
        field("name", word()),
        field("status", prop::sample::select(statuses.to_vec()).prop_map(Value::from)),
        field("tags", prop::collection::vec(word(), 0..3).prop_map(Value::from)),
        field("unread_count", (0..4).prop_map(Value::from)),
        field("updated_at", second()),
        field("last_activity_at", second()),
        field("resolved_at", second()),
        field("agent_ids", prop::collection::vec(word(), 0..2).prop_map(Value::from)),
        field("avatar", word().prop_map(|url| json!({ "url": url }))),
        field("is_blocked", any::<bool>().prop_map(Value::from)),
    ])
}

fn message() -> impl Strategy<Value = Value> {
    let fields = object(vec![
        field("text", word()),
        field("external_id", word()),
        field("created_at", second()),
        field("type", word()),
        field("sender_id", word()),
        field("sender", word().prop_map(|name| json!({ "name": name }))),
        field("participant_type", prop_oneof![Just(json!("agent")), Just(json!("bot"))]),
        field("is_campaign", any::<bool>().prop_map(Value::from)),
        field("last_campaign", word().prop_map(|name| json!({"id": "b0", "name": name}))),
        field("file", word().prop_map(|url| json!({ "url": url }))),
        field("errors", error()),
    ]);
    let room = prop::option::of(snapshot());
    (0..4, 0..2, status(), fields, room).prop_map(|(id, room_id, status, mut body, room)| {
        body.extend(named("status_message", &format!("m{id}")));
        body.insert("status".into(), status);
        body.insert("room_id".into(), json!(format!("r{room_id}")));
        if let Some(mut room) = room {
            room.insert("id".into(), json!(format!("r{room_id}")));
            body.insert("room".into(), room.into());
        }
        body.into()
    })
}

/// Room as the whole body.
fn flat_room(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let last = prop::option::of((0..4, word(), status()));
    let name = prop::sample::select(names);
    (0..2, name, snapshot_with_time(), last).prop_map(|(id, name, mut body, last)| {
        body.extend(named(name, &format!("r{id}")));
        body.insert("channel".into(), json!("wa"));
        body.insert("channel_integration_id".into(), json!("c"));
        if let Some((id, text, status)) = last {
            let last = json!({"id": format!("m{id}"), "text": text, "status": status});
            body.insert("last_message".into(), last);
        }
        body.into()
    })
}

/// Snapshot with a timestamp. Without one the time of receipt may replace it, which differs
/// between runs.
fn snapshot_with_time() -> impl Strategy<Value = Map<String, Value>> {
    (snapshot(), second()).prop_map(|(mut snapshot, clock)| {
        if snapshot.get("last_activity_at").is_none_or(Value::is_null) {
            snapshot.insert("last_activity_at".into(), clock);
        }
        snapshot
    })
}

fn room() -> impl Strategy<Value = Value> {
    flat_room(&["room_created", "room_resolved", "add_agent"])
}

/// Resolution in the shapes whose body is not a room.
fn resolution() -> impl Strategy<Value = Value> {
    let room = (0..2, snapshot()).prop_map(|(id, mut room)| {
        room.insert("id".into(), json!(format!("r{id}")));
        room
    });
    (0..4, room, second(), word()).prop_map(|(shape, mut room, at, by)| {
        let id = room["id"].clone();
        match shape {
            0 => json!({
                "event_type": "room_resolved", "organization_id": ORGANIZATION,
                "data": {"room_id": id, "resolved_at": at, "resolved_by": by},
            }),
            1 => json!({
                "service_name": "room", "event_name": "resolved", "organization_id": ORGANIZATION,
                "created_at": at, "room": room,
            }),
            2 => json!({
                "data_event": "room_resolved", "organization_id": ORGANIZATION, "room_id": id,
                "resolved_at": at, "resolved_by_id": by,
            }),
            // A room without the fields that identify a room.
            _ => {
                room.extend(named("room_resolved", id.as_str().unwrap()));
                room.insert("resolved_at".into(), at);
                room.into()
            }
        }
    })
}

/// Assignment, unassignment or handover of an agent, in its three shapes.
fn agent() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] =
        &["agent_assigned_to_room", "agent_unassigned_from_room", "agent_handover_room"];
    let name = || prop::sample::select(NAMES);
    let by_reference = object(vec![
        field("contact_able_id", word()),
        field("profile", word().prop_map(|name| json!({ "name": name }))),
        field("created_at", second()),
    ]);
    let nested = object(vec![field(
        "agent",
        (word(), word()).prop_map(|(id, name)| json!({"id": id, "full_name": name})),
    )]);
    prop_oneof![
        flat_room(NAMES),
        (0..2, 0..2, name(), by_reference).prop_map(|(id, room_id, name, mut body)| {
            body.extend(named(name, &format!("p{id}")));
            body.insert("room_id".into(), json!(format!("r{room_id}")));
            body.into()
        }),
        (0..2, name(), snapshot(), nested).prop_map(|(id, name, mut room, mut body)| {
            room.insert("id".into(), json!(format!("r{id}")));
            body.insert("data_event".into(), json!(name));
            body.insert("organization_id".into(), json!(ORGANIZATION));
            body.insert("room".into(), room.into());
            body.into()
        }),
    ]
}

/// Events that change no projection.
fn event_without_changes() -> impl Strategy<Value = Value> {
    let names =
        ["status_template", "available_user_status", "custom_agent_allocation", "room_starred"];
    let fields = object(vec![
        field("status", word()),
        field("is_online", any::<bool>().prop_map(Value::from)),
    ]);
    (0..2, prop::sample::select(names.to_vec()), fields).prop_map(|(id, name, mut body)| {
        body.extend(named(name, &format!("r{id}")));
        body.into()
    })
}

/// Errors of WhatsApp with one of two codes or without one.
fn error() -> impl Strategy<Value = Value> {
    let code = prop_oneof![Just(json!(1)), Just(json!(2)), Just(Value::Null)];
    (code, word(), word()).prop_map(
        |(code, title, details)| json!([{"code": code, "title": title, "details": details}]),
    )
}

fn broadcast_log() -> impl Strategy<Value = Value> {
    let part = |name: &'static str| {
        field(name, second().prop_map(|at| json!({"statuses": [{"timestamp": at}]})))
    };
    let response = object(vec![
        part("sent"),
        part("delivered"),
        part("read"),
        part("failed"),
        field("errors", error()),
    ]);
    let fields = object(vec![
        field("contact_full_name", word()),
        field("whatsapp_message_id", word()),
        field("created_at", second()),
        field("messages_broadcast_template_id", word()),
    ]);
    (0..3, 0..2, status(), response, fields).prop_map(
        |(id, broadcast, status, response, mut body)| {
            body.extend(named("broadcast_log_status", &format!("l{id}")));
            body.insert("messages_broadcast_id".into(), json!(format!("b{broadcast}")));
            body.insert("status".into(), status);
            body.insert("messages_response".into(), response.into());
            body.into()
        },
    )
}

fn named(name: &str, id: &str) -> Map<String, Value> {
    let named = json!({"data_event": name, "id": id, "organization_id": ORGANIZATION});
    named.as_object().unwrap().clone()
}
