//! Filters of rooms by what they lack: tags, agents, readers.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::filter::ids;
use super::harness::Service;
use super::read::read_all_pages;

/// Posts a room event with these fields.
async fn post(service: &Service, id: &str, fields: Value) {
    let mut body = json!({"data_event": "room_created", "id": id, "organization_id": "o",
        "status": "unassigned", "channel": "wa_cloud", "updated_at": "2025-06-12T02:00:00Z"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let response = service.post(body.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied", "{body}");
}

async fn service_with_rooms(db: PgPool) -> Service {
    let service = Service::start(db).await;
    let rooms = [
        // Nothing is known of it.
        ("bare", json!({})),
        ("empty", json!({"tags": [], "agent_ids": [], "unread_count": 0, "is_blocked": false})),
        ("tagged", json!({"tags": ["vip"], "agent_ids": ["siti"], "unread_count": 3})),
        ("blocked", json!({"is_blocked": true, "agent_ids": ["budi"], "status": "assigned"})),
        // Assigned, but events of messages do not say to whom.
        ("assigned", json!({"status": "assigned", "unread_count": 1})),
        ("blank", json!({"tags": ["", " ", "\t"], "agent_ids": ["", "n/a"], "unread_count": "2"})),
    ];
    for (id, fields) in rooms {
        post(&service, id, fields).await;
    }
    service
}

#[sqlx::test]
async fn rooms_are_found_by_what_they_lack(db: PgPool) {
    let service = service_with_rooms(db).await;
    let cases: [(&str, &[&str]); 24] = [
        ("untagged=true", &["assigned", "bare", "blank", "blocked", "empty"]),
        ("untagged=%20TRUE", &["assigned", "bare", "blank", "blocked", "empty"]),
        ("untagged=false", &["tagged"]),
        ("untagged=true&tag=vip", &[]),
        ("unread=true", &["assigned", "blank", "tagged"]),
        ("unread=false", &["bare", "blocked", "empty"]),
        ("blocked=true", &["blocked"]),
        ("blocked=false", &["assigned", "bare", "blank", "empty", "tagged"]),
        ("agent=none", &["bare", "blank", "empty"]),
        ("agent=None", &["bare", "blank", "empty"]),
        ("agent=%20NONE%20", &["bare", "blank", "empty"]),
        ("agent=none&agent=none", &["bare", "blank", "empty"]),
        ("agent=siti", &["tagged"]),
        ("agent=none,siti", &["bare", "blank", "empty", "tagged"]),
        ("agent=siti&agent=none", &["bare", "blank", "empty", "tagged"]),
        ("agent=siti,budi", &["blocked", "tagged"]),
        ("agent=none&status=unassigned", &["bare", "blank", "empty"]),
        ("agent=none&status=assigned", &[]),
        ("agent=none&unread=true", &["blank"]),
        ("agent=none&untagged=true&unread=false&blocked=false", &["bare", "empty"]),
        ("unread=true&untagged=false&channel=WA_CLOUD", &["tagged"]),
        ("unread=true&organization_id=o", &["assigned", "blank", "tagged"]),
        ("unread=true&organization_id=another", &[]),
        ("blocked=true&start_date=2025-06-12&end_date=2025-06-12", &["blocked"]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&service, &format!("/v1/rooms?{query}")).await, expected, "{query}");
    }
}

#[sqlx::test]
async fn rooms_leave_a_filter_when_they_no_longer_match(db: PgPool) {
    let service = service_with_rooms(db).await;
    let later = "2025-06-12T03:00:00Z";
    post(&service, "bare", json!({"tags": ["new"], "updated_at": later})).await;
    post(&service, "tagged", json!({"unread_count": 0, "updated_at": later})).await;
    post(&service, "blocked", json!({"is_blocked": false, "updated_at": later})).await;
    post(&service, "empty", json!({"agent_ids": ["siti"], "updated_at": later})).await;
    let cases: [(&str, &[&str]); 4] = [
        ("untagged=false", &["bare", "tagged"]),
        ("unread=true", &["assigned", "blank"]),
        ("blocked=true", &[]),
        ("agent=none", &["bare", "blank"]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&service, &format!("/v1/rooms?{query}")).await, expected, "{query}");
    }
}

#[sqlx::test]
async fn pages_of_filtered_rooms_have_no_gaps_or_repeats(db: PgPool) {
    let service = service_with_rooms(db).await;
    for (query, count) in
        [("untagged=true", 5), ("agent=none,siti", 4), ("blocked=false", 5), ("unread=false", 3)]
    {
        let all = service.data(&format!("/v1/rooms?{query}")).await;
        let (forward, backward) =
            read_all_pages(&service, &format!("/v1/rooms?limit=1&{query}")).await;
        assert_eq!(&forward, all.as_array().unwrap(), "{query}");
        assert_eq!((forward.len(), &backward), (count, &forward), "{query}");
    }
}
