//! Rooms: filters, room events and senders.

use axum::http::StatusCode;
use chrono::{TimeDelta, Utc};
use qontak_receiver::model::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{KEY_OF_ANOTHER, ORGANIZATION, Service};

async fn service_with_fixtures(db: PgPool) -> Service {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

/// Posts a snapshot of a room with these fields in addition to the required ones.
async fn post_room(service: &Service, id: &str, fields: Value) {
    let mut room = json!({"id": id, "type": "Models::CustomerServiceRoom", "channel": "wa_cloud",
        "organization_id": ORGANIZATION});
    room.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let response = service.post(room.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied", "{id}");
}

/// Sorted ids of the rooms matching a query.
async fn found(service: &Service, query: &str) -> Vec<String> {
    let rooms = service.data(&format!("/v1/rooms?{query}")).await;
    let id = |room: &Value| room["id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = rooms.as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}

/// Time this long ago.
fn ago(hours: i64, minutes: i64) -> String {
    let ago = TimeDelta::hours(hours) + TimeDelta::minutes(minutes);
    Timestamp(Utc::now() - ago).to_string()
}

#[sqlx::test]
async fn room_filter_matches_a_phone_number_in_any_format(db: PgPool) {
    let service = service_with_fixtures(db).await;
    post_room(&service, "with-plus", json!({"account_uniq_id": "+6281200010001"})).await;
    post_room(&service, "national", json!({"account_uniq_id": "081200010001"})).await;
    post_room(&service, "another", json!({"account_uniq_id": "6281200010002"})).await;
    let expected = [SITI_ROOM, "national", "with-plus"];
    for number in [
        "6281200010001",
        "%2B6281200010001",
        "+6281200010001",
        "081200010001",
        "0812-0001-0001",
        "%2B62%20812%200001%200001",
    ] {
        assert_eq!(found(&service, &format!("account_uniq_id={number}")).await, expected);
    }
    post_room(&service, "mail", json!({"account_uniq_id": "budi@example.com"})).await;
    assert_eq!(found(&service, "account_uniq_id=budi@example.com").await, ["mail"]);
    assert!(found(&service, "account_uniq_id=%2B").await.is_empty());
}

#[sqlx::test]
async fn message_of_the_customer_starts_a_session_whatever_the_room_in_it_says(db: PgPool) {
    let service = Service::start(db).await;
    let (old, new) = (ago(30, 0), ago(0, 1));
    let message = |id: &str, fields: Value| {
        let mut body = json!({"data_event": "receive_message_from_customer", "id": id,
            "room_id": id, "organization_id": ORGANIZATION, "created_at": new, "type": "text"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body.to_string()
    };
    let old_copy = json!({"id": "copy", "session_at": old, "updated_at": old});
    let agent = json!({"data_event": "receive_message_from_agent"});
    let messages = [
        message("none", json!({})),
        message("copy", json!({"room": old_copy})),
        message("agent", agent),
        message("notice", json!({"type": "System"})),
        message("reaction", json!({"raw_message": {"messages": [{"type": "reaction"}]}})),
    ];
    for room in ["none", "copy", "agent", "notice", "reaction"] {
        post_room(&service, room, json!({"session_at": old, "updated_at": old})).await;
    }
    for body in &messages {
        service.post(body.clone()).await;
    }
    assert_eq!(found(&service, "session=open").await, ["copy", "none"]);
    assert_eq!(found(&service, "session=expired").await, ["agent", "notice", "reaction"]);
    // The other order.
    service.execute("truncate event, room, message").await;
    for body in &messages {
        service.post(body.clone()).await;
    }
    for room in ["none", "copy", "agent", "notice"] {
        post_room(&service, room, json!({"session_at": old, "updated_at": old})).await;
    }
    assert_eq!(found(&service, "session=open").await, ["copy", "none"]);
    assert_eq!(service.data("/v1/rooms/none").await["session_at"], new);
}

#[sqlx::test]
async fn event_about_an_old_message_does_not_move_the_session_back(db: PgPool) {
    let service = Service::start(db).await;
    let old = ago(3, 0);
    let message = |event: &str, room: &str, created_at: &str, copy: Value| {
        let mut body = json!({"data_event": event, "id": format!("{room}-{created_at}"),
            "room_id": room, "organization_id": ORGANIZATION, "created_at": created_at,
            "type": "text", "participant_type": "customer"});
        if !copy.is_null() {
            body["room"] = copy;
        }
        body.to_string()
    };
    let new = ago(2, 0);
    // About the first message, but the copy of the room is newer than both.
    let later =
        |session_at: Option<&str>| json!({"updated_at": ago(1, 0), "session_at": session_at});
    let bodies = |room: &str| {
        [
            message("receive_message_from_customer", room, &old, Value::Null),
            message("receive_message_from_customer", room, &new, Value::Null),
            message("status_message", room, &old, later(None)),
            message("status_message", room, &old, later(Some(&new))),
        ]
    };
    for (number, order) in
        [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 1, 3]].iter().enumerate()
    {
        let room = format!("room-{number}");
        for place in order {
            service.post(bodies(&room)[*place].clone()).await;
        }
        assert_eq!(
            service.data(&format!("/v1/rooms/{room}")).await["session_at"],
            new,
            "{order:?}"
        );
    }
    // Without a session in any copy.
    for body in &bodies("without")[..3] {
        service.post(body.clone()).await;
    }
    assert_eq!(service.data("/v1/rooms/without").await["session_at"], new);
}

#[sqlx::test]
async fn session_expires_24_hours_after_the_last_customer_message(db: PgPool) {
    let service = Service::start(db).await;
    let rooms = [
        ("fresh", Some(ago(1, 0))),
        ("long", Some(ago(21, 55))),
        ("short", Some(ago(22, 5))),
        ("almost-over", Some(ago(23, 55))),
        ("over", Some(ago(24, 5))),
        ("never", None),
    ];
    for (id, session_at) in rooms {
        // An agent has written since; the field `session` of 2021 is ignored.
        let fields =
            json!({"session_at": session_at, "last_activity_at": ago(0, 30), "session": "open"});
        post_room(&service, id, fields).await;
    }
    assert_eq!(found(&service, "session=open").await, ["fresh", "long"]);
    assert_eq!(found(&service, "session=expiring").await, ["almost-over", "short"]);
    assert_eq!(found(&service, "session=expired").await, ["over"]);
    assert_eq!(found(&service, "").await.len(), 6);
}

#[sqlx::test]
async fn room_is_unanswered_while_its_last_message_is_from_the_customer(db: PgPool) {
    let service = Service::start(db).await;
    let (earlier, later) = ("2025-06-12T02:00:00Z", "2025-06-12T02:05:00Z");
    let unanswered = [
        ("by-flag", json!({"status": "assigned", "is_unresponded": true})),
        // A bot has replied, but Qontak reports the room as unresponded.
        (
            "by-flag-despite-bot",
            json!({"status": "unassigned", "is_unresponded": true,
                "session_at": earlier, "last_message_at": later}),
        ),
        ("by-time", json!({"status": "unassigned", "session_at": later, "last_message_at": later})),
        ("by-count", json!({"status": "assigned", "unread_count": 2})),
    ];
    let answered = [
        (
            "flag-is-false",
            json!({"status": "assigned", "is_unresponded": false, "unread_count": 3}),
        ),
        ("resolved", json!({"status": "resolved", "is_unresponded": true})),
        ("without-messages", json!({"status": "assigned"})),
        (
            "written-since",
            json!({"status": "assigned", "session_at": earlier, "last_message_at": later}),
        ),
        ("without-status", json!({"is_unresponded": true})),
    ];
    for (id, fields) in unanswered.iter().chain(&answered) {
        post_room(&service, id, fields.clone()).await;
    }
    let ids = |rooms: &[(&str, Value)]| {
        let mut ids: Vec<String> = rooms.iter().map(|(id, _)| (*id).to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(found(&service, "response=unanswered").await, ids(&unanswered));
    assert_eq!(found(&service, "response=answered").await, ids(&answered));
}

#[sqlx::test]
async fn room_list_filters_by_date_of_last_activity(db: PgPool) {
    let service = Service::start(db).await;
    for at in ["11T23:59:59.999", "12T00:00:00.000", "12T12:00:00.000", "13T00:00:00.000"] {
        let fields = json!({"last_activity_at": format!("2025-06-{at}Z")});
        post_room(&service, at, fields).await;
    }
    let cases: [(&str, &[&str]); 7] = [
        // Dates include the whole day.
        ("start_date=2025-06-12&end_date=2025-06-12", &["12T00:00:00.000", "12T12:00:00.000"]),
        ("end_date=2025-06-11", &["11T23:59:59.999"]),
        ("start_date=2025-06-13", &["13T00:00:00.000"]),
        // A start time is inclusive, an end time is exclusive.
        ("start_date=2025-06-12T12:00:00Z", &["12T12:00:00.000", "13T00:00:00.000"]),
        ("start_date=2025-06-12&end_date=2025-06-12T12:00:00Z", &["12T00:00:00.000"]),
        ("start_date=2025-06-12T19:00:00%2B07:00&end_date=2025-06-12", &["12T12:00:00.000"]),
        ("start_date=2025-06-12T19:00:00+07:00&end_date=2025-06-12", &["12T12:00:00.000"]),
    ];
    for (query, expected) in cases {
        assert_eq!(found(&service, query).await, expected, "{query}");
    }
    let reversed = service.get("/v1/rooms?start_date=2025-06-14&end_date=2025-06-10").await;
    assert_eq!(reversed.status, StatusCode::UNPROCESSABLE_ENTITY);
    let messages = json!(["end_date: must be after start_date"]);
    assert_eq!(reversed.json()["error"]["messages"], messages);
}

#[sqlx::test]
async fn combined_room_filters_apply_on_every_page(db: PgPool) {
    let service = service_with_fixtures(db).await;
    for i in 0..5 {
        let fields = json!({"status": "assigned", "is_unresponded": true, "session_at": ago(0, i),
            "last_activity_at": ago(0, i), "channel_integration_id": "integration"});
        post_room(&service, &format!("room-{i}"), fields).await;
    }
    post_room(&service, "elsewhere", json!({"channel_integration_id": "another"})).await;
    let query = format!(
        "channel_integration_id=integration&response=unanswered&session=open&status=assigned\
         &channel=wa_cloud&start_date={}&limit=2",
        ago(2, 0)
    );
    let mut path = format!("/v1/rooms?{query}");
    let mut ids = Vec::new();
    loop {
        let page = service.get(&path).await.json();
        ids.extend(page["data"].as_array().unwrap().iter().map(|room| room["id"].clone()));
        let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() else { break };
        path = format!("/v1/rooms?{query}&cursor={next}");
    }
    assert_eq!(ids, ["room-0", "room-1", "room-2", "room-3", "room-4"]);
    assert_eq!(found(&service, "channel_integration_id=another").await, ["elsewhere"]);
}

#[sqlx::test]
async fn invalid_room_filters_return_422_naming_the_parameter(db: PgPool) {
    let service = Service::start(db).await;
    let time = "must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)";
    let cases = [
        ("session=closed", "session: must be one of open, expiring, expired".to_owned()),
        ("response=maybe", "response: must be one of unanswered, answered".to_owned()),
        ("start_date=2025-02-30", format!("start_date: {time}")),
        ("end_date=yesterday", format!("end_date: {time}")),
        ("end_date=9999-12-31", format!("end_date: {time}")),
        ("end_date=%2B262142-12-31", format!("end_date: {time}")),
        ("start_date=-4713-01-01", format!("start_date: {time}")),
        ("start_date=1749694503", format!("start_date: {time}")),
        ("start_date=", "start_date: must not be empty".to_owned()),
    ];
    for (query, message) in cases {
        let response = service.get(&format!("/v1/rooms?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
    let drop = "%27%3B%20drop%20table%20room%3B--";
    for name in ["channel_integration_id", "account_uniq_id", "tag", "agent", "status", "channel"] {
        assert!(found(&service, &format!("{name}={drop}")).await.is_empty(), "{name}");
    }
}

#[sqlx::test]
async fn room_events_are_listed_newest_first_on_every_page(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let path = format!("/v1/rooms/{SITI_ROOM}/events");
    let events = service.data(&path).await;
    let types: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["resolved", "unassigned", "handed_over", "assigned", "created"]);
    assert_eq!(events[0]["at"], "2025-06-12T03:05:12.851Z");
    assert_eq!(events[0]["actor_id"], "deb8a35a-d051-4b10-aad8-079297722314");
    let event = events[0]["event_id"].as_str().unwrap();
    let event = service.data(&format!("/v1/events/{event}")).await;
    assert_eq!(event["kind"], "room_resolved");

    let mut page = service.get(&format!("{path}?limit=2")).await.json();
    let mut paged = page["data"].as_array().unwrap().clone();
    while let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() {
        page = service.get(&format!("{path}?limit=2&cursor={next}")).await.json();
        paged.extend(page["data"].as_array().unwrap().clone());
    }
    assert_eq!(Value::Array(paged), events);
    let prev = page["meta"]["pagination"]["cursor"]["prev"].as_str().unwrap();
    let back = service.data(&format!("{path}?limit=2&cursor={prev}")).await;
    assert_eq!(back, json!([events[2], events[3]]));

    // An event without a time is listed by its time of receipt.
    let assigned = json!({"data_event": "agent_assigned_to_room", "room": {"id": SITI_ROOM},
        "agent": {"id": "maya", "full_name": "Maya"}, "organization_id": ORGANIZATION});
    service.post(assigned.to_string()).await;
    let newest = service.data(&path).await[0].take();
    assert_eq!((&newest["at"], &newest["actor_name"]), (&Value::Null, &json!("Maya")));
}

#[sqlx::test]
async fn sender_fields_come_from_the_newest_message_containing_them(db: PgPool) {
    let service = Service::start(db).await;
    let message = |id: &str, at: &str, sender: Value| {
        json!({"data_event": "receive_message_from_agent", "id": id, "room_id": "r",
            "organization_id": ORGANIZATION, "sender_type": "Models::User", "sender_id": "rizky",
            "sender": sender, "created_at": at})
    };
    let newer = json!({"name": "Rizky H.", "avatar": {"url": "https://cdn.example.com/r.png"}});
    service.post(message("b", "2025-06-12T03:00:00Z", newer).to_string()).await;
    let older = json!({"name": "Rizky", "username": "rizky.h"});
    service.post(message("a", "2025-06-12T02:00:00Z", older).to_string()).await;
    let expected = json!({"id": "rizky", "organization_id": ORGANIZATION, "type": "agent",
        "name": "Rizky H.", "username": "rizky.h", "avatar": {"url": "https://cdn.example.com/r.png"}});
    assert_eq!(service.data("/v1/senders/rizky").await, expected);
    let hidden = service.get_with(KEY_OF_ANOTHER, "/v1/senders/rizky").await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/v1/senders/unknown").await.status, StatusCode::NOT_FOUND);
    let unknown = service.get("/v1/senders/rizky?name=x").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
}
