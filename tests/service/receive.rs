//! `POST /webhooks/qontak/{token}`: responses, outcomes and stored data.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{self, ALL};
use super::harness::{BOUND_ORGANIZATION, BOUND_TOKEN, ORGANIZATION, Service, webhook};

#[sqlx::test]
async fn every_fixture_has_its_expected_response_and_outcome(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &ALL {
        let file = fixture.file;
        let response = service.post(fixture.body()).await;
        let json = response.json();
        if fixture.outcome == "handshake" {
            assert_eq!(response.status, StatusCode::OK, "{file}");
            assert_eq!(json, json!({"verify_info": "tm-verify-3f9c2a7b"}));
            continue;
        }
        let (outcome, reason) = match fixture.outcome.split_once(' ') {
            Some((outcome, reason)) => (outcome, Some(reason)),
            None => (fixture.outcome, None),
        };
        let status = match outcome {
            "quarantined" => StatusCode::ACCEPTED,
            "malformed" => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        assert_eq!(response.status, status, "{file}: {json}");
        assert_eq!(json["data"]["outcome"], outcome, "{file}");
        assert_eq!(json["data"]["duplicate"], false, "{file}");
        if let Some(reason) = reason {
            let first = json["data"]["reasons"][0].as_str().unwrap();
            assert!(first.starts_with(&format!("{reason}: ")), "{file}: {first}");
        }
        let id = json["data"]["event_id"].as_str().unwrap();
        let event = service.data(&format!("/v1/events/{id}")).await;
        assert_eq!(event["kind"], json!(fixture.kind), "{file}");
        assert_eq!(event["subject_id"], json!(fixture.subject_id), "{file}");
        assert_eq!(event["outcome"], outcome, "{file}");
        let body = service.get(&format!("/v1/events/{id}/body")).await;
        assert_eq!(body.bytes, fixture.body(), "{file}");
    }
    assert_eq!(service.count("event").await, 45);
}

#[sqlx::test]
async fn bodies_without_organisation_get_the_one_of_the_endpoint(db: PgPool) {
    let service = Service::start(db).await;
    for file in ["01", "53"] {
        service.send(webhook(BOUND_TOKEN, fixtures::body(file))).await;
    }
    let organization = |path: &'static str| {
        let service = &service;
        async move { service.data(path).await["organization_id"].clone() }
    };
    assert_eq!(organization("/v1/rooms/room_tm0007").await, BOUND_ORGANIZATION);
    let message = "/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198";
    assert_eq!(organization(message).await, ORGANIZATION);
}

#[sqlx::test]
async fn repeated_delivery_is_acknowledged_and_stored_once(db: PgPool) {
    let service = Service::start(db).await;
    let first = service.post(fixtures::body("01")).await.json();
    for _ in 0..3 {
        let response = service.post(fixtures::body("01")).await;
        assert_eq!(response.status, StatusCode::OK);
        let json = response.json();
        assert_eq!(json["data"]["event_id"], first["data"]["event_id"]);
        assert_eq!(json["data"]["duplicate"], true);
        assert_eq!(json["data"]["outcome"], "applied");
    }
    let events = service.data("/v1/events").await;
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["deliveries"], 4);
}

#[sqlx::test]
async fn concurrent_deliveries_on_two_replicas_are_stored_once(db: PgPool) {
    let replicas = [Service::start(db.clone()).await, Service::start(db).await];
    let body = fixtures::body("07");
    let requests = (0..40).map(|i| replicas[i % 2].post(body.clone()));
    let responses = join_all(requests).await;
    let firsts = responses.iter().filter(|json| json["data"]["duplicate"] == false).count();
    assert_eq!(firsts, 1, "{responses:?}");
    assert_eq!(replicas[0].data("/v1/events").await[0]["deliveries"], 40);
    assert_eq!(replicas[0].count("message").await, 1);
}

/// Polls the calls concurrently; returns the JSON bodies.
async fn join_all(
    calls: impl Iterator<Item = impl Future<Output = super::harness::Response>>,
) -> Vec<Value> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut responses = Vec::new();
    // All requests are started before the first one is awaited.
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(response) => {
                responses.push(response.json());
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    responses
}

#[sqlx::test]
async fn handshake_response_echoes_verify_info_unchanged(db: PgPool) {
    let service = Service::start(db).await;
    for value in [r#""<b>""#, "123456789012345678901234567890", r#"{"b":1.50,"a":[null]}"#] {
        let body = format!("\u{feff}{{\"verify_info\":{value}}}");
        let response = service.post(body).await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["content-type"], "application/json");
        let expected = format!("{{\"verify_info\":{value}}}");
        assert_eq!(String::from_utf8(response.bytes).unwrap(), expected);
    }
    assert_eq!(service.count("event").await, 0);
}

#[sqlx::test]
async fn event_containing_verify_info_is_not_a_handshake(db: PgPool) {
    let service = Service::start(db).await;
    let mut body: Value = serde_json::from_slice(&fixtures::body("01")).unwrap();
    body["verify_info"] = json!("x");
    let response = service.post(body.to_string()).await.json();
    assert_eq!(response["data"]["outcome"], "applied");
}

#[sqlx::test]
async fn json_beyond_parser_limits_is_quarantined(db: PgPool) {
    let service = Service::start(db).await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for body in [deep.as_str(), r#"{"id":"\ud83d"}"#, r#"{"id":1e999}"#] {
        let response = service.post(body.to_owned()).await;
        assert_eq!(response.status, StatusCode::ACCEPTED, "{body}");
        let reason = response.json()["data"]["reasons"][0].as_str().unwrap().to_owned();
        assert!(reason.starts_with("unparsable: "), "{reason}");
    }
}

#[sqlx::test]
async fn quarantine_reasons_name_the_json_path_and_the_expected_value(db: PgPool) {
    let service = Service::start(db).await;
    let id = "id, text of 1 to 512 bytes or an integer, but";
    let message =
        |found: &str| format!("missing_subject_id: id: expected the message's {id} it is {found}");
    let long = "x".repeat(600);
    let cases = [
        (json!({"data_event": "status_message"}), message("missing")),
        (json!({"data_event": "status_message", "id": null}), message("null")),
        (json!({"data_event": "status_message", "id": "n/a"}), message("blank")),
        (json!({"data_event": "status_message", "id": 1.5}), message("a number")),
        (json!({"data_event": "status_message", "id": {}}), message("an object")),
        (json!({"data_event": "status_message", "id": long}), message("text of 600 bytes")),
        (
            json!({"data_event": "broadcast_log_status", "id": true}),
            format!("missing_subject_id: id: expected the broadcast log's {id} it is a boolean"),
        ),
        (
            json!({"event_type": "room_resolved", "data": {"room_id": ["secret"]}, "room": {"id": ""}}),
            format!(
                "missing_subject_id: room.id, data.room.id, data.room_id, room_id, id: expected \
                 the room's {id} room.id is blank, data.room.id is missing, data.room_id is an \
                 array, room_id is missing, id is missing"
            ),
        ),
        (json!([1]), "not_an_object: expected a JSON object, but it is an array".into()),
        (json!("secret"), "not_an_object: expected a JSON object, but it is text".into()),
    ];
    for (body, expected) in cases {
        let response = service.post(body.to_string()).await;
        assert_eq!(response.status, StatusCode::ACCEPTED, "{body}");
        let data = response.json()["data"].take();
        assert_eq!(data["reasons"][0], expected);
        assert!(!data["reasons"].to_string().contains("secret"), "{data}");
        let id = data["event_id"].as_str().unwrap();
        let shown = service.data(&format!("/v1/events/{id}")).await;
        assert_eq!(shown["reasons"], data["reasons"]);
    }
    let reasons = service.post(r#"{"id": "1"}"#).await.json()["data"]["reasons"].take();
    let reason = reasons[0].as_str().unwrap();
    for expected in ["data_event", "a message (id; room_id", "a room (id, ", "a broadcast log ("] {
        assert!(reason.contains(expected), "{reason}");
    }
}

#[sqlx::test]
async fn malformed_json_returns_400_with_its_position_and_is_stored(db: PgPool) {
    let service = Service::start(db).await;
    let cases: [(&[u8], &str); 4] = [
        (b"", "line 1 column 0"),
        (b"{\"id\": \"1\",\n\"text\": \"half", "line 2 column 13"),
        (b"{\"id\": \"\xff\"}", "invalid UTF-8 at byte 9"),
        (b"{}{}", "line 1 column 3"),
    ];
    for (body, position) in cases {
        for duplicate in [false, true] {
            let response = service.post(body.to_vec()).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST);
            let json = response.json();
            assert_eq!(json["status"], "error");
            assert_eq!(json["error"]["code"], 400);
            let message = json["error"]["messages"][0].as_str().unwrap();
            assert!(message.contains(position), "{message}");
            assert_eq!(json["data"]["duplicate"], duplicate);
        }
    }
    let stored = service.data("/v1/events?outcome=malformed").await;
    assert_eq!(stored.as_array().unwrap().len(), 4);
    assert_eq!(stored[0]["deliveries"], 2);
}

#[sqlx::test]
async fn nul_characters_are_removed_from_text_and_the_rest_is_kept(db: PgPool) {
    let service = Service::start(db).await;
    service.post(fixtures::body("72")).await;
    let message = service.data("/v1/messages/63c8ad84-9a1b-404e-bba1-d30038595139").await;
    let sent: Value = serde_json::from_slice(&fixtures::body("72")).unwrap();
    let expected = sent["text"].as_str().unwrap().replace('\0', "");
    assert_eq!(message["text"], expected);
}

#[sqlx::test]
async fn fields_of_the_wrong_type_are_dropped_alone_and_reported(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.post(fixtures::body("74")).await.json();
    let id = response["data"]["event_id"].as_str().unwrap();
    let event = service.data(&format!("/v1/events/{id}")).await;
    let reasons: Vec<&str> = event["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason.as_str().unwrap())
        .collect();
    let fields: Vec<&str> =
        reasons.iter().map(|reason| reason.split(':').next().unwrap()).collect();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    let expected = [
        "buttons",
        "created_at",
        "file",
        "last_campaign",
        "review_star",
        "room.is_blocked",
        "room.tags",
        "sender",
    ];
    assert_eq!(sorted, expected, "{reasons:?}");
    assert!(!reasons.iter().any(|reason| reason.contains("kemarin")), "{reasons:?}");

    let message = service.data("/v1/messages/856c3ea9-7361-4920-8c4c-c3434e062283").await;
    assert_eq!(message["is_campaign"], false);
    assert_eq!(message["created_at"], Value::Null);
    assert_eq!(message["reply"], "");
    assert_eq!(message["status_times"]["created"]["source"], "received");
    let room = service.data("/v1/rooms/214af3d9-cc48-4b48-928d-f53813a901f9").await;
    assert_eq!(room["unread_count"], 3);
    assert_eq!(room["division_id"], "7");
    assert_eq!(room["avatar"], "https://cdn.example.com/assets/qi-user.png");
    assert_eq!(room["last_activity_at"], "2025-06-12T05:06:00.000Z");
}

#[sqlx::test]
async fn edited_text_is_not_overwritten_by_a_later_unedited_one(db: PgPool) {
    let service = Service::start(db).await;
    let message = |text: &str, is_edited: bool, status: &str, second: u8| {
        let body = json!({
            "data_event": "status_message", "id": "m", "room_id": "r",
            "room": {"last_activity_at": format!("2025-06-12T05:00:0{second}Z")},
            "organization_id": ORGANIZATION, "participant_type": "agent",
            "text": text, "is_edited": is_edited, "status": status,
        });
        body.to_string()
    };
    let reports =
        [("z first", false, "created"), ("edited", true, "sent"), ("z first", false, "delivered")];
    for (second, (text, is_edited, status)) in (1..).zip(reports) {
        service.post(message(text, is_edited, status, second)).await;
    }
    assert_eq!(service.data("/v1/messages/m").await["text"], "edited");
    service.post(message("edited again", true, "read", 4)).await;
    let shown = service.data("/v1/messages/m").await;
    assert_eq!(shown["text"], "edited again");
    assert_eq!(shown["is_edited"], true);
}

#[sqlx::test]
async fn message_without_room_snapshot_creates_the_room(db: PgPool) {
    let service = Service::start(db).await;
    let body = json!({
        "data_event": "receive_message_from_customer", "id": "m", "room_id": "r", "text": "halo",
    });
    service.post(body.to_string()).await;
    let room = service.data("/v1/rooms/r").await;
    assert_eq!(room["last_message"]["text"], "halo");
    assert_eq!(room["organization_id"], Value::Null);
}
