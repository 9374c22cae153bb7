//! Messages, broadcast logs and rooms inside the documented envelope, and handshakes beside an event
//! category.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::drift::replay;
use super::fixtures::{BROADCAST, READ_MESSAGE, SITI_ROOM, body};
use super::harness::{ORGANIZATION, Service, TRUNCATE_ALL};

/// A fixture without its event name, and the name.
fn fixture(file: &str) -> (Value, Value) {
    let mut fields: Value = serde_json::from_slice(&body(file)).unwrap();
    fields.as_object_mut().unwrap().remove("webhook_event");
    let name = fields.as_object_mut().unwrap().remove("data_event").unwrap();
    (fields, name)
}

/// A fixture in an envelope whose event name is under this key.
fn wrapped(file: &str, key: &str) -> String {
    let (fields, name) = fixture(file);
    json!({key: name, "data": fields}).to_string()
}

/// Removes what depends on the time of receipt.
fn without_observations(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "at" && !key.ends_with("received_at"));
            fields.values_mut().for_each(without_observations);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_observations),
        _ => {}
    }
}

async fn shown(service: &Service, path: &str) -> Value {
    let mut row = service.data(path).await;
    without_observations(&mut row);
    row
}

#[sqlx::test]
async fn enveloped_messages_and_logs_are_read_like_flat_ones(db: PgPool) {
    let service = Service::start(db).await;
    let files = ["01", "07", "08", "32", "05"];
    let paths = [
        "/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198".to_owned(),
        format!("/v1/messages/{READ_MESSAGE}"),
        format!("/v1/rooms/{SITI_ROOM}"),
        format!("/v1/broadcasts/{BROADCAST}/logs"),
    ];
    for file in files {
        service.post(body(file)).await;
    }
    let mut expected = Vec::new();
    for path in &paths {
        expected.push(shown(&service, path).await);
    }
    for key in ["event_type", "data_event", "event"] {
        for order in [[0, 1, 2, 3, 4], [4, 2, 3, 1, 0]] {
            service.execute(TRUNCATE_ALL).await;
            for i in order {
                let response = service.post(wrapped(files[i], key)).await.json();
                assert_eq!(
                    response["data"]["outcome"], "applied",
                    "{key} {}: {response}",
                    files[i]
                );
                assert_eq!(response["data"]["reasons"], Value::Null, "{key} {}", files[i]);
            }
            for (path, expected) in paths.iter().zip(&expected) {
                assert_eq!(shown(&service, path).await, *expected, "{key} {path}");
            }
        }
    }
    let event = service.data("/v1/events?limit=1").await[0].take();
    assert_eq!(event["organization_id"], ORGANIZATION);
}

#[sqlx::test]
async fn flat_fields_win_over_those_in_the_envelope(db: PgPool) {
    let service = Service::start(db).await;
    let (fields, name) = fixture("01");
    let body = json!({"event_type": name, "text": "di luar", "type": null, "data": fields});
    service.post(body.to_string()).await;
    let message = service.data("/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198").await;
    assert_eq!((&message["text"], &message["type"]), (&json!("di luar"), &json!("text")));
}

#[sqlx::test]
async fn renamed_event_in_an_envelope_is_applied_by_its_shape(db: PgPool) {
    let service = Service::start(db).await;
    let (fields, _) = fixture("01");
    for key in ["event_type", "data_event", "event"] {
        service.execute(TRUNCATE_ALL).await;
        let body = json!({key: "customer.message", "data": fields});
        assert_eq!(service.post(body.to_string()).await.json()["data"]["outcome"], "applied");
        service.data("/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198").await;
        let events = service.data("/v1/events?name=customer.message").await;
        assert_eq!(events[0]["kind"], "receive_message_from_customer", "{key}");
    }
}

#[sqlx::test]
async fn envelope_without_an_id_is_quarantined_with_both_places(db: PgPool) {
    let service = Service::start(db).await;
    let body = json!({"event_type": "status_message", "data": {"id": {}}});
    let response = service.post(body.to_string()).await;
    assert_eq!(response.status, StatusCode::ACCEPTED);
    let expected = "missing_subject_id: id, data.id: expected the message's id, text of 1 to 512 \
        bytes or an integer, but id is missing, data.id is an object";
    assert_eq!(response.json()["data"]["reasons"][0], expected);
}

#[sqlx::test]
async fn replay_applies_events_that_were_quarantined_for_their_envelope(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.post(wrapped("07", "event_type")).await.json();
    // As an older version stored it.
    service
        .execute(
            "truncate message, room, sender;
             update event set outcome = 'quarantined', subject_id = null, parser_version = 2,
                 reasons = '{missing_subject_id}';
             update ledger set applied = 0, quarantined = 1",
        )
        .await;
    assert_eq!(replay(&service, &response["data"]["event_id"]).await, "applied");
    service.data(&format!("/v1/messages/{READ_MESSAGE}")).await;
}

#[sqlx::test]
async fn handshake_beside_an_event_category_is_echoed(db: PgPool) {
    let service = Service::start(db).await;
    for category in [
        "message_interaction",
        "room_interaction",
        "agent_responsibility",
        "waba_interaction",
        "available_user_status",
        "something_new",
    ] {
        let body = json!({"verify_info": {"a": 1}, "webhook_event": category});
        let response = service.post(body.to_string()).await;
        assert_eq!(response.status, StatusCode::OK, "{category}");
        assert_eq!(response.json(), json!({"verify_info": {"a": 1}}), "{category}");
    }
    assert_eq!(service.count("event").await, 0);
    let room = json!({"verify_info": 1, "webhook_event": "room_interaction",
        "room": {"id": "r", "status": "assigned"}});
    assert_eq!(service.post(room.to_string()).await.json()["data"]["outcome"], "applied");
}

#[sqlx::test]
async fn field_outside_of_data_that_cannot_be_used_does_not_hide_the_one_inside(db: PgPool) {
    let service = Service::start(db).await;
    let message = json!({"id": "m", "room_id": "r", "sender_type": "Models::Contact",
        "sender_id": "s", "text": "halo", "status": "created", "external_id": "wamid.1",
        "created_at": "2025-06-12T02:15:03.000Z", "is_campaign": false, "type": "text",
        "organization_id": ORGANIZATION, "room": {"id": "r", "status": "assigned"},
        "sender": {"name": "Siti"}, "file": {"url": "https://cdn.example.com/f"}});
    let envelope = json!({"data_event": "receive_message_from_customer", "data": message});
    service.post(envelope.to_string()).await;
    let expected = shown(&service, "/v1/messages/m").await;
    let room = shown(&service, "/v1/rooms/r").await;
    assert_eq!(room["status"], "assigned");
    let long = "x".repeat(600);
    for value in [json!(""), json!("n/a"), json!(" "), json!({}), json!([]), json!(null)] {
        for key in message.as_object().unwrap().keys().filter(|key| *key != "text") {
            assert_hidden_by_nothing(&service, &envelope, key, &value, &expected).await;
        }
    }
    for (key, value) in [
        ("id", json!([1])),
        ("id", json!(true)),
        ("id", json!(long)),
        ("created_at", json!("x")),
        ("status", json!(5)),
        ("is_campaign", json!("x")),
        ("room", json!("r")),
        ("text", json!("")),
    ] {
        assert_hidden_by_nothing(&service, &envelope, key, &value, &expected).await;
    }
    let log = json!({"id": "l", "messages_broadcast_id": "b", "whatsapp_message_id": "wamid.2",
        "status": "read", "organization_id": ORGANIZATION,
        "messages_response": {"read": {"statuses": [{"timestamp": "1749690903"}]}}});
    let mut body = json!({"data_event": "broadcast_log_status", "data": log});
    for key in ["id", "messages_broadcast_id", "whatsapp_message_id", "status"] {
        body[key] = "n/a".into();
    }
    body["messages_response"] = json!({});
    let response = service.post(body.to_string()).await.json();
    assert_eq!(response["data"]["outcome"], "applied", "{response}");
    let log = service.data("/v1/broadcasts/b/logs").await;
    assert_eq!(log[0]["whatsapp_message_id"], "wamid.2", "{log}");
    assert_eq!(log[0]["status_times"]["read"]["source"], "channel", "{log}");
}

/// Posts the envelope with this field outside of `data`, and expects the same message as without.
async fn assert_hidden_by_nothing(
    service: &Service,
    envelope: &Value,
    key: &str,
    value: &Value,
    expected: &Value,
) {
    service.execute(TRUNCATE_ALL).await;
    let mut body = envelope.clone();
    body[key] = value.clone();
    let response = service.post(body.to_string()).await.json();
    assert_eq!(response["data"]["outcome"], "applied", "{key} {value}: {response}");
    assert_eq!(shown(service, "/v1/messages/m").await, *expected, "{key} {value}");
}
