//! Drift of Qontak's format: renamed events are applied, shown, logged and counted, and so are fields
//! that cannot be used.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::binary::{Process, post};
use super::fixtures::{READ_MESSAGE, SITI_ROOM, body};
use super::harness::{KEY_REPLAY_ONLY, Service, TRUNCATE_ALL, settings};

/// A fixture under another event name.
fn renamed(file: &str, name: &str) -> Vec<u8> {
    let mut renamed: Value = serde_json::from_slice(&body(file)).unwrap();
    renamed["data_event"] = json!(name);
    renamed.to_string().into_bytes()
}

/// A message of a customer, of an agent and its status, a room that contains its last message, and
/// a broadcast log, all under names that no version knows.
fn renamed_events() -> Vec<Vec<u8>> {
    [
        ("01", "customer_message"),
        ("07", "agent_message"),
        ("08", "Message_Status"),
        ("05", "conversation_changed"),
        ("31", "blast_status"),
    ]
    .map(|(file, name)| renamed(file, name))
    .into()
}

/// Replays an event over the API; returns its outcome.
pub async fn replay(service: &Service, event_id: &Value) -> Value {
    let path = format!("/v1/events/{}/replay", event_id.as_str().unwrap());
    let request = Request::post(path).header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
    let response = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    response.json()["data"]["outcome"].take()
}

#[sqlx::test]
async fn renamed_events_are_applied_by_their_shape_and_keep_their_name(db: PgPool) {
    let service = Service::start(db).await;
    for body in renamed_events() {
        let response = service.post(body).await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.json()["data"]["outcome"], "applied", "{}", response.json());
    }
    let message = "1b6321cd-5091-4cd9-bd8b-91220cd20198";
    let message = service.data(&format!("/v1/messages/{message}")).await;
    assert_eq!(message["room_id"], SITI_ROOM);
    let read = service.data(&format!("/v1/messages/{READ_MESSAGE}")).await;
    assert_eq!(read["status"], "read");
    for (name, kind) in [
        ("customer_message", "receive_message_from_customer"),
        ("agent_message", "receive_message_from_agent"),
        ("Message_Status", "status_message"),
        ("conversation_changed", "room_updated"),
        ("blast_status", "broadcast_log_status"),
    ] {
        for name_as_typed in [name.to_owned(), name.to_uppercase()] {
            let events = service.data(&format!("/v1/events?name={name_as_typed}")).await;
            assert_eq!(events.as_array().unwrap().len(), 1, "{name_as_typed}");
            assert_eq!((&events[0]["name"], &events[0]["kind"]), (&json!(name), &json!(kind)));
        }
    }
    assert_eq!(service.data("/v1/events?name=nothing").await, json!([]));
}

#[sqlx::test]
async fn renamed_events_in_any_order_end_in_the_same_state(db: PgPool) {
    let service = Service::start(db).await;
    let mut events = renamed_events();
    events.push(body("10"));
    for body in &events {
        service.post(body.clone()).await;
    }
    let expected = service.state().await;
    for turn in 1..events.len() {
        service.execute(TRUNCATE_ALL).await;
        events.rotate_left(1);
        for body in events.iter().rev().chain(events.iter().skip(turn)) {
            service.post(body.clone()).await;
        }
        assert_eq!(service.state().await, expected, "turn {turn}");
    }
}

#[sqlx::test]
async fn renamed_event_of_an_unknown_shape_is_recorded(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.post(body("71")).await.json();
    assert_eq!(response["data"]["outcome"], "recorded");
    let events = service.data("/v1/events?name=csat_survey_submitted").await;
    assert_eq!(events[0]["kind"], "unknown");
}

#[sqlx::test]
async fn replay_applies_events_that_were_recorded_for_their_unknown_name(db: PgPool) {
    let service = Service::start(db).await;
    let event_id =
        service.post(renamed("07", "agent_message")).await.json()["data"]["event_id"].take();
    // As an older version stored it.
    service
        .execute(
            "truncate message, room, sender;
             update event set kind = 'unknown', outcome = 'recorded', subject_id = null,
                 parser_version = 2;
             update ledger set applied = 0, recorded = 1",
        )
        .await;
    assert_eq!(replay(&service, &event_id).await, "applied");
    let event = service.data("/v1/events?name=agent_message").await[0].take();
    assert_eq!(event["kind"], "receive_message_from_agent");
    assert_eq!(event["subject_id"], READ_MESSAGE);
    service.data(&format!("/v1/messages/{READ_MESSAGE}")).await;
    let hour = service.data("/v1/ledger").await[0].take();
    assert_eq!((&hour["applied"], &hour["recorded"]), (&json!(1), &json!(0)));
}

#[sqlx::test(migrations = false)]
async fn new_event_names_are_logged_once_and_counted(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    let long = "n".repeat(300);
    for (file, name) in [
        ("01", "customer_message"),
        ("07", "customer_message"),
        // A duplicate.
        ("07", "customer_message"),
        ("08", "status_message"),
        ("71", &long),
    ] {
        post(&client, &service.url, renamed(file, name)).await.unwrap();
    }
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("\nqontak_receiver_unknown_names_total 3\n"), "{metrics}");
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let log: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warnings = log.iter().filter(|line| line["message"] == "unknown event name");
    let names: Vec<_> = warnings.map(|line| line["event.name"].as_str().unwrap()).collect();
    assert_eq!(names, ["customer_message", &long[..64]]);
}

/// Two events, one of them with fields of wrong types.
fn with_unusable_fields() -> [Vec<u8>; 2] {
    let mut odd: Value = serde_json::from_slice(&body("01")).unwrap();
    odd["created_at"] = json!("kemarin sore");
    odd["room"]["tags"] = json!(["vip", {}, []]);
    [odd.to_string().into_bytes(), body("07")]
}

#[sqlx::test]
async fn events_are_listed_by_whether_they_have_reasons(db: PgPool) {
    let service = Service::start(db).await;
    for body in with_unusable_fields() {
        service.post(body).await;
    }
    for (filter, subject) in
        [("true", "1b6321cd-5091-4cd9-bd8b-91220cd20198"), ("false", READ_MESSAGE)]
    {
        let events = service.data(&format!("/v1/events?has_reasons={filter}")).await;
        assert_eq!(events.as_array().unwrap().len(), 1, "{filter}");
        assert_eq!(events[0]["subject_id"], subject, "{filter}");
    }
}

#[sqlx::test(migrations = false)]
async fn unusable_fields_are_counted_by_path(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    let [odd, usual] = with_unusable_fields();
    for body in [odd.clone(), usual, odd] {
        post(&client, &service.url, body).await.unwrap();
    }
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let mut ignored: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("qontak_receiver_fields_ignored_total"))
        .collect();
    ignored.sort_unstable();
    let expected = [
        "qontak_receiver_fields_ignored_total{path=\"created_at\"} 1",
        "qontak_receiver_fields_ignored_total{path=\"other\"} 0",
        "qontak_receiver_fields_ignored_total{path=\"room.tags\"} 1",
    ];
    assert_eq!(ignored, expected);
}
