//! Routes compatible with Qontak's API (`/api/open/v1`), used as a client of that API would.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use qontak_receiver::store::search;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{BROADCAST, SITI_ROOM, body};
use super::harness::{KEY_OF_ANOTHER, Response, Service};
use super::read::service_with_fixtures;

const LOG: &str = "/api/open/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/whatsapp/log";

impl Service {
    /// Ids of the rows at this path.
    async fn ids(&self, path: &str) -> BTreeSet<String> {
        let rows = self.data(path).await;
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Posts rooms last active at these seconds; the index is part of the id.
    async fn post_rooms(&self, seconds: &[i64]) {
        for (index, second) in seconds.iter().enumerate() {
            let at = format!("2026-03-01T10:00:{second:02}.118Z");
            let room = json!({
                "id": format!("room-{index}"), "organization_id": "o", "data_event": "room_created",
                "type": "Models::CustomerServiceRoom", "channel": "wa_cloud", "status": "assigned",
                "channel_integration_id": "i", "created_at": at, "updated_at": at,
                "last_activity_at": at,
            });
            assert_eq!(self.post(room.to_string()).await.status, StatusCode::OK);
        }
    }
}

/// Keys of an object.
fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn messages(response: &Response) -> Value {
    response.json()["error"]["messages"].take()
}

#[sqlx::test]
async fn qontak_room_route_returns_every_field_of_the_webhook(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let room = service.data(&format!("/api/open/v1/rooms/{SITI_ROOM}")).await;
    let flat: Value = serde_json::from_slice(&body("02")).unwrap();
    let discriminators = BTreeSet::from(["data_event", "webhook_event"]);
    let expected = &keys(&flat) - &discriminators;
    assert_eq!(&expected - &keys(&room), BTreeSet::new());
    let message: Value = serde_json::from_slice(&body("01")).unwrap();
    let expected = &(&keys(&message) - &discriminators) - &BTreeSet::from(["room"]);
    assert_eq!(&expected - &keys(&room["last_message"]), BTreeSet::new());

    let listed = service.data("/api/open/v1/rooms?limit=500").await;
    let listed = listed.as_array().unwrap().iter().find(|listed| listed["id"] == SITI_ROOM);
    assert_eq!(listed, Some(&room));
    let listed_messages =
        service.data(&format!("/api/open/v1/rooms/{SITI_ROOM}/messages?limit=1")).await;
    assert_eq!(listed_messages[0], room["last_message"]);
}

#[sqlx::test]
async fn qontak_log_route_returns_whatsapp_statuses_in_original_form(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let logs = service.data(LOG).await;
    let log = |file| {
        let sent: Value = serde_json::from_slice(&body(file)).unwrap();
        let found = logs.as_array().unwrap().iter().find(|log| log["id"] == sent["id"]);
        (sent, found.unwrap().clone())
    };

    for file in ["32", "33", "34", "35", "37"] {
        let (sent, shown) = log(file);
        for (name, value) in sent.as_object().unwrap() {
            if !["data_event", "webhook_event"].contains(&name.as_str()) {
                assert_eq!(&shown[name], value, "{file}: {name}");
            }
        }
    }
}

#[sqlx::test]
async fn qontak_pages_by_offset_and_by_cursor_contain_every_row(db: PgPool) {
    let service = Service::start(db).await;
    // Several rooms share a millisecond, which Qontak's own cursors cannot distinguish.
    service.post_rooms(&[1, 2, 2, 2, 2, 3, 4, 5, 5, 5, 6]).await;
    let all: Vec<String> = ["10", "9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]
        .map(|index| format!("room-{index}"))
        .into();

    let mut by_number = Vec::new();
    for offset in 1..=5 {
        let page = service.get(&format!("/api/open/v1/rooms?limit=3&offset={offset}")).await.json();
        let pagination = &page["meta"]["pagination"];
        assert_eq!((&pagination["offset"], &pagination["limit"]), (&json!(offset), &json!(3)));
        let rows = page["data"].as_array().unwrap();
        assert_eq!(pagination["total"], rows.len());
        by_number.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(by_number, all);
    let first = service.get("/api/open/v1/rooms?limit=3").await.json();
    assert_eq!(service.get("/api/open/v1/rooms?limit=3&offset=0").await.json(), first);

    // `before` (older rows) continues with the cursor `prev`, `after` (newer rows) with `next`.
    for (direction, cursor_name) in [("before", "prev"), ("after", "next")] {
        let mut page = if direction == "before" {
            first.clone()
        } else {
            service.get("/api/open/v1/rooms?limit=3&offset=4").await.json()
        };
        let mut seen = Vec::new();
        while let Some(cursor) = page["meta"]["pagination"]["cursor"][cursor_name].as_str() {
            let rows = page["data"].as_array().unwrap().iter();
            let ids = rows.map(|row| row["id"].as_str().unwrap().to_owned());
            seen.splice(if direction == "before" { seen.len()..seen.len() } else { 0..0 }, ids);
            assert!(seen.len() <= all.len(), "{direction}: {seen:?}");
            let path =
                format!("/api/open/v1/rooms?limit=3&cursor={cursor}&cursor_direction={direction}");
            page = service.get(&path).await.json();
        }
        assert_eq!(seen, all, "{direction}");
        assert_eq!(page["meta"]["pagination"]["cursor"], json!({"next": null, "prev": null}));
    }

    // Cursors built by a client from a time, in each format of Qontak: 10:00:02.118.
    for cursor in ["1772359202118", "MTc3MjM1OTIwMi4xMTg=", "MTc3MjM1OTIwMi4xMTg"] {
        let path = format!("/api/open/v1/rooms?cursor={cursor}&cursor_direction=before");
        assert_eq!(service.ids(&path).await.len(), 5, "{cursor}");
    }
    let counted = service.get("/api/open/v1/rooms?limit=2&is_counted=true").await.json();
    assert_eq!(counted["meta"]["pagination"]["total"], 11);
    let counted = "?limit=2&is_counted=true&cursor=1772359202118";
    let counted = service.get(&format!("/api/open/v1/rooms{counted}")).await.json();
    assert_eq!(counted["meta"]["pagination"]["total"], 11);
}

#[sqlx::test]
async fn qontak_routes_accept_every_spelling_of_list_parameters(db: PgPool) {
    search::sync_indexes(&db, true).await.unwrap();
    let (service, _) = service_with_fixtures(db).await;
    let rooms =
        async |query: &str| service.ids(&format!("/api/open/v1/rooms?limit=500&{query}")).await;
    let all = rooms("").await;
    let (vip, none) = (rooms("tags=vip").await, BTreeSet::new());
    assert!(vip.contains(SITI_ROOM) && vip.len() < all.len());
    for tags in
        ["tags[]=vip&tags[]=none", "tags%5B%5D=vip", "tags[0]=none&tags[1]=vip", "tags=vip&tags=x"]
    {
        assert_eq!(rooms(tags).await, vip, "{tags}");
    }
    assert_eq!(rooms("tags[]=none").await, none);
    assert_eq!(&rooms("untagged=true").await | &rooms("untagged=false").await, all);
    assert_eq!(&rooms("untagged=true").await & &vip, none);
    let both = rooms("channels[]=wa_cloud&channels[]=web_chat").await;
    assert_eq!(both, &rooms("channels=wa_cloud").await | &rooms("channels=web_chat").await);
    assert_eq!(rooms("response_status[]=unresponded&response_status[]=responded").await, all);
    let unresponded = rooms("response_status[]=unresponded").await;
    assert_eq!(&unresponded | &rooms("response_status=responded").await, all);
    assert!(rooms("type[]=Models::CustomerServiceRoom&type=x").await.contains(SITI_ROOM));
    assert_eq!(rooms("type=Models::ReviewServiceRoom").await, none);
    assert!(rooms("status=resolved").await.contains(SITI_ROOM));
    assert!(rooms("sessions=expired").await.contains(SITI_ROOM));
    assert_eq!(rooms("query=rahma").await, BTreeSet::from([SITI_ROOM.to_owned()]));
    // The last activity is at about 03:10 UTC, which is the 12th in Jakarta as well.
    assert!(rooms("start_date=2025-06-12&end_date=2025-06-12").await.contains(SITI_ROOM));
    assert!(
        rooms("start_date=2025-06-12&end_date=2025-06-12&time_offset=7").await.contains(SITI_ROOM)
    );
    assert!(!rooms("end_date=2025-06-11").await.contains(SITI_ROOM));
    assert!(
        !rooms("start_date=2025-06-13&end_date=2025-06-13&time_offset=14")
            .await
            .contains(SITI_ROOM)
    );

    let failed = service.ids(&format!("{LOG}?status=failed")).await;
    assert_eq!(failed.len(), 2);
    let counted = service.get(&format!("{LOG}?limit=1&is_counted=true")).await.json();
    assert_eq!(counted["meta"]["pagination"]["total"], 5);
    let counted = service.get(&format!("{LOG}?limit=1&is_counted=true&status=failed")).await.json();
    assert_eq!(counted["meta"]["pagination"]["total"], 2);
}

#[sqlx::test]
async fn invalid_qontak_parameters_return_422_naming_the_parameter(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    for (query, expected) in [
        ("limit=0", "limit: must be between 1 and 500"),
        ("offset=-1", "offset: must be between 0 and 10000"),
        (
            "offset=21&limit=500",
            "offset: must not lead past row 10000; use cursor and cursor_direction beyond it",
        ),
        ("cursor=e30", "cursor: must be one that this list gave"),
        ("cursor_direction=up", "cursor_direction: must be one of after, before"),
        ("untagged=maybe", "untagged: must be one of true, false"),
        ("sessions=half", "sessions: must be one of open, expiring, expired"),
        ("response_status[]=x", "response_status: must be one of unresponded, responded"),
        ("time_offset=99", "time_offset: must be between -12 and 14"),
        (
            "start_date=2025-02-30",
            "start_date: must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)",
        ),
        ("untagged=true&untagged=false", "untagged: must be given once"),
        ("sessions[]=open&sessions[]=expired", "sessions: must be given once"),
    ] {
        let response = service.get(&format!("/api/open/v1/rooms?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(messages(&response), json!([expected]), "{query}");
    }
    let log = format!("/api/open/v1/broadcasts/{BROADCAST}/whatsapp/log");
    let response = service.get(&format!("{log}?status=faild")).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    let found = |rows: Value| rows.as_array().unwrap().len();
    let all = found(service.data(&log).await);
    assert!(all > 0);
    let each = "created,pending,sent,delivered,read,FAILED";
    for query in [format!("status={each}"), format!("status[]={}", each.replace(',', "&status[]="))]
    {
        assert_eq!(found(service.data(&format!("{log}?{query}")).await), all, "{query}");
    }
    for path in [LOG, &log, &format!("/api/open/v1/rooms/{SITI_ROOM}"), "/api/open/v1/rooms/none"] {
        let response = service.get_with(KEY_OF_ANOTHER, path).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
    }
}
