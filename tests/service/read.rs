//! Read API: keys, envelope, parameters and pages.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, ORGANIZATION, Service,
};

const ROUTES: [&str; 18] = [
    "/v1/rooms",
    "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978",
    "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/messages",
    "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/events",
    "/v1/senders/861ba042-a3ba-459d-8e4d-cd99579404c7",
    "/v1/messages",
    "/v1/messages/1b6321cd-5091-4cd9-bd8b-91220cd20198",
    "/v1/broadcasts",
    "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc",
    "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/logs",
    "/v1/events",
    "/v1/events/EVENT",
    "/v1/events/EVENT/body",
    "/v1/delivery-statuses",
    "/v1/trace/24a60fba-3bc1-4694-9f51-66c4b74d1978",
    "/v1/ledger",
    "/v1/stats",
    "/v1/organizations",
];

/// Service with all fixtures, and the paths of all read routes.
pub async fn service_with_fixtures(db: PgPool) -> (Service, Vec<String>) {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let path = format!("/v1/events?subject_id={SITI_ROOM}");
    let id = service.data(&path).await[0]["event_id"].as_str().unwrap().to_owned();
    let routes = ROUTES.iter().map(|route| route.replace("EVENT", &id)).collect();
    (service, routes)
}

#[sqlx::test]
async fn every_read_route_requires_a_key_with_the_read_scope(db: PgPool) {
    let (service, routes) = service_with_fixtures(db).await;
    for route in &routes {
        let none = service.send(Request::get(route).body(Body::empty()).unwrap()).await;
        assert_eq!(none.status, StatusCode::UNAUTHORIZED, "{route}");
        assert_eq!(none.headers["www-authenticate"], "Bearer");
        assert_eq!(none.json()["error"]["code"], 401);
        let wrong = service.get_with("wrong", route).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{route}");
        let unscoped = service.get_with(KEY_REPLAY_ONLY, route).await;
        assert_eq!(unscoped.status, StatusCode::FORBIDDEN, "{route}");
        let messages = unscoped.json()["error"]["messages"].take();
        assert_eq!(messages, json!(["API key lacks the scope `read`"]), "{route}");
        for key in [KEY_OF_ALL, KEY_OF_ORGANIZATION] {
            assert_eq!(service.get_with(key, route).await.status, StatusCode::OK, "{route}");
        }
    }
}

#[sqlx::test]
async fn keys_see_only_their_organisations(db: PgPool) {
    let (service, routes) = service_with_fixtures(db).await;
    // Statistics return sums for any key; `stats.rs` tests their scope.
    for route in routes.iter().filter(|route| *route != "/v1/stats") {
        let response = service.get_with(KEY_OF_ANOTHER, route).await;
        if response.status == StatusCode::OK {
            assert_eq!(response.json()["data"], json!([]), "{route}");
        } else {
            assert_eq!(response.status, StatusCode::NOT_FOUND, "{route}");
            assert_eq!(response.json()["error"]["messages"], json!(["not found"]), "{route}");
        }
    }
    // Malformed bodies have no organisation; only a key for all organisations sees them.
    let malformed = "/v1/events?outcome=malformed";
    assert_eq!(service.data(malformed).await.as_array().unwrap().len(), 1);
    let response = service.get_with(KEY_OF_ORGANIZATION, malformed).await;
    assert_eq!(response.json()["data"], json!([]));
}

#[sqlx::test]
async fn unknown_paths_and_ids_return_404_in_the_qontak_envelope(db: PgPool) {
    let service = Service::start(db).await;
    for path in [
        "/v1/rooms/none",
        "/v1/rooms/none/messages",
        "/v1/rooms/none/events",
        "/v1/senders/none",
        "/v1/messages/%00",
        "/v1/broadcasts/none",
        "/v1/broadcasts/none/logs",
        "/v1/events/none",
        "/v1/nothing",
        "/",
        "/v1/events/none/body",
        "/v1/events/0197622d-0000-7000-8000-000000000000",
        "/v1/events/00000000-0000-4000-8000-000000000000/body",
    ] {
        let response = service.get(path).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
        let id = response.headers["x-request-id"].to_str().unwrap();
        let error = json!({"code": 404, "messages": ["not found"], "request_id": id});
        assert_eq!(response.json(), json!({"status": "error", "error": error}), "{path}");
    }
}

#[sqlx::test]
async fn invalid_parameters_return_422_with_the_allowed_values(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let foreign = service.get("/v1/events?limit=1").await.json();
    let foreign = foreign["meta"]["pagination"]["cursor"]["next"].as_str().unwrap().to_owned();
    let own = service.get("/v1/rooms?limit=1").await.json();
    let own = own["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    let own = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(own).unwrap()).unwrap();
    let nul = BASE64_URL_SAFE_NO_PAD.encode(own.replace(ORGANIZATION, "\\u0000"));
    let cases = [
        ("limit=0", "limit: must be between 1 and 500"),
        ("limit=501", "limit: must be between 1 and 500"),
        ("limit=many", "limit: must be between 1 and 500"),
        ("limit=1&limit=2", "limit: must be given once"),
        ("status=", "status: must be up to 100 values, none empty"),
        ("account_uniq_id=", "account_uniq_id: must not be empty"),
        ("status=a%00b", "status: must not contain NUL"),
        (
            "state=open",
            "state: unknown parameter; known are status, channel, channel_integration_id, agent, tag, untagged, unread, blocked, account_uniq_id, response_state, session, start_date, end_date, q, organization_id, format, bom, delimiter, limit, is_counted, cursor",
        ),
        ("cursor=xyz", "cursor: must be one that this list gave, with the same filters"),
        (
            &format!("cursor={nul}"),
            "cursor: must be one that this list gave, with the same filters",
        ),
        (
            &format!("cursor={foreign}"),
            "cursor: must be one that this list gave, with the same filters",
        ),
    ];
    for (query, message) in cases {
        let response = service.get(&format!("/v1/rooms?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
    let response = service.get("/v1/events?outcome=lost&kind=x").await.json();
    assert_eq!(response["error"]["messages"].as_array().unwrap().len(), 2);
}

/// Rows of a list, read forward by `next` to its end and then backward by `prev`.
pub async fn read_all_pages(service: &Service, path: &str) -> (Vec<Value>, Vec<Value>) {
    let rows = |page: &Value| page["data"].as_array().unwrap().clone();
    let mut page = service.get(path).await.json();
    let mut pages = vec![rows(&page)];
    assert_eq!(page["meta"]["pagination"]["cursor"]["prev"], Value::Null);
    while let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() {
        page = service.get(&format!("{path}&cursor={next}")).await.json();
        pages.push(rows(&page));
        assert!(pages.len() < 1000, "{path}: `next` does not end");
    }
    let forward = pages.concat();
    let mut backward = vec![pages.pop().unwrap()];
    while let Some(prev) = page["meta"]["pagination"]["cursor"]["prev"].as_str() {
        page = service.get(&format!("{path}&cursor={prev}")).await.json();
        backward.push(rows(&page));
        assert!(backward.len() < 1000, "{path}: `prev` does not end");
    }
    backward.reverse();
    (forward, backward.concat())
}

#[sqlx::test]
async fn list_pages_have_no_gaps_or_repeats_in_either_direction(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let lists = [
        ("/v1/rooms?limit=2", "id", 7),
        (&format!("/v1/rooms/{SITI_ROOM}/messages?limit=3"), "id", 9),
        ("/v1/messages?limit=4", "id", 16),
        ("/v1/messages?limit=2&direction=out", "id", 5),
        ("/v1/delivery-statuses?limit=3", "created_at", 10),
        ("/v1/broadcasts?limit=1", "id", 2),
        ("/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/logs?limit=2", "id", 5),
        ("/v1/events?limit=7", "event_id", 45),
        ("/v1/events?limit=5&outcome=applied", "event_id", 40),
    ];
    for (path, id, expected) in lists {
        let (forward, backward) = read_all_pages(&service, path).await;
        assert_eq!(forward.len(), expected, "{path}");
        assert_eq!(forward, backward, "{path}");
        let mut distinct: Vec<String> = forward.iter().map(|row| row[id].to_string()).collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), expected, "{path}");
    }
}

#[sqlx::test]
async fn room_list_filters_select_matching_rooms(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let cases = [
        ("status=resolved", 3),
        ("channel=ig", 1),
        ("tag=vip", 1),
        ("agent=deb8a35a-d051-4b10-aad8-079297722314", 1),
        ("account_uniq_id=6281200010001", 1),
        ("status=resolved&channel=ig", 0),
        ("status=%27%3B%20drop%20table%20room%3B--", 0),
    ];
    for (query, expected) in cases {
        let rooms = service.data(&format!("/v1/rooms?{query}")).await;
        assert_eq!(rooms.as_array().unwrap().len(), expected, "{query}");
    }
}

#[sqlx::test]
async fn room_without_organisation_does_not_hide_the_room_with_one(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let stray = json!({"event_type": "room_resolved", "data": {"room_id": SITI_ROOM}});
    service.post(stray.to_string()).await;
    assert_eq!(service.data(&format!("/v1/rooms/{SITI_ROOM}")).await["name"], "Siti Rahmawati");
    let messages = service.data(&format!("/v1/rooms/{SITI_ROOM}/messages")).await;
    assert_eq!(messages.as_array().unwrap().len(), 9);
}

#[sqlx::test]
async fn two_organisations_can_use_the_same_id(db: PgPool) {
    let service = Service::start(db).await;
    for organization in [ORGANIZATION, "another-organization"] {
        let body = json!({"data_event": "status_message", "id": "m", "room_id": "r",
            "organization_id": organization, "text": organization, "status": "sent"});
        service.post(body.to_string()).await;
    }
    for (key, organization) in
        [(KEY_OF_ORGANIZATION, ORGANIZATION), (KEY_OF_ANOTHER, "another-organization")]
    {
        let message = service.get_with(key, "/v1/messages/m").await.json();
        assert_eq!(message["data"]["text"], organization);
        let messages = service.get_with(key, "/v1/rooms/r/messages").await.json();
        assert_eq!(messages["data"].as_array().unwrap().len(), 1);
        assert_eq!(messages["data"][0]["text"], organization);
    }
}

#[sqlx::test]
async fn post_to_a_read_route_returns_405_with_allow(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.send(Request::post("/v1/rooms").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers["allow"], "GET, HEAD");
    assert_eq!(response.json()["error"]["code"], 405);
}

#[sqlx::test]
async fn pages_are_stable_while_rows_are_inserted(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let first = service.get("/v1/events?limit=10").await.json();
    let next = first["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    let before = service.get(&format!("/v1/events?limit=10&cursor={next}")).await.json();
    for i in 0..5 {
        service.post(format!("[{i}]")).await;
    }
    let after = service.get(&format!("/v1/events?limit=10&cursor={next}")).await.json();
    assert_eq!(before, after);
}

#[sqlx::test]
async fn cursor_holds_ids_with_any_character(db: PgPool) {
    let service = Service::start(db).await;
    let ids = ["a\\", "\\u0000", "\\\\\"", "%5C\u{7f}", "b/?&=+ \u{1f600}"];
    for id in ids {
        let body = json!({"data_event": "status_message", "id": id, "status": "sent",
            "participant_type": "agent", "room": {"id": id, "organization_id": ORGANIZATION},
            "organization_id": ORGANIZATION, "created_at": "2025-06-12T02:15:03Z"});
        assert_eq!(service.post(body.to_string()).await.json()["data"]["outcome"], "applied");
    }
    for list in ["/v1/messages", "/v1/rooms", "/v1/delivery-statuses"] {
        let all = service.data(list).await;
        for limit in 1..=2 {
            let (forward, backward) =
                read_all_pages(&service, &format!("{list}?limit={limit}")).await;
            assert_eq!(json!(forward), all, "{list}");
            assert_eq!(json!(backward), all, "{list}");
        }
    }
}

#[sqlx::test]
async fn query_exceeding_the_statement_timeout_returns_503_without_retry_after(db: PgPool) {
    let service =
        Service::start_with(db, &[("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "200ms")]).await;
    let slow = "alter table ledger rename to fast;
        create view ledger as select fast.* from fast right join pg_sleep(30) on true";
    service.execute(slow).await;
    let response = service.get("/v1/ledger").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    // A retry would take as long.
    assert!(!response.headers.contains_key("retry-after"));
    let message = response.json()["error"]["messages"][0].as_str().unwrap().to_owned();
    assert!(message.starts_with("query timed out"), "{message}");
}

#[sqlx::test]
async fn row_that_cannot_be_decoded_is_a_500_without_retry_after(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let id = service.data("/v1/events?limit=1").await[0]["event_id"].take();
    service.execute("alter type event_outcome add value 'of a newer version'").await;
    service.execute("update event set outcome = 'of a newer version'").await;
    let response = service.get(&format!("/v1/events/{}/body", id.as_str().unwrap())).await;
    assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!response.headers.contains_key("retry-after"));
    assert_eq!(response.json()["error"]["messages"], json!(["internal error"]));
}
