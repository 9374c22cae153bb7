//! Merging room snapshots field by field: the newest snapshot that contains a field sets it.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{ORGANIZATION, Service};

/// Each snapshot lacks some fields of the others.
#[sqlx::test]
async fn each_room_field_comes_from_the_newest_snapshot_containing_it(db: PgPool) {
    let service = Service::start(db).await;
    let snapshot = |second: u8, fields: Value| {
        let mut body = json!({
            "data_event": "room_updated", "id": "r", "channel": "wa", "channel_integration_id": "c",
            "last_activity_at": format!("2025-06-12T02:00:0{second}Z"), "organization_id": ORGANIZATION,
        });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body.to_string()
    };
    let snapshots = [
        snapshot(
            1,
            json!({"name": "one", "status": "assigned", "agent_ids": ["a"], "tags": ["x"]}),
        ),
        snapshot(2, json!({"name": "two", "unread_count": 2, "tags": []})),
        snapshot(3, json!({"status": "unassigned", "unread_count": null, "agent_ids": "odd"})),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        service.execute("truncate event, room").await;
        for i in order {
            service.post(snapshots[i].clone()).await;
        }
        let room = service.data("/v1/rooms/r").await;
        let shown = ["name", "status", "unread_count", "agent_ids", "tags"]
            .map(|field| room[field].clone());
        let expected = [json!("two"), json!("unassigned"), json!(2), json!(["a"]), json!([])];
        assert_eq!(shown, expected, "{order:?}");
    }
}

/// The hash of an empty snapshot may sort between those of two others; the order of the two must
/// not change.
#[sqlx::test]
async fn snapshot_without_fields_does_not_change_the_room(db: PgPool) {
    let service = Service::start(db).await;
    let event = |n: u8, name: Option<&str>| {
        let mut room = json!({ "id": "r", "organization_id": ORGANIZATION });
        room.as_object_mut().unwrap().extend(name.map(|name| ("name".to_owned(), json!(name))));
        let event = "agent_assigned_to_room";
        json!({ "data_event": event, "webhook_event": "agent_responsibility", "room": room, "n": n })
            .to_string()
    };
    for n in 0..24 {
        let bodies = [event(n, Some("one")), event(n, Some("two")), event(n, None)];
        let mut names = Vec::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            service.execute("truncate event, room").await;
            for i in order {
                service.post(bodies[i].clone()).await;
            }
            names.push(service.data("/v1/rooms/r").await["name"].take());
        }
        names.dedup();
        assert_eq!(names.len(), 1, "{n}: {names:?}");
    }
}

#[sqlx::test]
async fn room_field_missing_in_the_newer_snapshot_keeps_the_older_value(db: PgPool) {
    const TEXTS: [&str; 12] = [
        "name",
        "description",
        "type",
        "channel",
        "channel_account",
        "channel_uniq_id",
        "account_uniq_id",
        "channel_integration_id",
        "session",
        "external_id",
        "division_id",
        "resolved_by_type",
    ];
    const OBJECTS: [&str; 3] = ["avatar", "note", "extra"];
    const LISTS: [&str; 3] = ["tags", "agent_ids", "email_cc"];
    const TIMES: [&str; 4] = ["session_at", "created_at", "last_message_at", "resolved_at"];
    const FLAGS: [&str; 4] =
        ["is_dont_auto_resolve", "is_blocked", "is_unresponded", "is_manual_survey"];
    let service = Service::start(db).await;
    let snapshot = |number: u8| {
        let mut room = json!({"id": "r", "status": "resolved", "unread_count": number,
            "last_activity_at": format!("2025-06-12T02:00:0{number}Z"),
            "resolved_by_id": format!("user {number}")});
        for field in TEXTS {
            room[field] = json!(format!("{field} {number}"));
        }
        for field in OBJECTS {
            room[field] = json!({ "text": format!("{field} {number}") });
        }
        for field in LISTS {
            room[field] = json!([format!("{field} {number}")]);
        }
        for field in TIMES {
            room[field] = json!(format!("2025-06-12T01:0{number}:00.000Z"));
        }
        for field in FLAGS {
            room[field] = json!(number == 1);
        }
        room
    };
    let (older, newer) = (snapshot(1), snapshot(2));
    let fields =
        [TEXTS.as_slice(), &OBJECTS, &LISTS, &TIMES, &FLAGS, &["unread_count", "resolved_by_id"]];
    for lacking in fields.concat() {
        let mut newer = newer.clone();
        newer.as_object_mut().unwrap().remove(lacking);
        for order in [[&older, &newer], [&newer, &older]] {
            service.execute("truncate event, room").await;
            for room in order {
                let body = json!({"data_event": "status_message", "id": "m", "room": room});
                service.post(body.to_string()).await;
            }
            let shown = service.data("/v1/rooms/r").await;
            for field in fields.concat() {
                // Parts of another resolution are not shown.
                let expected = match lacking {
                    "resolved_by_id" if field == "resolved_by_type" => &Value::Null,
                    _ if field != lacking => &newer[field],
                    "resolved_at" | "resolved_by_id" | "resolved_by_type" => &Value::Null,
                    _ => &older[field],
                };
                assert_eq!(shown[field], *expected, "{field} without {lacking}, {order:?}");
            }
        }
    }
}

#[sqlx::test]
async fn resolution_event_without_room_timestamps_resolves_the_room(db: PgPool) {
    let service = Service::start(db).await;
    let resolutions = [
        json!({"service_name": "room", "event_name": "resolved", "organization_id": ORGANIZATION,
            "created_at": "2025-06-12T03:00:00Z", "room": {"id": "r"}}),
        json!({"data_event": "room_resolved", "id": "r", "organization_id": ORGANIZATION,
            "resolved_at": "2025-06-12T03:00:00Z"}),
        json!({"event_type": "room_resolved", "organization_id": ORGANIZATION,
            "data": {"room_id": "r", "resolved_at": "2025-06-12T03:00:00Z"}}),
    ];
    let snapshot = |status: &str, at: &str| {
        json!({"data_event": "room_updated", "id": "r", "channel": "wa", "status": status,
            "channel_integration_id": "c", "last_activity_at": at, "organization_id": ORGANIZATION})
    };
    let earlier = snapshot("assigned", "2025-06-12T02:00:00Z");
    let at_once = snapshot("assigned", "2025-06-12T03:00:00Z");
    let later = snapshot("unassigned", "2025-06-12T04:00:00Z");
    for resolution in resolutions {
        for order in [
            [&earlier, &resolution],
            [&resolution, &earlier],
            // With equal timestamps the greater status wins.
            [&at_once, &resolution],
            [&resolution, &at_once],
        ] {
            service.execute("truncate event, room, room_event").await;
            for body in order {
                service.post(body.to_string()).await;
            }
            let room = service.data("/v1/rooms/r").await;
            assert_eq!(room["status"], "resolved", "{order:?}");
            assert_eq!(room["resolved_at"], "2025-06-12T03:00:00.000Z", "{order:?}");
        }
        service.post(later.to_string()).await;
        let room = service.data("/v1/rooms/r").await;
        assert_eq!(room["status"], "unassigned", "{resolution}");
        assert_eq!(room["resolved_at"], Value::Null, "{resolution}");
    }
}
