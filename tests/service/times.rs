//! Times in every form that senders print them.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{SITI_ROOM, body};
use super::harness::{Service, TRUNCATE_ALL};

const ROOM_TIMES: [&str; 5] =
    ["created_at", "updated_at", "session_at", "last_message_at", "last_activity_at"];

/// A message of Siti whose times all have this value, in a room of this status and name.
fn message(id: &str, at: &Value, status: &str, name: &str) -> String {
    let mut message: Value = serde_json::from_slice(&body("01")).unwrap();
    message["id"] = json!(id);
    message["created_at"] = at.clone();
    let room = &mut message["room"];
    for field in ROOM_TIMES {
        room[field] = at.clone();
    }
    room["status"] = json!(status);
    room["name"] = json!(name);
    message.to_string()
}

#[sqlx::test]
async fn every_form_of_a_time_orders_the_snapshots_of_a_room(db: PgPool) {
    let service = Service::start(db).await;
    // The same moment, 04:06:40 UTC. The other two snapshots are older and must lose.
    let forms = [
        json!("2025-06-12 04:06:40 UTC"),
        json!("2025-06-12 11:06:40 +0700"),
        json!("2025-06-12 11:06:40 +07:00"),
        json!("2025-06-12T11:06:40+0700"),
        json!("2025-06-12T11:06:40+07"),
        json!("2025-06-12 04:06:40.000 UTC"),
        json!("2025-06-12 04:06:40"),
        json!(1_749_701_200),
        json!("1749701200"),
        json!(1_749_701_200.0),
        json!("1749701200.000"),
        json!(1_749_701_200_000_i64),
        json!("1749701200000000"),
    ];
    for form in &forms {
        let events = [
            message("one", &json!("2025-06-12 03:46:40 UTC"), "assigned", "Budi"),
            message("two", &json!("2025-06-12 10:56 +0700"), "resolved", "Budi"),
            message("three", form, "assigned", "Budi Santoso"),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            service.execute(TRUNCATE_ALL).await;
            for i in order {
                service.post(events[i].clone()).await;
            }
            let room = service.data(&format!("/v1/rooms/{SITI_ROOM}")).await;
            assert_eq!(room["status"], "assigned", "{form} {order:?}");
            assert_eq!(room["name"], "Budi Santoso", "{form} {order:?}");
            for field in ROOM_TIMES {
                assert_eq!(room[field], "2025-06-12T04:06:40.000Z", "{form} {field}");
            }
        }
        let messages = service.data(&format!("/v1/rooms/{SITI_ROOM}/messages")).await;
        let ids = messages.as_array().unwrap().iter().map(|message| &message["id"]);
        assert!(ids.eq([&json!("three"), &json!("two"), &json!("one")]), "{messages}");
    }
}

#[sqlx::test]
async fn time_without_a_zone_is_utc_and_noted(db: PgPool) {
    let service = Service::start(db).await;
    let mut message: Value = serde_json::from_slice(&body("01")).unwrap();
    message["created_at"] = json!("2025-06-12 02:15:03");
    let response = service.post(message.to_string()).await.json();
    let expected = "created_at: expected a time with a zone, but it has none; read as UTC";
    assert_eq!(response["data"]["reasons"], json!([expected]));
    let message = service.data("/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198").await;
    assert_eq!(message["created_at"], "2025-06-12T02:15:03.000Z");
}
