//! Values too long to be kept: each costs itself, never the event.

use axum::http::StatusCode;
use qontak_receiver::store::search;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::drift::replay;
use super::fixtures::{self, SITI_ROOM};
use super::harness::{Service, TRUNCATE_ALL};

const MESSAGE: &str = "1b6321cd-5091-4cd9-bd8b-91220cd20198";

/// 6 KB that Postgres cannot compress below the size of an index key.
fn long_text() -> String {
    let block = |i: u8| Sha256::digest([i]).iter().map(|byte| format!("{byte:02x}")).collect();
    (0..96).map(block).collect::<Vec<String>>().concat()
}

fn fixture(file: &str) -> Value {
    serde_json::from_slice(&fixtures::body(file)).unwrap()
}

/// JSON pointers of all values in a body that are not objects, and of a new element of each array.
fn pointers(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, &format!("{prefix}/{key}"), found);
            }
        }
        Value::Array(elements) => {
            found.push(prefix.to_owned());
            for (i, value) in elements.iter().enumerate() {
                pointers(value, &format!("{prefix}/{i}"), found);
            }
        }
        _ => found.push(prefix.to_owned()),
    }
}

/// Fields of a room that the fixtures lack or that are null in them.
fn with_all_fields(mut room: Value) -> Value {
    for (field, value) in [
        ("tags", json!(["vip"])),
        ("agent_ids", json!(["agent"])),
        ("session", json!("open")),
        ("channel_uniq_id", json!("628")),
        ("resolved_by_type", json!("Models::User")),
        ("note", json!({"text": "x"})),
        ("email_cc", json!(["x"])),
        ("is_manual_survey", json!(false)),
    ] {
        room[field] = value;
    }
    room
}

fn message() -> Value {
    let mut message = fixture("01");
    message["room"] = with_all_fields(message["room"].take());
    message["sender"]["username"] = json!("siti");
    message["last_campaign"] = json!({"id": "b", "name": "Promo"});
    message["is_campaign"] = json!(true);
    message["file_uniq_id"] = json!("file");
    message["raw_message"] = json!({"messages": [{"timestamp": "1749694503"}]});
    message
}

#[sqlx::test]
async fn a_long_value_in_any_field_never_costs_the_event(db: PgPool) {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start(db).await;
    let log = |file: &str| {
        let mut log = fixture(file);
        log["messages_response"]["errors"] = json!([{"code": 1, "title": "x", "details": "x"}]);
        log
    };
    let bodies = [
        ("messages", message()),
        ("rooms", with_all_fields(fixture("05"))),
        ("rooms", with_all_fields(fixture("02"))),
        ("events", fixture("06")),
        ("events", fixture("17")),
        ("events", fixture("18")),
        ("events", fixture("52")),
        ("events", log("32")),
        ("events", log("35")),
        ("events", fixture("51")),
        ("events", fixture("60")),
    ];
    let long = json!(long_text());
    let mut probes = 0;
    for (resource, body) in bodies {
        let mut found = Vec::new();
        pointers(&body, "", &mut found);
        // Without its id or its name, some of these bodies cannot be identified.
        let ids: &[&str] = if resource == "events" { &["/id", "/data_event"] } else { &["/id"] };
        for pointer in found.iter().filter(|pointer| !ids.contains(&pointer.as_str())) {
            probes += 1;
            let mut body = body.clone();
            let id = format!("probe-{probes}");
            body["id"] = json!(id);
            match body.pointer_mut(pointer).unwrap() {
                Value::Array(elements) => elements.push(long.clone()),
                value => *value = long.clone(),
            }
            let response = service.post(body.to_string()).await;
            let json = response.json();
            let name = format!("{resource} {pointer}: {json}");
            assert_eq!(response.status, StatusCode::OK, "{name}");
            if resource != "events" {
                assert_eq!(json["data"]["outcome"], "applied", "{name}");
                let shown = service.get(&format!("/v1/{resource}/{id}")).await;
                assert_eq!(shown.status, StatusCode::OK, "{name}");
            }
        }
    }
    assert!(probes > 300, "{probes}");
}

#[sqlx::test]
async fn long_tag_is_left_out_and_the_message_is_shown(db: PgPool) {
    let service = Service::start(db).await;
    let mut message = fixture("01");
    message["room"]["tags"] = json!(["vip", long_text(), "baru"]);
    message["room"]["channel"] = json!(long_text());
    let response = service.post(message.to_string()).await.json();
    let expected = |path: &str| {
        format!("{path}: expected text of at most 512 bytes, but it is text of 6144 bytes")
    };
    assert_eq!(
        response["data"]["reasons"],
        json!([expected("room.tags[1]"), expected("room.channel")])
    );
    let shown = service.data(&format!("/v1/messages/{MESSAGE}")).await;
    assert_eq!(shown["text"], "Halo Kak, kemeja batik ukuran L masih ada?");
    let room = service.data(&format!("/v1/rooms/{SITI_ROOM}")).await;
    assert_eq!(room["tags"], json!(["vip", "baru"]));
    assert_eq!(room["channel"], Value::Null);
}

#[sqlx::test]
async fn events_with_long_values_end_in_the_same_state_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let mut odd = fixture("01");
    odd["room"]["channel"] = json!(long_text());
    odd["room"]["status"] = json!(long_text());
    odd["sender_type"] = json!(long_text());
    let mut events = [odd.to_string().into_bytes(), fixtures::body("05"), fixtures::body("03")];
    for body in &events {
        service.post(body.clone()).await;
    }
    let expected = service.state().await;
    for _ in 0..2 {
        events.rotate_left(1);
        service.execute(TRUNCATE_ALL).await;
        for body in events.iter().rev().chain(&events) {
            service.post(body.clone()).await;
        }
        assert_eq!(service.state().await, expected);
    }
}

#[sqlx::test]
async fn replay_applies_events_that_were_rejected_for_a_long_value(db: PgPool) {
    let service = Service::start(db).await;
    let mut message = fixture("01");
    message["room"]["tags"] = json!([long_text()]);
    let event_id = service.post(message.to_string()).await.json()["data"]["event_id"].take();
    // As an older version stored it.
    service
        .execute(
            "truncate message, room, sender;
             update event set outcome = 'quarantined', parser_version = 2,
                 reasons = '{refused: rejected by the database (SQLSTATE 54000)}';
             update ledger set applied = 0, quarantined = 1",
        )
        .await;
    assert_eq!(replay(&service, &event_id).await, "applied");
    service.data(&format!("/v1/messages/{MESSAGE}")).await;
}
