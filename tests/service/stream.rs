//! `GET /v1/stream`: order of events, filters, keys, limits and shutdown.

mod resume;
pub mod subscriber;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;

use self::subscriber::{
    Block, Subscriber, assert_matches_document, message, request, wait_for_polls,
};
use super::binary::{DEADLINE, Process, post};
use super::fixtures::{ALL, BROADCAST, SITI_ROOM, body};
use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, ORGANIZATION, Service,
    settings,
};
use super::key;

#[sqlx::test]
async fn stream_sends_every_applied_event_once_in_the_same_order_on_every_replica(db: PgPool) {
    let replicas = [Service::start(db.clone()).await, Service::start(db).await];
    let mut subscribers = Vec::new();
    for replica in &replicas {
        subscribers.push(Subscriber::start(replica, "").await);
    }
    for (i, fixture) in ALL.iter().enumerate() {
        replicas[i % 2].post(fixture.body()).await;
        replicas[(i + 1) % 2].post(fixture.body()).await;
    }
    let applied = replicas[0].data("/v1/events?outcome=applied&limit=500").await;
    let expected: BTreeSet<&str> =
        applied.as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    let mut received = Vec::new();
    for subscriber in &mut subscribers {
        let mut events = Vec::new();
        for _ in 0..expected.len() {
            events.push(subscriber.event().await);
        }
        received.push(events);
    }
    assert_eq!(received[0], received[1]);
    let ids: BTreeSet<&str> =
        received[0].iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids, expected);

    // The fields are those of the event in the API, and the ids of its room and broadcast.
    let first = &received[0][0];
    let shown =
        replicas[0].data(&format!("/v1/events/{}", first["event_id"].as_str().unwrap())).await;
    for name in ["received_at", "kind", "name", "organization_id", "subject_id"] {
        assert_eq!(first[name], shown[name], "{name}");
    }
    assert_eq!(first["room_id"], SITI_ROOM);
    assert_eq!(first["broadcast_id"], Value::Null);
    received[0].iter().for_each(assert_matches_document);
    let log = received[0].iter().find(|row| row["kind"] == "broadcast_log_status").unwrap();
    assert_eq!((&log["room_id"], &log["broadcast_id"]), (&Value::Null, &json!(BROADCAST)));
}

#[sqlx::test]
async fn stream_sends_events_first_applied_by_a_replay(db: PgPool) {
    let service = Service::start(db.clone()).await;
    for id in ["a", "b"] {
        service.post(message(id)).await;
    }
    service.execute("update event set outcome = 'quarantined' where subject_id = 'a'").await;
    let mut subscriber = Subscriber::start_with(&service, KEY_OF_ALL, "", None).await;
    for id in ["b", "a"] {
        let rows = service.data(&format!("/v1/events?subject_id={id}")).await;
        let id = rows[0]["event_id"].as_str().unwrap();
        let request = Request::post(format!("/v1/events/{id}/replay"))
            .header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
        let response = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::OK);
    }
    assert_eq!(subscriber.subjects(1).await, ["a"]);
}

#[sqlx::test]
async fn stream_filters_select_matching_events(db: PgPool) {
    let service = Service::start(db).await;
    let kind = "/v1/events?outcome=applied&kind=room_resolved";
    let queries = [
        ("".to_owned(), "/v1/events?outcome=applied"),
        ("?kind=room_resolved".to_owned(), kind),
        (format!("?kind=room_resolved&organization_id={ORGANIZATION}"), kind),
    ];
    let mut subscribers = Vec::new();
    for (query, _) in &queries {
        subscribers.push(Subscriber::start(&service, query).await);
    }
    let mut of_room = Subscriber::start(&service, &format!("?room_id={SITI_ROOM}")).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    for (subscriber, (query, list)) in subscribers.iter_mut().zip(&queries) {
        let rows = service.data(&format!("{list}&limit=500")).await;
        let rows = rows.as_array().unwrap().iter().rev();
        let rows =
            rows.filter(|row| !query.contains("org") || row["organization_id"] == ORGANIZATION);
        for row in rows {
            assert_eq!(subscriber.event().await["event_id"], row["event_id"], "{query}");
        }
    }
    // Messages of the room, their statuses, and its room events.
    let mut kinds = BTreeSet::new();
    while !kinds.contains("room_resolved") {
        let event = of_room.event().await;
        assert_eq!(event["room_id"], SITI_ROOM);
        kinds.insert(event["kind"].as_str().unwrap().to_owned());
    }
    for kind in ["receive_message_from_customer", "status_message", "agent_assigned_to_room"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

#[sqlx::test]
async fn stream_sends_only_events_of_the_keys_organisations(db: PgPool) {
    let service = Service::start(db).await;
    let mut another = Subscriber::start_with(&service, KEY_OF_ANOTHER, "", None).await;
    let mut own = Subscriber::start_with(&service, KEY_OF_ORGANIZATION, "", None).await;
    // An event without an organisation is sent only to keys for all organisations.
    service.post(r#"{"data_event": "status_message", "id": "nobodys"}"#).await;
    service.post(message("own")).await;
    service.post(message("anothers").replace(ORGANIZATION, "another-organization")).await;
    assert_eq!(another.subjects(1).await, ["anothers"]);
    assert_eq!(own.subjects(1).await, ["own"]);
    for (key, status) in [
        (KEY_OF_ANOTHER, StatusCode::NOT_FOUND),
        (KEY_OF_ORGANIZATION, StatusCode::OK),
        (KEY_OF_ALL, StatusCode::OK),
        (KEY_REPLAY_ONLY, StatusCode::FORBIDDEN),
        ("wrong", StatusCode::UNAUTHORIZED),
    ] {
        let query = format!("?organization_id={ORGANIZATION}");
        assert_eq!(service.respond(request(key, &query, None)).await.status(), status, "{key}");
    }
}

#[sqlx::test]
async fn stream_subscribers_above_the_limit_get_503(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__MAX_LISTENERS", "1")]).await;
    let subscriber = Subscriber::start(&service, "").await;
    let rejected = service.send(request(KEY_OF_ALL, "", None)).await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers["retry-after"], "2");
    assert_eq!(
        rejected.json()["error"]["messages"],
        json!(["too many stream subscribers, retry later"])
    );
    drop(subscriber);
    Subscriber::start(&service, "").await;
}

/// Time of the last activity of the service in the database.
async fn last_activity(db: &PgPool) -> Option<f64> {
    let sql = "select extract(epoch from max(state_change))::float8 from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

#[sqlx::test]
async fn stream_sends_no_queries_without_subscribers(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut subscriber = Subscriber::start(&service, "").await;
    let activity = last_activity(&db).await;
    // A subscriber causes queries.
    timeout(Duration::from_millis(700), subscriber.next()).await.unwrap_err();
    assert_ne!(last_activity(&db).await, activity);
    drop(subscriber);
    wait_for_polls().await;
    let activity = last_activity(&db).await;
    wait_for_polls().await;
    assert_eq!(last_activity(&db).await, activity);
}

#[sqlx::test(migrations = false)]
async fn graceful_shutdown_ends_every_stream_immediately(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    let url = format!("{}/v1/stream", service.url);
    let mut stream = client.get(url).bearer_auth(KEY_OF_ALL).send().await.unwrap();
    post(&client, &service.url, body("01")).await.unwrap();
    let mut text = String::new();
    while !text.contains("event: receive_message_from_customer") {
        let bytes = timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    service.signal("TERM");
    // The stream must end regularly, not be aborted.
    while timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().is_some() {}
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("aborting requests")), "{log:?}");
}

#[sqlx::test]
async fn stream_ends_when_its_key_is_revoked(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start_with(db, &[("RECEIVER__STREAM__HEARTBEAT", "100ms")]).await;
    let key = key::create(&settings, &["--name", "dashboard"]).await;
    let mut subscriber = Subscriber::start_with(&service, &key, "", None).await;
    assert_eq!(subscriber.next().await, Some(Block::Control));
    for _ in 0..3 {
        assert_eq!(subscriber.next().await, Some(Block::Comment("heartbeat".into())));
    }
    service.execute("update api_key set revoked_at = now()").await;
    let end = async { while subscriber.next().await.is_some() {} };
    timeout(DEADLINE, end).await.expect("the stream did not end");
}
