//! What each figure of `GET /v1/stats` counts.

use qontak_receiver::store::broadcast_log::hour_count;
use qontak_receiver::store::message::count;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{DAY, post};
use crate::harness::{KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Service};

#[sqlx::test]
async fn broadcasts_notices_and_reactions_are_counted_apart(db: PgPool) {
    let service = Service::start(db).await;
    for (id, author, more) in [
        ("in", "customer", json!({})),
        ("out", "agent", json!({})),
        ("robot", "robot", json!({})),
        ("campaign", "agent", json!({"is_campaign": true})),
        ("notice", "agent", json!({"type": "system"})),
        ("reaction", "customer", json!({"type": "Reaction"})),
        ("emoji", "customer", json!({"raw_message": {"messages": [{"type": "reaction"}]}})),
        ("own reaction", "agent", json!({"type": "reaction"})),
        // A customer cannot send a broadcast.
        ("reply", "customer", json!({"is_campaign": true})),
    ] {
        post(&service, id, "r", author, "2025-06-12T02:00:00Z", more).await;
    }
    let row = json!([{"at": "2025-06-12T00:00:00Z", "channel": "wa_cloud", "in": 2, "out": 2,
        "out_agent": 1, "out_bot": 1, "campaigns": 1, "notices": 1, "reactions": 3}]);
    assert_eq!(service.data(DAY).await["messages"], row);
    // All of them are shown.
    let shown = service.data("/v1/rooms/r/messages").await;
    assert_eq!(shown.as_array().unwrap().len(), 9);
}

#[sqlx::test]
async fn deliveries_count_each_message_and_recipient_once_by_the_statuses_it_reached(db: PgPool) {
    let service = Service::start(db).await;
    let at = "2025-06-12T02:00:00Z";
    for (id, statuses) in [
        ("read", "read sent created"),
        ("delivered", "sent delivered failed"),
        ("failed", "sent failed"),
        ("created", "created"),
    ] {
        for status in statuses.split(' ') {
            post(&service, id, "r", "agent", at, json!({"status": status})).await;
        }
    }
    post(&service, "asked", "r", "customer", at, json!({"status": "read"})).await;
    post(&service, "twin", "r", "bot", at, json!({"is_campaign": true, "external_id": "w"})).await;
    let log = |id: &str, status: &str| {
        json!({"data_event": "broadcast_log_status", "id": id, "messages_broadcast_id": "b",
            "organization_id": ORGANIZATION, "created_at": at, "status": status,
            "whatsapp_message_id": if id == "twin" { "w" } else { "n/a" }})
    };
    for (id, status) in
        [("twin", "sent"), ("twin", "read"), ("other", "failed"), ("new", "created")]
    {
        service.post(log(id, status).to_string()).await;
    }
    let hour = "2025-06-12T02:00:00Z";
    let expected = json!([
        {"at": hour, "source": "conversation", "total": 4, "sent": 3, "delivered": 2, "read": 1,
            "failed": 1},
        {"at": hour, "source": "broadcast", "total": 3, "sent": 1, "delivered": 1, "read": 1,
            "failed": 1},
    ]);
    let path = format!("{DAY}&interval=hour");
    assert_eq!(service.data(&path).await["deliveries"], expected);
    let listed = service.data("/v1/delivery-statuses?start_date=2025-06-12").await;
    assert_eq!(listed.as_array().unwrap().len(), 7);
    count::compact(&service.db).await.unwrap();
    hour_count::compact(&service.db).await.unwrap();
    assert_eq!(service.count("recipient_count where session <> 0").await, 0);
    assert_eq!(service.data(&path).await["deliveries"], expected);
    let none = service.get_with(KEY_OF_ANOTHER, &path).await.json();
    assert_eq!(none["data"]["deliveries"], json!([]));
    service.state().await;
}

/// Posts a flat room.
async fn post_room(service: &Service, id: &str, name: &str, at: &str, more: Value) {
    let mut body = json!({"data_event": name, "id": id, "channel": "wa_cloud",
        "type": "Models::CustomerServiceRoom", "organization_id": ORGANIZATION,
        "last_activity_at": at});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let response = service.post(body.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied", "{id}");
}

#[sqlx::test]
async fn a_resolution_counts_once_until_the_customer_writes_again(db: PgPool) {
    let service = Service::start(db).await;
    let at = |minute: i64| format!("2025-06-12T02:{minute:02}:00.000Z");
    let resolved = |resolved_at: Option<i64>| json!({"status": "resolved", "resolved_at": resolved_at.map(at), "resolved_by_id": "agent"});
    // Snapshots before and after the report of one resolution.
    post(&service, "a1", "a", "customer", &at(0), json!({})).await;
    post_room(&service, "a", "add_agent", &at(9), resolved(None)).await;
    post_room(&service, "a", "room_resolved", &at(10), resolved(Some(10))).await;
    post_room(&service, "a", "add_agent", &at(11), resolved(Some(10))).await;
    post_room(&service, "a", "add_agent", &at(12), resolved(None)).await;
    // Two reports without a word of the customer in between.
    post_room(&service, "a", "room_resolved", &at(20), resolved(Some(20))).await;
    // The customer returns; the resolution after that is only seen in snapshots.
    post(&service, "a2", "a", "customer", &at(30), json!({})).await;
    post(&service, "a3", "a", "customer", &at(31), json!({})).await;
    for minute in [36, 35, 37] {
        post_room(&service, "a", "add_agent", &at(minute), resolved(None)).await;
    }
    let stats = service.data(DAY).await;
    let expected = json!({"resolutions": 3, "p50_seconds": 300.0, "p95_seconds": 600.0,
        "is_sample": false});
    assert_eq!(stats["resolution"], expected);
    let expected = json!([{"at": "2025-06-12T00:00:00Z", "resolutions": 3, "p50_seconds": 300.0,
        "p95_seconds": 600.0, "is_sample": false}]);
    assert_eq!(stats["resolutions"], expected);
    let agent = &stats["agents"][0];
    assert_eq!((&agent["id"], &agent["rooms"]), (&json!("agent"), &json!(1)));
    assert_eq!(agent["resolution"]["count"], 3);
    service.state().await;
}

#[sqlx::test]
async fn agents_have_rooms_response_times_and_open_rooms(db: PgPool) {
    let service = Service::start(db).await;
    let by =
        |agent: &str| json!({"sender_id": agent, "sender": {"name": format!("Agent {agent}")}});
    for (i, (room, author, at, agent)) in [
        ("r", "customer", "02:00:00", "c"),
        ("r", "agent", "02:00:10", "one"),
        ("r", "customer", "02:00:20", "c"),
        ("r", "agent", "02:00:50", "two"),
        ("s", "customer", "02:00:00", "c"),
        ("s", "agent", "02:00:40", "one"),
        ("t", "customer", "02:00:00", "c"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = format!("2025-06-12T{at}Z");
        post(&service, &i.to_string(), room, author, &at, by(agent)).await;
    }
    for (room, agents) in [("r", json!(["one", "two"])), ("t", json!(["one"]))] {
        let at = "2025-06-12T03:00:00Z";
        let more = json!({"status": "assigned", "agent_ids": agents});
        post_room(&service, room, "agent_assigned_to_room", at, more).await;
    }
    let times = |count: i64, p50: Option<f64>, p95: Option<f64>| {
        json!({"count": count,
        "p50_seconds": p50, "p95_seconds": p95})
    };
    let none = times(0, None, None);
    let expected = json!([
        {"id": "one", "organization_id": ORGANIZATION, "name": "Agent one", "rooms": 2,
            "opening_response": times(2, Some(10.0), Some(40.0)), "next_response": none,
            "resolution": none, "open": 2, "unanswered": 1},
        {"id": "two", "organization_id": ORGANIZATION, "name": "Agent two", "rooms": 1,
            "opening_response": none, "next_response": times(1, Some(30.0), Some(30.0)),
            "resolution": none, "open": 1, "unanswered": 0},
    ]);
    assert_eq!(service.data(DAY).await["agents"], expected);
    let own = service.get_with(KEY_OF_ORGANIZATION, DAY).await.json();
    assert_eq!(own["data"]["agents"], expected);
    let none = service.get_with(KEY_OF_ANOTHER, DAY).await.json();
    assert_eq!(none["data"]["agents"], json!([]));
}

#[sqlx::test]
async fn periods_have_whole_intervals_or_say_where_they_are_cut(db: PgPool) {
    let service = Service::start(db).await;
    let period = async |query: &str| {
        let stats = service.data(&format!("/v1/stats?{query}")).await;
        let part = |name: &str| stats[name].as_str().unwrap().to_owned();
        let is_cut = (stats["is_start_cut"] == true, stats["is_end_cut"] == true);
        (part("start"), part("end"), is_cut)
    };
    let (start, end, is_cut) = period("time_zone=Asia/Jakarta").await;
    assert!(
        start.ends_with("T00:00:00+07:00") && end.ends_with("T00:00:00+07:00"),
        "{start} {end}"
    );
    assert_eq!(is_cut, (false, false));
    for (query, start, end, is_cut) in [
        ("end_date=2025-06-12", "2025-06-06T00:00:00Z", "2025-06-13T00:00:00Z", (false, false)),
        (
            "end_date=2025-06-12T10:20:00Z",
            "2025-06-06T00:00:00Z",
            "2025-06-12T11:00:00Z",
            (false, true),
        ),
        (
            "start_date=2025-06-11T10:20:00Z&end_date=2025-06-12",
            "2025-06-11T10:00:00Z",
            "2025-06-13T00:00:00Z",
            (true, false),
        ),
        (
            "interval=hour&start_date=2025-06-12T09:32:20Z&end_date=2025-06-12T09:48:20Z",
            "2025-06-12T09:00:00Z",
            "2025-06-12T10:00:00Z",
            (false, false),
        ),
        (
            "interval=hour&end_date=2025-06-12T09:00:00Z",
            "2025-06-11T09:00:00Z",
            "2025-06-12T09:00:00Z",
            (false, false),
        ),
        (
            "end_date=2025-06-12&time_zone=Asia/Kolkata",
            "2025-06-06T00:00:00+05:30",
            "2025-06-13T00:00:00+05:30",
            (false, false),
        ),
    ] {
        assert_eq!(period(query).await, (start.to_owned(), end.to_owned(), is_cut), "{query}");
    }
    // Without an end, at most the maximum; the response says so.
    let stats = service.data("/v1/stats?start_date=2025-01-01").await;
    assert_eq!(
        (&stats["end"], &stats["is_period_cut"]),
        (&json!("2026-01-02T00:00:00Z"), &json!(true))
    );
    assert_eq!(service.data("/v1/stats").await["is_period_cut"], false);
}
