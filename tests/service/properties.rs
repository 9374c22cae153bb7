//! Any order and any repetition, with stories that nobody thought of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use qontak_receiver::event::Event;
use qontak_receiver::model::Timestamp;
use qontak_receiver::receive::normalize::{Normalized, normalize};
use qontak_receiver::store::Failure;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::bodies::received;
use super::harness::{ORGANIZATION, Service, link_to};

/// One event of a story, in few rooms and about few messages, so that events meet.
fn event() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => message(),
        2 => room(),
        2 => resolution(),
        3 => agent(),
        3 => broadcast_log(),
        1 => noise(),
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
    prop_oneof![
        4 => (0..6_i64).prop_map(|second| json!(1_749_694_500 + second)),
        // Closer to each other than a millisecond, which is all that we show.
        1 => (1..4).prop_map(|micros| json!(format!("2025-06-12T02:15:00.00000{micros}Z"))),
    ]
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

/// A room of its own.
fn flat_room(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let last = prop::option::of((0..4, word(), status()));
    let name = prop::sample::select(names);
    (0..2, name, dated_snapshot(), last).prop_map(|(id, name, mut body, last)| {
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

/// A snapshot with a clock. Else the time of receipt may stand in for it, which is ours and
/// differs.
fn dated_snapshot() -> impl Strategy<Value = Map<String, Value>> {
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

/// A resolution in the shapes that name the room in another way than a room of its own.
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
            // A room that lacks what tells a room.
            _ => {
                room.extend(named("room_resolved", id.as_str().unwrap()));
                room.insert("resolved_at".into(), at);
                room.into()
            }
        }
    })
}

/// An agent comes, goes or hands over, in the three shapes that such an event may have.
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

/// Events that no table but the journal tells of.
fn noise() -> impl Strategy<Value = Value> {
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

/// An event of a story, and how it is delivered when the story is told again: twice.
#[derive(Clone, Debug)]
struct Chapter {
    body: String,
    deliveries: [Delivery; 2],
}

/// When it comes among the others, by which of two writers, and whether its batch ends with it.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    turn: u16,
    writer: usize,
    ends_batch: bool,
}

fn story() -> impl Strategy<Value = Vec<Chapter>> {
    let delivery = (any::<u16>(), 0..2_usize, prop::bool::weighted(0.3))
        .prop_map(|(turn, writer, ends_batch)| Delivery { turn, writer, ends_batch });
    let chapter = (event(), [delivery.clone(), delivery])
        .prop_map(|(body, deliveries)| Chapter { body: body.to_string(), deliveries });
    prop::collection::vec(chapter, 1..30)
}

/// All deliveries of a story, in their turns.
fn deliveries(story: &[Chapter]) -> Vec<(String, Delivery)> {
    let mut deliveries: Vec<_> = story
        .iter()
        .flat_map(|chapter| chapter.deliveries.map(|delivery| (chapter.body.clone(), delivery)))
        .collect();
    deliveries.sort_by_key(|(_, delivery)| delivery.turn);
    deliveries
}

/// The statuses of all messages and logs, as far as one looks at them again and again.
#[derive(Default)]
struct Statuses(BTreeMap<String, usize>);

impl Statuses {
    /// Looks again; none may be lower than before.
    async fn look(&mut self, db: &PgPool) {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select message_id, coalesce(status, '') from message
             union all select log_id, coalesce(status, '') from broadcast_log",
        )
        .fetch_all(db)
        .await
        .unwrap();
        // In the order of the lattice.
        let ranks = ["", "created", "pending", "sent", "failed", "delivered", "read"];
        let rank = |status: &str| ranks.iter().position(|rank| *rank == status).unwrap();
        let now = rows.into_iter().map(|(id, status)| (id, rank(&status))).collect();
        for (id, before) in std::mem::replace(&mut self.0, now) {
            assert!(self.0[&id] >= before, "the status of {id} went backwards");
        }
    }
}

/// Writes batches one after the other, as a writer among others does.
async fn write(db: PgPool, batches: Vec<Vec<Event>>) {
    let writer_id = Uuid::now_v7();
    let (mut link, mut statuses) = (link_to(&db), Statuses::default());
    for events in batches {
        loop {
            let written = link.write(Duration::from_secs(10), writer_id, &events).await;
            match written {
                Ok(_) => break,
                Err(Failure::Race(_) | Failure::Blocked(_)) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        statuses.look(&db).await;
    }
}

/// What two writers have to write, in batches.
fn batches(deliveries: &[(String, Delivery)]) -> [Vec<Vec<Event>>; 2] {
    let received_at = Timestamp::now();
    let event = |body: &str| match normalize(received(body.to_owned(), received_at)) {
        Normalized::Event(event) => *event,
        Normalized::Handshake(_) => unreachable!("no story has one"),
    };
    [0, 1].map(|writer| {
        let own: Vec<_> =
            deliveries.iter().filter(|(_, delivery)| delivery.writer == writer).collect();
        own.split_inclusive(|(_, delivery)| delivery.ends_batch)
            .map(|batch| batch.iter().map(|(body, _)| event(body)).collect())
            .collect()
    })
}

/// Posts until it is acknowledged, as a sender does who wants nothing lost.
async fn deliver(service: &Service, body: &str) {
    for _ in 0..20 {
        let status = service.post(body.to_owned()).await.status;
        if status.is_success() {
            return;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    }
    panic!("never acknowledged");
}

/// Whether the projections are these; if not, only what differs is shown.
async fn assert_state(service: &Service, expected: &BTreeMap<&'static str, Vec<Value>>, way: &str) {
    assert_counts(&service.db).await;
    for (table, rows) in service.state().await {
        let only_in = |rows: &[Value], others: &[Value]| -> Vec<String> {
            rows.iter().filter(|row| !others.contains(row)).map(Value::to_string).collect()
        };
        let now = only_in(&rows, &expected[table]);
        let in_order = only_in(&expected[table], &rows);
        assert_eq!(now, in_order, "{table}, told {way} (left) and in order (right)");
    }
}

/// Whether recipients were counted rightly while their logs changed.
async fn assert_counts(db: &PgPool) {
    let miscounted: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', broadcast_id, status, counted.count, 'instead of', logs.count)
         from (
             select organization_id, broadcast_id, coalesce(status, '') as status, count(*)
             from broadcast_log
             where broadcast_id is not null
             group by 1, 2, 3
         ) as logs
         full join (
             select organization_id, broadcast_id, status, sum(count) as count
             from broadcast_count
             group by 1, 2, 3
             having sum(count) <> 0
         ) as counted using (organization_id, broadcast_id, status)
         where counted.count is distinct from logs.count",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert_eq!(miscounted, Vec::<String>::new());
}

async fn check(service: &Arc<Service>, story: &[Chapter]) {
    let clear = "truncate event, room, room_event, message, sender, broadcast, broadcast_log";
    service.execute(clear).await;
    for chapter in story {
        deliver(service, &chapter.body).await;
    }
    let expected = service.state().await;
    let deliveries = deliveries(story);

    // One after the other, looking at each step …
    service.execute(clear).await;
    let mut statuses = Statuses::default();
    for (body, _) in &deliveries {
        deliver(service, body).await;
        statuses.look(&service.db).await;
    }
    assert_state(service, &expected, "one after the other").await;

    // … in batches of two writers that work at the same time …
    service.execute(clear).await;
    let mut writing = JoinSet::new();
    for batches in batches(&deliveries) {
        writing.spawn(write(service.db.clone(), batches));
    }
    writing.join_all().await;
    assert_state(service, &expected, "in batches of two writers").await;

    // … and all at once, in whatever batches that makes for several writers.
    service.execute(clear).await;
    let mut posting = JoinSet::new();
    for (body, _) in deliveries {
        let service = service.clone();
        posting.spawn(async move { deliver(&service, &body).await });
    }
    posting.join_all().await;
    assert_state(service, &expected, "all at once").await;
}

#[sqlx::test]
async fn random_events_in_any_order_end_in_the_same_state_and_statuses_only_advance(db: PgPool) {
    let config =
        Config { cases: 40, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    hold(db, &[], config, story, async |service: &Arc<Service>, story| {
        check(service, &story).await;
    })
    .await;
}

/// Checks a property of a service with some settings changed.
pub async fn hold<S: Strategy>(
    db: PgPool,
    changed: &'static [(&str, &str)],
    config: Config,
    strategy: impl FnOnce() -> S + Send + 'static,
    check: impl AsyncFn(&Arc<Service>, S::Value) + Send + 'static,
) {
    // proptest is not async: it has a thread, and there a runtime, of its own.
    let options = db.connect_options();
    let properties = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let service = runtime.block_on(async {
            let db = PgPool::connect_with((*options).clone()).await.unwrap();
            Arc::new(Service::start_with(db, changed).await)
        });
        let held = TestRunner::new(config).run(&strategy(), |value| {
            runtime.block_on(check(&service, value));
            Ok(())
        });
        held.map_err(|failure| failure.to_string())
    });
    let held = tokio::task::spawn_blocking(|| properties.join()).await.unwrap();
    if let Err(failure) = held.unwrap() {
        panic!("{failure}");
    }
}
