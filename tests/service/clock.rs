//! Clocks: the newest snapshot of a room, the newest text of a message and the newest value of a field
//! win in every order, whatever a sender's clock says.

use chrono::TimeDelta;
use qontak_receiver::model::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{ORGANIZATION, Service, TRUNCATE_ALL};

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let insert = |order: &Vec<usize>, place| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..count).map(move |place| insert(order, place))).collect()
}

/// Posts the bodies in every order, each of them again at the end, and expects these fields each time.
async fn assert_in_any_order(service: &Service, bodies: &[Value], path: &str, expected: &Value) {
    let mut state = None;
    for order in orders(bodies.len()) {
        service.execute(TRUNCATE_ALL).await;
        let repeated = order.iter().map(|&i| {
            let mut body = bodies[i].clone();
            body["repeated"] = true.into();
            body
        });
        for body in order.iter().map(|&i| bodies[i].clone()).chain(repeated) {
            let response = service.post(body.to_string()).await;
            assert_eq!(response.json()["data"]["outcome"], "applied", "{body}");
        }
        let shown = service.data(path).await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(shown[field], *value, "{field}, order {order:?}: {shown}");
        }
        let now = service.state().await;
        assert_eq!(*state.get_or_insert_with(|| now.clone()), now, "order {order:?}");
    }
}

fn with(mut body: Value, fields: &Value) -> Value {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Room as the whole body.
fn room(fields: &Value) -> Value {
    let room = json!({"data_event": "room_updated", "id": "r", "channel": "wa_cloud",
        "channel_integration_id": "c", "organization_id": ORGANIZATION});
    with(room, fields)
}

/// Message of a customer with this copy of its room.
fn message(id: &str, fields: &Value, room: &Value) -> Value {
    let message = json!({"data_event": "status_message", "id": id, "room_id": "r", "status": "sent",
        "participant_type": "customer", "organization_id": ORGANIZATION, "text": id});
    let mut message = with(message, fields);
    if !room.is_null() {
        message["room"] = with(json!({"id": "r", "channel": "wa_cloud"}), room);
    }
    message
}

async fn ids(service: &Service, path: &str) -> Vec<String> {
    let rows = service.data(path).await;
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test]
async fn room_is_active_when_its_latest_message_was_written(db: PgPool) {
    let service = Service::start(db).await;
    let (old, new) = ("2025-06-12T03:00:00.000Z", "2025-06-13T04:00:00.000Z");
    let stale = json!({"updated_at": old, "last_message_at": old});
    let cases = [
        room(&json!({"updated_at": old, "session_at": new})),
        room(&json!({"updated_at": old, "last_message_at": new})),
        room(&json!({"updated_at": old, "last_message": {"id": "m", "created_at": new}})),
        room(&json!({"last_activity_at": old, "updated_at": new})),
        message("m", &json!({"created_at": new}), &stale),
        message("m", &json!({"created_at": new}), &json!({"session_at": old, "updated_at": old})),
        message("m", &json!({"created_at": new}), &Value::Null),
        message("m", &json!({"created_at": old}), &json!({"session_at": new})),
    ];
    for newer in cases {
        let bodies = [
            room(&json!({"updated_at": old, "name": "Siti"})),
            message("older", &json!({"created_at": old}), &stale),
            newer,
        ];
        assert_in_any_order(&service, &bodies, "/v1/rooms/r", &json!({"activity_at": new})).await;
        let other = json!({"id": "other", "updated_at": "2025-06-13T00:00:00Z"});
        service.post(room(&other).to_string()).await;
        assert_eq!(ids(&service, "/v1/rooms").await, ["r", "other"], "{bodies:?}");
        assert_eq!(ids(&service, "/v1/rooms?start_date=2025-06-13T02:00:00Z").await, ["r"]);
    }
}

#[sqlx::test]
async fn snapshot_with_the_later_session_wins_although_updated_at_is_the_same(db: PgPool) {
    let service = Service::start(db).await;
    let at = "2025-06-12T03:46:40.272Z";
    let snapshot = |session_at: &str, unread_count: u8| {
        let fields = json!({"created_at": session_at});
        let room = json!({"updated_at": at, "session_at": session_at, "unread_count": unread_count,
            "status": "assigned"});
        message(session_at, &fields, &room)
    };
    let (first, second) = ("2025-06-12T04:04:10.000Z", "2025-06-12T04:19:10.000Z");
    // The body's hash decides nothing: the texts differ.
    for n in 0..4 {
        let bodies = [
            with(snapshot(first, 0), &json!({ "text": format!("a{n}") })),
            with(snapshot(second, 1), &json!({ "text": format!("b{n}") })),
        ];
        let expected = json!({"unread_count": 1, "session_at": second});
        assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
    }
}

#[sqlx::test]
async fn snapshot_that_says_more_wins_between_equal_clocks(db: PgPool) {
    let service = Service::start(db).await;
    let at = "2025-06-12T03:46:40.272Z";
    let cases = [
        (json!({"agent_ids": [], "tags": ["a", "b"]}), json!({"agent_ids": ["x"], "tags": []})),
        (json!({"tags": ["z"], "unread_count": 5}), json!({"tags": ["a", "b"], "unread_count": 0})),
        (json!({"unread_count": 9}), json!({"unread_count": 10})),
        (
            json!({"unread_count": 9, "session_at": "2025-06-12T03:46:00.000Z"}),
            json!({"unread_count": 1, "session_at": "2025-06-12T03:46:30.000Z"}),
        ),
        (json!({"status": "unassigned", "agent_ids": ["x"]}), json!({"status": "assigned"})),
    ];
    for (less, more) in cases {
        for n in 0..6 {
            let bodies = [&less, &more].map(|fields| {
                room(&with(json!({"updated_at": at, "name": "Siti", "n": n}), fields))
            });
            assert_in_any_order(&service, &bodies, "/v1/rooms/r", &more).await;
        }
    }
}

#[sqlx::test]
async fn room_resolved_again_does_not_show_its_first_resolution(db: PgPool) {
    let service = Service::start(db).await;
    let at = |minute: u8| format!("2025-06-12T03:{minute:02}:00.000Z");
    let first = room(&json!({"data_event": "room_resolved", "status": "resolved",
        "updated_at": at(1), "resolved_at": at(1), "resolved_by_id": "agent-1",
        "resolved_by_type": "Models::User"}));
    let reopened = room(&json!({"status": "unassigned", "updated_at": at(2)}));
    let again =
        |fields: &Value| room(&with(json!({"status": "resolved", "updated_at": at(3)}), fields));
    let nobody = json!({"resolved_at": null, "resolved_by_id": null, "resolved_by_type": null});
    let second =
        json!({"resolved_at": at(3), "resolved_by_id": "agent-2", "resolved_by_type": null});
    for (fields, expected) in [
        (json!({"resolved_at": null}), &nobody),
        (json!({"resolved_at": "", "resolved_by_id": "n/a"}), &nobody),
        (second.clone(), &second),
    ] {
        let bodies = [first.clone(), reopened.clone(), again(&fields)];
        assert_in_any_order(&service, &bodies, "/v1/rooms/r", expected).await;
    }
    // Reopened and resolved by reference only, and a message of the open room in between.
    let by_reference = json!({"event_type": "room_resolved", "organization_id": ORGANIZATION,
        "data": {"room_id": "r", "resolved_at": at(4), "resolved_by": "agent-3"}});
    let open = message("m", &json!({"created_at": at(2)}), &json!({"status": "assigned"}));
    let expected = json!({"resolved_at": at(4), "resolved_by_id": "agent-3",
        "resolved_by_type": null, "status": "resolved"});
    let bodies = [first.clone(), open, by_reference];
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
    // Lists repeat a resolved room without saying when or by whom.
    let bodies = [first, again(&nobody)];
    let expected = json!({"resolved_at": at(1), "resolved_by_id": "agent-1"});
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
}

#[sqlx::test]
async fn edit_with_the_later_clock_wins_in_every_order(db: PgPool) {
    let service = Service::start(db).await;
    let reading = |text: &str, is_edited: bool, status: &str, clock: &str| {
        let fields = json!({"text": text, "is_edited": is_edited, "status": status,
            "participant_type": "agent", "created_at": "2025-06-12T05:00:00Z"});
        message("m", &fields, &json!({"updated_at": clock, "last_activity_at": clock}))
    };
    // In the order of the alphabet, and against it.
    for (first, second) in [("175", "185"), ("185", "175")] {
        let bodies = [
            reading("150", false, "created", "2025-06-12T05:00:00Z"),
            reading(first, true, "sent", "2025-06-12T05:01:30Z"),
            reading(second, true, "sent", "2025-06-12T05:02:00Z"),
            // A late report of the first edit.
            reading(first, true, "delivered", "2025-06-12T05:01:31Z"),
        ];
        let expected = json!({"text": second, "status": "delivered", "is_edited": true});
        assert_in_any_order(&service, &bodies, "/v1/messages/m", &expected).await;
    }
    // An unedited text loses to any edit, and a room's copy of the message to any event.
    let bodies = [
        reading("edited", true, "sent", "2025-06-12T05:01:30Z"),
        reading("original", false, "read", "2025-06-12T05:09:00Z"),
        room(&json!({"updated_at": "2025-06-12T06:00:00Z",
            "last_message": {"id": "m", "text": "embedded", "is_edited": true}})),
    ];
    let expected = json!({"text": "edited", "status": "read"});
    assert_in_any_order(&service, &bodies, "/v1/messages/m", &expected).await;
    // Between equal clocks a hash decides, the same in every order.
    let bodies = [
        message("m", &json!({"text": "b", "is_edited": true}), &Value::Null),
        message("m", &json!({"text": "a", "is_edited": true}), &Value::Null),
    ];
    assert_in_any_order(&service, &bodies, "/v1/messages/m", &json!({"is_edited": true})).await;
}

#[sqlx::test]
async fn message_fields_have_the_value_of_the_newest_event_that_contains_them(db: PgPool) {
    let service = Service::start(db).await;
    let reading = |second: u8, fields: &Value| {
        let clock = format!("2025-06-12T05:00:0{second}Z");
        let created_at = json!({"created_at": "2025-06-12T05:00:00Z"});
        message("m", &with(created_at, fields), &json!({ "last_activity_at": clock }))
    };
    let file = |name: &str| json!({ "url": format!("https://cdn.example.com/{name}") });
    // In the order of the alphabet, and against it.
    for (old, new) in [("a", "z"), ("z", "a")] {
        let bodies = [
            reading(
                1,
                &json!({"sender_id": old, "file": file(old), "type": old,
                "external_id": old, "reply": {"id": old}, "is_campaign": true}),
            ),
            reading(
                2,
                &json!({"sender_id": new, "file": file(new), "type": null,
                "external_id": "n/a", "is_campaign": false}),
            ),
            reading(
                0,
                &json!({"sender_id": "first", "type": "first", "external_id": "first",
                "reply": {"id": "first"}, "buttons": ["first"], "room_id": "elsewhere"}),
            ),
        ];
        let expected = json!({"sender_id": new, "file": file(new), "type": old,
            "external_id": old, "reply": {"id": old}, "buttons": ["first"], "room_id": "r",
            "is_campaign": false});
        assert_in_any_order(&service, &bodies, "/v1/messages/m", &expected).await;
    }
    // Between equal clocks a hash decides; a room's copy only fills what is missing.
    let bodies = [
        reading(1, &json!({"sender_id": "a", "type": "text"})),
        reading(1, &json!({"sender_id": "b"})),
        room(&json!({"updated_at": "2025-06-12T06:00:00Z", "last_message": {"id": "m",
            "sender_id": "c", "external_id": "wamid.1"}})),
    ];
    let expected = json!({"type": "text", "external_id": "wamid.1"});
    assert_in_any_order(&service, &bodies, "/v1/messages/m", &expected).await;
}

#[sqlx::test]
async fn log_fields_have_the_value_of_the_newest_report_of_whatsapp(db: PgPool) {
    let service = Service::start(db).await;
    let report = |status: &str, second: i64, pricing: Value, fields: &Value| {
        let mut response = json!({});
        response[status] = json!({"statuses": [{"timestamp": 1_749_700_000 + second,
            "pricing": pricing}]});
        let log = json!({"data_event": "broadcast_log_status", "id": "l", "status": status,
            "organization_id": ORGANIZATION, "messages_broadcast_id": "b",
            "messages_response": response});
        with(log, fields)
    };
    let estimate = json!({"billable": true, "category": "utility", "pricing_model": "PMP"});
    let charged = json!({"billable": false, "category": "marketing"});
    let bodies = [
        report("sent", 1, estimate, &json!({"contact_full_name": "Siti R.", "messages": {"a": 2}})),
        report("delivered", 2, charged, &json!({"contact_full_name": "Ani", "messages": {"a": 1}})),
        report("read", 3, Value::Null, &json!({})),
    ];
    let expected = json!({"contact_full_name": "Ani", "messages": {"a": 1}, "billable": false,
        "pricing_category": "marketing", "pricing_model": "PMP", "status": "read"});
    for order in orders(3) {
        service.execute(TRUNCATE_ALL).await;
        for i in &order {
            service.post(bodies[*i].to_string()).await;
        }
        let row = service.data("/v1/broadcasts/b/logs").await[0].take();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(row[field], *value, "{field}, order {order:?}: {row}");
        }
    }
}

/// Times around the time of receipt.
fn from_now(offset: TimeDelta) -> String {
    Timestamp(Timestamp::now().0 + offset).to_string()
}

#[sqlx::test]
async fn clock_ahead_of_its_receipt_freezes_nothing(db: PgPool) {
    let service = Service::start(db).await;
    let hours = TimeDelta::hours;
    for ahead in [TimeDelta::minutes(6), hours(7), hours(23)] {
        service.execute(TRUNCATE_ALL).await;
        let ahead = from_now(ahead);
        let snapshot = |status: &str, at: &str| {
            room(&json!({"status": status, "updated_at": at, "last_activity_at": at,
                "session_at": at, "last_message_at": at, "created_at": at}))
        };
        let edit = |text: &str, at: &str| {
            let fields =
                json!({"text": text, "is_edited": true, "created_at": at, "file": {"url": text}});
            message("m", &fields, &json!({ "updated_at": at }))
        };
        service.post(snapshot("assigned", &from_now(-hours(1))).to_string()).await;
        service.post(edit("old", &ahead).to_string()).await;
        service.post(snapshot("unassigned", &ahead).to_string()).await;
        // The next true times, to the second as WhatsApp sends them.
        let now = from_now(TimeDelta::zero());
        service.post(snapshot("resolved", &now).to_string()).await;
        service.post(edit("new", &now).to_string()).await;
        let room = service.data("/v1/rooms/r").await;
        assert_eq!(room["status"], "resolved", "{ahead}: {room}");
        assert!(room["activity_at"].as_str().unwrap() < ahead.as_str(), "{room}");
        assert!(room["session_at"].as_str().unwrap() < ahead.as_str(), "{room}");
        let shown = service.data("/v1/messages/m").await;
        assert_eq!((&shown["text"], &shown["file"]["url"]), (&json!("new"), &json!("new")));
        // What the sender said stays visible, and the conversation is in order of receipt.
        let later = json!({"created_at": from_now(TimeDelta::seconds(2))});
        service.post(message("later", &later, &Value::Null).to_string()).await;
        assert_eq!(ids(&service, "/v1/rooms/r/messages").await, ["later", "m"], "{ahead}");
    }
}

#[sqlx::test]
async fn every_room_with_a_session_is_open_expiring_or_expired(db: PgPool) {
    let service = Service::start(db).await;
    let minutes =
        [-400, -5, 0, 4, 60, 21 * 60 + 50, 22 * 60 + 10, 23 * 60 + 50, 24 * 60 + 10, 9999];
    for minutes in minutes {
        let at = from_now(-TimeDelta::minutes(minutes));
        for (id, fields) in [
            ("r", json!({ "session_at": at })),
            ("s", json!({"session_at": at, "updated_at": "2025-06-12T05:00:00Z"})),
        ] {
            let body = room(&with(json!({"id": format!("{id}{minutes}")}), &fields));
            service.post(body.to_string()).await;
        }
    }
    service
        .post(room(&json!({"id": "none", "updated_at": from_now(TimeDelta::zero())})).to_string())
        .await;
    let mut found = Vec::new();
    for session in ["open", "expiring", "expired"] {
        found.extend(ids(&service, &format!("/v1/rooms?session={session}")).await);
    }
    found.sort();
    let mut expected: Vec<_> =
        minutes.iter().flat_map(|m| [format!("r{m}"), format!("s{m}")]).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[sqlx::test]
async fn report_of_a_resolution_without_time_or_resolver_keeps_those_of_another(db: PgPool) {
    let service = Service::start(db).await;
    let at = |minute: u8| format!("2025-06-12T03:{minute:02}:00.000Z");
    let by_reference = json!({"event_type": "room_resolved", "organization_id": ORGANIZATION,
        "data": {"room_id": "r", "resolved_at": at(1), "resolved_by": "agent-1"}});
    let resolved = |fields: &Value| {
        let state = json!({"status": "resolved", "updated_at": at(2), "resolved_at": null,
            "resolved_by_id": null, "resolved_by_type": null});
        room(&with(state, fields))
    };
    let both = json!({"resolved_at": at(1), "resolved_by_id": "agent-1"});
    for fields in [
        json!({"resolved_at": at(1)}),
        json!({"resolved_by_id": "agent-1"}),
        json!({"updated_at": at(1), "resolved_at": at(1), "resolved_by_type": ""}),
    ] {
        let bodies = [by_reference.clone(), resolved(&fields)];
        assert_in_any_order(&service, &bodies, "/v1/rooms/r", &both).await;
    }
    // WhatsApp's seconds, and Qontak's milliseconds.
    let later = "2025-06-12T03:01:00.843Z";
    let bodies = [by_reference.clone(), resolved(&json!({ "resolved_at": later }))];
    let expected = json!({"resolved_at": later, "resolved_by_id": "agent-1"});
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
    // Another resolution, of which nobody says by whom.
    let bodies = [by_reference.clone(), resolved(&json!({"resolved_at": at(2)}))];
    let expected = json!({"resolved_at": at(2), "resolved_by_id": null});
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
    let bodies = [by_reference.clone(), resolved(&json!({"resolved_by_id": "agent-2"}))];
    let expected = json!({"resolved_at": null, "resolved_by_id": "agent-2"});
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
    // Other reports of the same instant, which have the same clock.
    for other in [
        json!({"service_name": "room", "event_name": "resolved", "organization_id": ORGANIZATION,
            "created_at": at(1), "room": {"id": "r"}}),
        json!({"data_event": "room_resolved", "organization_id": ORGANIZATION, "room_id": "r",
            "resolved_at": at(1)}),
        json!({"data_event": "room_resolved", "organization_id": ORGANIZATION, "id": "r",
            "resolved_at": at(1)}),
    ] {
        for n in 0..6 {
            let bodies = [by_reference.clone(), with(other.clone(), &json!({ "n": n }))];
            assert_in_any_order(&service, &bodies, "/v1/rooms/r", &both).await;
            let events = service.data("/v1/rooms/r/events").await;
            assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
            assert_eq!(events[0]["actor_id"], "agent-1");
        }
    }
}

#[sqlx::test]
async fn room_is_active_when_whatsapp_says_that_its_message_was_written(db: PgPool) {
    let service = Service::start(db).await;
    let fields = json!({"raw_message": {"messages": [{"timestamp": "1749787200"}]}});
    let bodies = [
        room(&json!({"updated_at": "2025-06-12T03:00:00.000Z"})),
        message("m", &fields, &json!({"updated_at": "2025-06-12T03:00:00.000Z"})),
    ];
    let at = "2025-06-13T04:00:00.000Z";
    let expected = json!({"activity_at": at, "session_at": at});
    assert_in_any_order(&service, &bodies, "/v1/rooms/r", &expected).await;
}

#[sqlx::test]
async fn pricing_of_a_delivery_wins_over_the_estimate_of_the_same_second(db: PgPool) {
    let service = Service::start(db).await;
    let report = |status: &str, kind: &str, category: &str, n: u8, times: bool| {
        let mut part = json!({"status": status, "pricing": {"type": kind, "category": category}});
        if times {
            part["timestamp"] = 1_749_700_000.into();
        }
        json!({"data_event": "broadcast_log_status", "id": "l", "status": status, "n": n,
            "organization_id": ORGANIZATION, "messages_broadcast_id": "b",
            "messages_response": {status: {"statuses": [part]}}})
    };
    for times in [true, false] {
        for n in 0..6 {
            for (estimate, charged, billable) in
                [("free_customer_service", "regular", true), ("regular", "free_entry_point", false)]
            {
                let bodies = [
                    report("sent", estimate, "utility", n, times),
                    report("delivered", charged, "marketing", n, times),
                ];
                for order in orders(2) {
                    service.execute(TRUNCATE_ALL).await;
                    for i in order {
                        service.post(bodies[i].to_string()).await;
                    }
                    let row = service.data("/v1/broadcasts/b/logs").await[0].take();
                    assert_eq!(row["billable"], billable, "{row}");
                    assert_eq!(row["pricing_category"], "marketing", "{row}");
                }
            }
        }
    }
}
