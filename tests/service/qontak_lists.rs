//! Lists of Qontak's own routes: paging as its clients do it, and what is served besides rooms.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{BROADCAST, SITI_ROOM, body};
use super::harness::{KEY_OF_ANOTHER, Service};
use super::read::service_with_fixtures;

const OPEN: &str = "/api/open/v1";

impl Service {
    /// Posts a room of organisation `o`.
    async fn post_open_room(&self, id: &str, at: &str, fields: Value) {
        let mut room = json!({
            "id": id, "organization_id": "o", "data_event": "room_created",
            "type": "Models::CustomerServiceRoom", "channel": "wa_cloud", "status": "assigned",
            "channel_integration_id": "i", "created_at": at, "last_activity_at": at,
        });
        room.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(self.post(room.to_string()).await.status, StatusCode::OK);
    }

    /// Posts a message of organisation `o`, with a sender of this type.
    async fn post_open_message(&self, id: &str, room: &str, at: &str, sender: Value) {
        let mut message = json!({
            "id": id, "organization_id": "o", "room_id": room, "type": "text", "text": id,
            "created_at": at, "status": "created", "data_event": "receive_message_from_agent",
        });
        message.as_object_mut().unwrap().extend(sender.as_object().unwrap().clone());
        assert_eq!(self.post(message.to_string()).await.status, StatusCode::OK);
    }

    /// Posts a log of organisation `o`.
    async fn post_open_log(&self, id: &str, broadcast: &str, at: &str, status: &str) {
        let log = json!({
            "id": id, "organization_id": "o", "messages_broadcast_id": broadcast, "status": status,
            "messages_broadcast_template_id": format!("template of {broadcast}"),
            "channel_integration_id": "i", "contact_phone_number": "6281200020001",
            "created_at": at, "data_event": "broadcast_log_status", "messages_response": {},
        });
        assert_eq!(self.post(log.to_string()).await.status, StatusCode::OK);
    }

    /// Follows a cursor without a direction until it is null, repeats, or the page is empty; returns
    /// the ids of all rows.
    async fn follow(&self, path: &str, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursors = BTreeSet::new();
        let mut page = self.get(path).await.json();
        loop {
            let rows = page["data"].as_array().unwrap();
            if rows.is_empty() {
                return ids;
            }
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            assert!(ids.len() < 1000, "{path} does not end");
            let Some(cursor) = page["meta"]["pagination"]["cursor"][name].as_str() else {
                return ids;
            };
            assert!(cursors.insert(cursor.to_owned()), "{path}: {cursor} again");
            page = self.get(&format!("{path}&cursor={cursor}")).await.json();
        }
    }
}

fn ids(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[sqlx::test]
async fn cursors_without_a_direction_lead_through_every_list_once(db: PgPool) {
    let service = Service::start(db).await;
    // Several rows share a time, and ids contain what separates the parts of a cursor.
    for index in 0..11 {
        let at = format!("2026-03-01T10:00:0{}.118Z", index / 3);
        service.post_open_room(&format!("room|{index:02}>%\\"), &at, json!({})).await;
        let sender = json!({
            "participant_type": "agent", "sender_type": "Models::User",
            "sender_id": format!("user {index:02}"), "sender": {"name": "Rizky"},
        });
        service.post_open_message(&format!("m|{index:02}>"), "r", &at, sender).await;
        service.post_open_log(&format!("log|{index:02}"), "b", &at, "sent").await;
        service
            .post_open_log(&format!("other {index:02}"), &format!("b|{index:02}"), &at, "sent")
            .await;
        let fields = json!({"channel_integration_id": format!("integration {index:02}")});
        service.post_open_room(&format!("another {index:02}"), &at, fields).await;
    }
    for path in [
        "rooms",
        "rooms/r/messages",
        "broadcasts/b/whatsapp/log",
        "broadcasts/whatsapp",
        "users",
        "rooms/r/participants",
        "integrations",
        "templates/whatsapp",
    ] {
        let all = service.data(&format!("{OPEN}/{path}?limit=500")).await;
        let id = if path.ends_with("participants") { "contact_able_id" } else { "id" };
        let all: Vec<String> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[id].as_str().unwrap().to_owned())
            .collect();
        assert!(all.len() >= 11, "{path}: {all:?}");
        if path.ends_with("participants") {
            continue;
        }
        for name in ["next", "prev"] {
            for limit in [1, 3, 11, 50] {
                let followed = service.follow(&format!("{OPEN}/{path}?limit={limit}"), name).await;
                assert_eq!(followed, all, "{path} {name} {limit}");
            }
        }
        // With a direction `next` still is the newest row of its page.
        let second = service.get(&format!("{OPEN}/{path}?limit=3&offset=2")).await.json();
        let next = second["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
        let newer = format!("{OPEN}/{path}?limit=3&cursor={next}&cursor_direction=after");
        assert_eq!(ids(&service.data(&newer).await), all[..3], "{path}");
    }
}

#[sqlx::test]
async fn broadcasts_are_listed_with_their_recipients_by_status(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let broadcast = service.data(&format!("{OPEN}/broadcasts/{BROADCAST}/whatsapp")).await;
    let expected = json!({"failed": 2, "delivered": 1, "read": 1, "pending": 1, "sent": 0});
    assert_eq!(broadcast["message_status_count"], expected);
    assert_eq!(broadcast["message_broadcast_error"], "n/a");
    assert_eq!(broadcast["id"], BROADCAST);
    let template = "a8237492-42fc-42e0-9498-dd42c131475b";
    assert_eq!(broadcast["message_template"], json!({ "id": template }));
    assert_eq!(broadcast["channel_integration_id"], "232e520a-9c21-4ecd-98d2-1d760d4beb8a");
    let listed = service.data(&format!("{OPEN}/broadcasts/whatsapp")).await;
    assert!(listed.as_array().unwrap().contains(&broadcast), "{listed}");

    for (query, count) in [
        ("start_date=2025-06-12&end_date=2025-06-12", 1),
        ("start_date=2025-06-12T00:00:00Z&end_date=2025-06-12T01:00:00.298Z", 0),
        ("start_date=2025-06-12T01:00:00.298Z", 1),
        ("end_date=2025-06-11", 1),
        ("start_date=2021-07-02&end_date=2021-07-02&time_offset=7", 1),
        ("start_date=2030-01-01", 0),
    ] {
        let path = format!("{OPEN}/broadcasts/whatsapp?is_counted=true&limit=1&{query}");
        let page = service.get(&path).await.json();
        assert_eq!(page["meta"]["pagination"]["total"], count, "{query}");
    }
    let path = format!("{OPEN}/broadcasts/whatsapp?start_date=2025-06-12&end_date=2025-06-11");
    assert_eq!(service.get(&path).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let path = format!("{OPEN}/broadcasts/{BROADCAST}/whatsapp");
    let response = service.get_with(KEY_OF_ANOTHER, &path).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    // Each recipient counts once, whatever its status.
    for (id, status) in [("1", "created"), ("2", "played"), ("3", "warning"), ("4", "sent")] {
        service.post_open_log(id, "b", "2025-06-12T01:00:00Z", status).await;
    }
    let counts = service.data(&format!("{OPEN}/broadcasts/b/whatsapp")).await;
    let expected = json!({"failed": 0, "delivered": 0, "read": 1, "pending": 2, "sent": 1});
    assert_eq!(counts["message_status_count"], expected);
}

#[sqlx::test]
async fn histories_are_the_earlier_rooms_of_the_contact(db: PgPool) {
    let service = Service::start(db).await;
    let siti = |channel| json!({"account_uniq_id": "6281200010001", "channel": channel});
    let resolved = json!({"account_uniq_id": "6281200010001", "status": "resolved"});
    service.post_open_room("first", "2025-06-10T10:00:00Z", resolved).await;
    service.post_open_room("second", "2025-06-11T10:00:00Z", siti("wa_cloud")).await;
    service.post_open_room("other channel", "2025-06-11T11:00:00Z", siti("ig")).await;
    let budi = json!({"account_uniq_id": "6281200010002"});
    service.post_open_room("other contact", "2025-06-11T12:00:00Z", budi).await;
    let mut elsewhere = siti("wa_cloud");
    elsewhere["organization_id"] = json!("another-organization");
    service.post_open_room("other organisation", "2025-06-11T13:00:00Z", elsewhere).await;
    service.post_open_room("third", "2025-06-12T10:00:00Z", siti("wa_cloud")).await;
    service.post_open_room("nobody", "2025-06-12T10:00:00Z", json!({})).await;
    for (id, expected) in [
        ("third", &["second", "first"][..]),
        ("second", &["first"]),
        ("first", &[]),
        ("other channel", &[]),
        ("nobody", &[]),
    ] {
        let id = id.replace(' ', "%20");
        let rooms = service.data(&format!("{OPEN}/rooms/{id}/histories")).await;
        assert_eq!(ids(&rooms), expected, "{id}");
    }
    let room = service.data(&format!("{OPEN}/rooms/first")).await;
    assert_eq!(service.data(&format!("{OPEN}/rooms/second/histories")).await[0], room);
    let response = service.get_with(KEY_OF_ANOTHER, &format!("{OPEN}/rooms/third/histories")).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn expired_rooms_are_open_rooms_whose_session_is_over(db: PgPool) {
    let service = Service::start(db).await;
    let now = chrono::Utc::now();
    let ago = |hours| (now - chrono::TimeDelta::hours(hours)).to_rfc3339();
    for (id, status, hours) in [
        ("over", "assigned", 30),
        ("over too", "unassigned", 25),
        ("still open", "assigned", 2),
        ("resolved", "resolved", 30),
        ("campaign", "campaign", 30),
    ] {
        let fields = json!({"status": status, "session_at": ago(hours)});
        service.post_open_room(id, &ago(hours), fields).await;
    }
    service.post_open_room("no customer yet", &ago(40), json!({})).await;
    for (query, expected) in [
        ("", &["over too", "over"][..]),
        ("?status=expired&sessions=open", &["over too", "over"]),
        ("?status=assigned", &["over"]),
        ("?status=resolved", &[]),
        ("?limit=1&offset=2", &["over"]),
    ] {
        let rooms = service.data(&format!("{OPEN}/rooms/list/expired{query}")).await;
        assert_eq!(ids(&rooms), expected, "{query}");
    }
}

#[sqlx::test]
async fn participants_are_the_senders_and_agents_of_a_room(db: PgPool) {
    let service = Service::start(db).await;
    let sender = |kind: &str, class: &str, id: &str, name: &str| {
        json!({
            "participant_type": kind, "sender_type": class, "sender_id": id,
            "participant_id": format!("p-{id}"), "sender": {"name": name, "avatar": {"url": "u"}},
        })
    };
    let at = "2025-06-12T10:00:00Z";
    service.post_open_room("r", at, json!({"agent_ids": ["agent", "silent"]})).await;
    service
        .post_open_message("1", "r", at, sender("customer", "Models::Contact", "siti", "Siti"))
        .await;
    service
        .post_open_message("2", "r", at, sender("agent", "Models::User", "agent", "Rizky"))
        .await;
    service
        .post_open_message("3", "r", at, sender("agent", "Models::User", "agent", "Rizky"))
        .await;
    service
        .post_open_message("4", "r", at, sender("bot", "Models::SystemAccount", "bot", "Bot"))
        .await;
    service
        .post_open_message("5", "other", at, sender("agent", "Models::User", "away", "Tono"))
        .await;
    let rows = service.data(&format!("{OPEN}/rooms/r/participants?type=all")).await;
    let shown: Vec<Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            json!([
                row["id"],
                row["contact_able_id"],
                row["contact_able_type"],
                row["type"],
                row["profile"]["name"]
            ])
        })
        .collect();
    let agent = "Models::AgentParticipant";
    assert_eq!(
        json!(shown),
        json!([
            ["p-agent", "agent", "Models::User", agent, "Rizky"],
            ["p-bot", "bot", "Models::SystemAccount", "Models::BotParticipant", "Bot"],
            [null, "silent", "Models::User", agent, null],
            ["p-siti", "siti", "Models::Contact", "Models::CustomerParticipant", "Siti"],
        ])
    );
    assert_eq!(rows[0]["room_id"], "r");
    assert_eq!(rows[0]["profile"]["avatar"], json!({"url": "u"}));
    let page = format!("{OPEN}/rooms/r/participants?limit=2&offset=2&is_counted=true");
    let page = service.get(&page).await.json();
    assert_eq!(page["meta"]["pagination"]["total"], 4);
    assert_eq!(page["data"][0]["contact_able_id"], "silent");
    let response = service.get(&format!("{OPEN}/rooms/none/participants")).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);

    // Users are agents who wrote, with the newest name.
    service
        .post_open_message(
            "6",
            "r",
            "2025-06-12T11:00:00Z",
            sender("agent", "Models::User", "agent", "Rizky H."),
        )
        .await;
    let users = service.data(&format!("{OPEN}/users")).await;
    assert_eq!(ids(&users), ["agent", "away"]);
    assert_eq!((&users[0]["full_name"], &users[0]["role"]), (&json!("Rizky H."), &json!("agent")));
    let response = service.get_with(KEY_OF_ANOTHER, &format!("{OPEN}/users")).await;
    assert_eq!(response.json()["data"], json!([]));
}

#[sqlx::test]
async fn integrations_and_templates_are_those_that_webhooks_show(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let room: Value = serde_json::from_slice(&body("02")).unwrap();
    let integrations = service.data(&format!("{OPEN}/integrations?target_channel=wa_cloud")).await;
    let integration = integrations.as_array().unwrap().iter();
    let integration = integration.clone().find(|one| one["id"] == room["channel_integration_id"]);
    let expected = json!({
        "id": room["channel_integration_id"], "organization_id": room["organization_id"],
        "target_channel": "wa_cloud", "is_active": true, "created_at": null,
        "settings": {
            "account_name": room["channel_account"], "phone_number": "+6281200099001",
        },
    });
    assert_eq!(integration, Some(&expected));
    let all = service.data(&format!("{OPEN}/integrations")).await;
    assert!(all.as_array().unwrap().len() > integrations.as_array().unwrap().len());
    let none = service.data(&format!("{OPEN}/integrations?target_channel=line")).await;
    assert_eq!(none, json!([]));

    let id = "a8237492-42fc-42e0-9498-dd42c131475b";
    let templates = service.data(&format!("{OPEN}/templates/whatsapp")).await;
    // The other one is of an event.
    assert_eq!(ids(&templates), ["8e1685e7-7b9f-4391-b000-6254329b6274", id]);
    let text = "Halo {{1}}, diskon {{2}} untuk semua batik di Toko Maju sampai 30 Juni. \
        Balas STOP untuk berhenti.";
    assert_eq!((&templates[1]["body"], &templates[1]["name"]), (&json!(text), &json!(null)));
    assert_eq!(templates[1]["header"]["format"], "IMAGE");
    // An event about the template names the rest.
    let mut event: Value = serde_json::from_slice(&body("60")).unwrap();
    event["id"] = json!(id);
    assert_eq!(service.post(event.to_string()).await.status, StatusCode::OK);
    let template = service.data(&format!("{OPEN}/templates/whatsapp")).await[1].take();
    for (name, value) in template.as_object().unwrap() {
        assert_eq!(*value, event[name], "{name}");
    }
    assert_eq!(template["status"], "APPROVED");
    let response = service.get_with(KEY_OF_ANOTHER, &format!("{OPEN}/templates/whatsapp")).await;
    assert_eq!(response.json()["data"], json!([]));
    let room = service.data(&format!("{OPEN}/rooms/{SITI_ROOM}")).await;
    assert_eq!(room["channel_integration_id"], expected["id"]);
}
