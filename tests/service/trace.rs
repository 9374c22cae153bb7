//! `GET /v1/trace/{id}`: everything known about an id or phone number.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, BROADCAST, BROADCAST_MESSAGE, SITI_ROOM};
use super::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Service};

const LOG: &str = "fe115858-845d-4fd4-9e90-4129207696b4";
const WAMID: &str = "wamid.HBgNNjI4MTIwMDAyMDAwMRUCABEYEkJGNUFDMjE3RTNENEVBOEQzRAA=";
const BROADCAST_ROOM: &str = "8c4a5959-fed7-40a7-9e5f-e922f5e147d9";

async fn service_with_fixtures(db: PgPool) -> Service {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

fn ids(trace: &Value, kind: &str) -> BTreeSet<String> {
    let rows = trace[kind].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(str::to_owned).into()
}

#[sqlx::test]
async fn trace_finds_a_broadcast_message_by_any_of_its_ids_or_phone_number(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let events = service.data(&format!("/v1/events?subject_id={BROADCAST_MESSAGE}")).await;
    let event = events[0]["event_id"].as_str().unwrap();
    let wamid = WAMID.replace('=', "%3D");
    let phones = ["6281200020001", "+62%20812-0002-0001", "081200020001", "81200020001"];
    for known_id in [BROADCAST_MESSAGE, LOG, &wamid, event, BROADCAST_ROOM].iter().chain(&phones) {
        let trace = service.data(&format!("/v1/trace/{known_id}")).await;
        assert_eq!(ids(&trace, "messages"), set([BROADCAST_MESSAGE]), "{known_id}");
        assert_eq!(ids(&trace, "logs"), set([LOG]), "{known_id}");
        assert_eq!(ids(&trace, "broadcasts"), set([BROADCAST]), "{known_id}");
        assert_eq!(ids(&trace, "rooms"), set([BROADCAST_ROOM]), "{known_id}");
        let kinds = trace["events"].as_array().unwrap().iter();
        let mut kinds: Vec<&str> = kinds.map(|event| event["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        let mut expected = vec!["broadcast_log_status"; 3];
        expected.push("status_message");
        assert_eq!(kinds, expected, "{known_id}");
        assert_eq!(trace["more"], json!({}), "{known_id}");
    }
}

#[sqlx::test]
async fn trace_timeline_is_chronological_and_names_the_source_of_each_time(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let trace = service.data(&format!("/v1/trace/{LOG}")).await;
    let timeline = trace["timeline"].as_array().unwrap();
    let at = |entry: &Value| entry["at"].as_str().unwrap().to_owned();
    assert!(timeline.is_sorted_by_key(at), "{timeline:?}");
    let of_log = timeline.iter().filter(|entry| entry["subject"] == "log");
    let of_log: Vec<(&str, &str)> = of_log
        .map(|entry| (entry["what"].as_str().unwrap(), entry["source"].as_str().unwrap()))
        .collect();
    assert_eq!(of_log, [("sent", "channel"), ("delivered", "channel"), ("read", "channel")]);
    let entry = timeline.iter().find(|entry| entry["subject"] == "broadcast").unwrap();
    assert_eq!((&entry["id"], &entry["what"]), (&json!(BROADCAST), &json!("created")));
    assert_eq!(timeline.iter().filter(|entry| entry["subject"] == "event").count(), 4);
}

#[sqlx::test]
async fn trace_of_a_room_or_broadcast_contains_all_of_its_parts(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let trace = service.data(&format!("/v1/trace/{SITI_ROOM}")).await;
    assert_eq!(ids(&trace, "rooms"), set([SITI_ROOM]));
    assert_eq!(ids(&trace, "messages").len(), 9);
    let types = trace["room_events"].as_array().unwrap().iter();
    let types: Vec<&str> = types.map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["resolved", "unassigned", "handed_over", "assigned", "created"]);
    let trace = service.data(&format!("/v1/trace/{BROADCAST}")).await;
    assert_eq!(ids(&trace, "broadcasts"), set([BROADCAST]));
    assert_eq!(ids(&trace, "logs").len(), 5);
    assert_eq!(ids(&trace, "messages"), set([BROADCAST_MESSAGE]));
}

#[sqlx::test]
async fn trace_is_limited_and_links_to_the_remaining_rows(db: PgPool) {
    let service = Service::start(db).await;
    for number in 0..60 {
        let id = format!("{number:02}");
        let message = json!({"data_event": "status_message", "id": format!("m {id}"),
            "status": "sent", "organization_id": ORGANIZATION, "room_id": "a room/?",
            "room": {"id": "a room/?", "account_uniq_id": "6281234567890"},
            "created_at": format!("2025-06-12T01:00:{id}Z")});
        service.post(message.to_string()).await;
        let log = json!({"data_event": "broadcast_log_status", "id": id, "status": "sent",
            "messages_broadcast_id": "b", "organization_id": ORGANIZATION,
            "created_at": format!("2025-06-12T01:00:{id}Z")});
        service.post(log.to_string()).await;
    }
    let trace = service.data("/v1/trace/081234567890").await;
    assert_eq!(ids(&trace, "messages").len(), 50);
    assert!(ids(&trace, "messages").contains("m 59"), "the newest messages are shown");
    let more = trace["more"]["messages"].as_array().unwrap();
    assert_eq!(*more, ["/v1/rooms/a%20room%2F%3F/messages"]);
    let rest = service.get(more[0].as_str().unwrap()).await;
    assert_eq!(rest.json()["data"].as_array().unwrap().len(), 50);
    assert_eq!(trace["events"].as_array().unwrap().len(), 50);
    let link = trace["more"]["events"][0].as_str().unwrap();
    assert_eq!(service.get(link).await.status, StatusCode::OK);

    let trace = service.data("/v1/trace/b").await;
    assert_eq!(trace["logs"].as_array().unwrap().len(), 50);
    assert_eq!(trace["more"]["logs"], json!(["/v1/broadcasts/b/logs"]));
}

#[sqlx::test]
async fn trace_shows_only_rows_of_the_keys_organisations(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let known_id = [BROADCAST_MESSAGE, LOG, BROADCAST, SITI_ROOM, "6281200020001", "081200010001"];
    for id in known_id {
        let path = format!("/v1/trace/{id}");
        for (key, status) in [
            (KEY_OF_ALL, StatusCode::OK),
            (KEY_OF_ORGANIZATION, StatusCode::OK),
            (KEY_OF_ANOTHER, StatusCode::NOT_FOUND),
        ] {
            assert_eq!(service.get_with(key, &path).await.status, status, "{key} {id}");
        }
    }
    // The same ids in another organisation.
    for body in ["32-broadcast-log", "38-status-broadcast", "02-room-created"] {
        let body = String::from_utf8(super::fixtures::body(body)).unwrap();
        service.post(body.replace(ORGANIZATION, "another-organization")).await;
    }
    for id in known_id {
        let trace = service.get_with(KEY_OF_ANOTHER, &format!("/v1/trace/{id}")).await.json();
        assert_eq!(trace["status"], "success", "{id}");
        assert!(!trace.to_string().contains(ORGANIZATION), "{id}");
    }
}

/// Rows of a trace, each with its kind, id and organisation.
fn rows_with_organizations(trace: &Value) -> Vec<(String, String, Value)> {
    let mut rows = Vec::new();
    for kind in ["broadcasts", "logs", "messages", "rooms", "room_events", "events", "timeline"] {
        for row in trace[kind].as_array().unwrap() {
            let id = ["event_id", "id", "room_id"].iter().find_map(|name| row[*name].as_str());
            let id = if kind == "room_events" { row["room_id"].as_str() } else { id };
            let organization = row.get("organization_id");
            let organization = organization.unwrap_or_else(|| panic!("{kind}: {row}")).clone();
            rows.push((kind.to_owned(), id.unwrap().to_owned(), organization));
        }
    }
    rows
}

#[sqlx::test]
async fn trace_tells_rows_of_two_organisations_apart(db: PgPool) {
    let service = Service::start(db).await;
    for organization in ["a", "b"] {
        let message = json!({"data_event": "status_message", "id": "m", "room_id": "r",
            "status": "sent", "organization_id": organization, "external_id": "wamid.1",
            "room": {"id": "r", "name": organization}, "created_at": "2025-06-12T01:00:00Z"});
        let room = json!({"data_event": "room_resolved", "room_id": "r",
            "organization_id": organization, "created_at": "2025-06-12T02:00:00Z"});
        let log = json!({"data_event": "broadcast_log_status", "id": "l", "status": "read",
            "organization_id": organization, "messages_broadcast_id": "b",
            "whatsapp_message_id": "wamid.1", "created_at": "2025-06-12T01:00:00Z"});
        for body in [message, room, log] {
            assert_eq!(service.post(body.to_string()).await.status, StatusCode::OK);
        }
    }
    // Only organisation `a` knows this message, of the room that both have.
    let own = json!({"data_event": "status_message", "id": "own", "room_id": "r", "status": "sent",
        "organization_id": "a", "created_at": "2025-06-12T01:00:00Z"});
    service.post(own.to_string()).await;

    for id in ["m", "r", "l", "b", "wamid.1"] {
        let both = rows_with_organizations(&service.data(&format!("/v1/trace/{id}")).await);
        for organization in ["a", "b"] {
            let path = format!("/v1/trace/{id}?organization_id={organization}");
            let of_one = rows_with_organizations(&service.data(&path).await);
            let of_both = both.iter().filter(|(.., of)| of == organization);
            let mut of_both: Vec<_> = of_both.cloned().collect();
            let mut expected = of_one.clone();
            of_both.sort_by_key(|row| format!("{row:?}"));
            expected.sort_by_key(|row| format!("{row:?}"));
            assert!(of_one.iter().all(|(.., of)| of == organization), "{path}: {of_one:?}");
            assert_eq!(of_both, expected, "{path}: in the trace of both (left) and of one (right)");
            for kind in ["broadcasts", "logs", "messages", "rooms", "room_events", "events"] {
                assert!(of_one.iter().any(|(of, ..)| of == kind), "{path} has no {kind}");
            }
        }
    }
    // What is related to rows of one organisation is of this one.
    for id in ["own"] {
        let trace = service.data(&format!("/v1/trace/{id}")).await;
        let rows = rows_with_organizations(&trace);
        assert!(rows.iter().all(|(.., of)| of == "a"), "{id}: {rows:?}");
    }
    for event in service.data("/v1/events").await.as_array().unwrap() {
        let id = event["event_id"].as_str().unwrap();
        let rows = rows_with_organizations(&service.data(&format!("/v1/trace/{id}")).await);
        let own = &event["organization_id"];
        assert!(rows.iter().all(|(.., of)| of == own), "{event}: {rows:?}");
    }
}

#[sqlx::test]
async fn trace_links_to_the_remaining_rows_of_each_organisation(db: PgPool) {
    let service = Service::start(db).await;
    for (number, organization) in (0..52).zip(["a", "b"].into_iter().cycle()) {
        let message = json!({"data_event": "status_message", "id": format!("m{number}"),
            "status": "sent", "organization_id": organization, "room_id": "r",
            "room": {"id": "r"}, "created_at": "2025-06-12T01:00:00Z"});
        service.post(message.to_string()).await;
    }
    let trace = service.data("/v1/trace/r").await;
    let mut found = 0;
    for link in trace["more"]["messages"].as_array().unwrap() {
        let link = link.as_str().unwrap();
        assert!(link.starts_with("/v1/rooms/r/messages?organization_id="), "{link}");
        found += service.data(link).await.as_array().unwrap().len();
    }
    assert_eq!(found, 52);
}

#[sqlx::test]
async fn trace_of_an_event_without_organisation_finds_its_message(db: PgPool) {
    let service = Service::start(db).await;
    for organization in [None, Some("a")] {
        let message = json!({"data_event": "status_message", "id": "m", "status": "sent",
            "organization_id": organization});
        service.post(message.to_string()).await;
    }
    for event in service.data("/v1/events").await.as_array().unwrap() {
        let id = event["event_id"].as_str().unwrap();
        let trace = service.data(&format!("/v1/trace/{id}")).await;
        assert_eq!(trace["events"].as_array().unwrap().len(), 2, "{event}");
    }
}

#[sqlx::test]
async fn trace_of_an_unknown_id_returns_404(db: PgPool) {
    let service = service_with_fixtures(db).await;
    let long = "x".repeat(10_000);
    for id in ["none", "n%2Fa", "62", "%2B", "%00", "'%3B%20drop%20table%20room%3B--", &long] {
        let response = service.get(&format!("/v1/trace/{id}")).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{id}");
    }
    let response = service.get(&format!("/v1/trace/{SITI_ROOM}?limit=1")).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
}
