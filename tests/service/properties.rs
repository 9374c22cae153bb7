//! Any order and any repetition, with stories that nobody thought of.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::harness::{ORGANIZATION, Service};

/// One event of a story, in few rooms and about few messages, so that events meet.
fn event() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => message(),
        2 => room(),
        1 => resolution(),
        3 => broadcast_log(),
    ]
}

/// Texts that differ, so that it shows which one won.
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
    (0..6_i64).prop_map(|second| json!(1_749_694_500 + second))
}

/// A field that is there, is null, or is missing.
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

fn room() -> impl Strategy<Value = Value> {
    let names = ["room_created", "room_resolved", "add_agent", "agent_assigned_to_room"];
    let last = prop::option::of((0..4, word(), status()));
    let name = prop::sample::select(names.to_vec());
    (0..2, name, snapshot(), last).prop_map(|(id, name, mut body, last)| {
        body.extend(named(name, &format!("r{id}")));
        body.insert("channel".into(), json!("wa"));
        body.insert("channel_integration_id".into(), json!("c"));
        // Else the time of receipt stands in for it, which is ours and differs.
        body.entry("last_activity_at").or_insert(json!(1_749_694_500));
        if body["last_activity_at"].is_null() {
            body["last_activity_at"] = json!(1_749_694_500);
        }
        if let Some((id, text, status)) = last {
            let last = json!({"id": format!("m{id}"), "text": text, "status": status});
            body.insert("last_message".into(), last);
        }
        body.into()
    })
}

fn resolution() -> impl Strategy<Value = Value> {
    (0..2, second(), word()).prop_map(|(id, at, by)| {
        json!({
            "event_type": "room_resolved", "organization_id": ORGANIZATION,
            "data": {"room_id": format!("r{id}"), "resolved_at": at, "resolved_by": by},
        })
    })
}

fn broadcast_log() -> impl Strategy<Value = Value> {
    let part = |name: &'static str| {
        field(name, second().prop_map(|at| json!({"statuses": [{"timestamp": at}]})))
    };
    let response = object(vec![part("sent"), part("delivered"), part("read"), part("failed")]);
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

/// A story, and the same with repeats in another order.
fn story() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    prop::collection::vec(event().prop_map(|event| event.to_string()), 1..30).prop_flat_map(
        |story| {
            let twice: Vec<String> = story.iter().chain(&story).cloned().collect();
            (Just(story), Just(twice).prop_shuffle())
        },
    )
}

/// In the order of the lattice.
fn rank(status: &str) -> usize {
    let ranks = ["", "created", "pending", "sent", "failed", "delivered", "read"];
    ranks.iter().position(|rank| *rank == status).unwrap()
}

async fn statuses(service: &Service) -> BTreeMap<String, usize> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select message_id, coalesce(status, '') from message
         union all select log_id, coalesce(status, '') from broadcast_log",
    )
    .fetch_all(&service.db)
    .await
    .unwrap();
    rows.into_iter().map(|(id, status)| (id, rank(&status))).collect()
}

async fn check(service: &std::sync::Arc<Service>, story: Vec<String>, shuffled: Vec<String>) {
    let clear = "truncate event, room, room_event, message, sender, broadcast, broadcast_log";
    service.execute(clear).await;
    for body in story {
        service.post(body).await;
    }
    let expected = service.state().await;

    // One after the other, looking at each step …
    service.execute(clear).await;
    let mut before = BTreeMap::new();
    for body in shuffled.clone() {
        service.post(body).await;
        let now = statuses(service).await;
        for (id, rank) in &before {
            assert!(now[id] >= *rank, "the status of {id} went backwards");
        }
        before = now;
    }
    assert_eq!(service.state().await, expected, "one after the other");

    // … and all at once, in whatever batches that makes for several writers.
    service.execute(clear).await;
    let mut posting = JoinSet::new();
    for body in shuffled {
        let service = service.clone();
        posting.spawn(async move { service.post(body).await });
    }
    posting.join_all().await;
    assert_eq!(service.state().await, expected, "all at once");
}

#[sqlx::test]
async fn random_stories_end_in_the_same_state_in_any_order_and_no_status_goes_backwards(
    db: PgPool,
) {
    // proptest is not async: it has a thread, and there a runtime, of its own.
    let options = db.connect_options();
    let properties = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let service = runtime.block_on(async {
            let db = PgPool::connect_with((*options).clone()).await.unwrap();
            std::sync::Arc::new(Service::start(db).await)
        });
        let config = Config {
            cases: 40,
            max_shrink_iters: 60,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&story(), |(story, shuffled)| {
            runtime.block_on(check(&service, story, shuffled));
            Ok(())
        })
    });
    let outcome = tokio::task::spawn_blocking(|| properties.join()).await.unwrap();
    if let Err(failure) = outcome.unwrap() {
        panic!("{failure}");
    }
}
