//! Filters of the journal and of the ledger.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{BOUND_TOKEN, KEY_REPLAY_ONLY, Service, TOKEN, webhook};
use super::read::read_all_pages;

/// Posts one event of each of several kinds and outcomes; returns the list of all.
async fn post_events(service: &Service) -> Vec<Value> {
    let message = json!({"data_event": "status_message", "id": "m", "status": "sent"});
    let bodies = [
        (TOKEN, message.to_string()),
        (TOKEN, json!({"data_event": "room_created", "id": "r"}).to_string()),
        (BOUND_TOKEN, json!({"data_event": "room_resolved", "room_id": "r"}).to_string()),
        (TOKEN, json!({"data_event": "brand, new"}).to_string()),
        (TOKEN, json!({"data_event": "status_message"}).to_string()),
        (TOKEN, "{".to_owned()),
        (BOUND_TOKEN, json!({"data_event": "status_template", "id": "t"}).to_string()),
    ];
    for (n, (token, body)) in bodies.into_iter().enumerate() {
        let mut request = webhook(token, body);
        request.headers_mut().insert("x-request-id", format!("request-{n}").parse().unwrap());
        service.send(request).await;
        // So that each event has a millisecond of its own.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    service.data("/v1/events").await.as_array().unwrap().clone()
}

/// The requests of the events of a list, oldest first.
async fn requests(service: &Service, query: &str) -> String {
    let events = service.data(&format!("/v1/events?{query}")).await;
    let ids = events.as_array().unwrap().iter().rev();
    let ids = ids.map(|event| event["request_id"].as_str().unwrap().replace("request-", ""));
    ids.collect()
}

#[sqlx::test]
async fn names_are_shown_as_sent_also_after_a_replay(db: PgPool) {
    let service = Service::start(db).await;
    let names = [
        Some("room_created"),
        Some(" Room_Created"),
        Some("room_updated"),
        Some("unknown"),
        Some("conversation_changed"),
        Some(""),
        None,
    ];
    for name in names {
        let mut body = json!({"id": "r", "status": "assigned", "last_activity_at": "2025-06-12T02:15:03Z",
            "unread_count": 1, "session_at": null, "organization_id": "o"});
        if let Some(name) = name {
            body["data_event"] = json!(name);
        }
        service.post(body.to_string()).await;
    }
    let list = || async {
        let events = service.data("/v1/events").await;
        let events = events.as_array().unwrap().iter().rev();
        events.map(|event| event["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let shown = list().await;
    let expected = names.map(|name| name.filter(|name| !name.is_empty()).map(str::to_owned));
    assert_eq!(shown, expected);
    for (name, expected) in [("room_created", 2), ("room_updated", 1), ("unknown", 1)] {
        let found = service.data(&format!("/v1/events?name={name}")).await;
        assert_eq!(found.as_array().unwrap().len(), expected, "{name}");
    }
    for event in service.data("/v1/events").await.as_array().unwrap() {
        let url = format!("/v1/events/{}/replay", event["event_id"].as_str().unwrap());
        let request = Request::post(url).header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
        let response = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::OK);
    }
    assert_eq!(list().await, shown);
}

#[sqlx::test]
async fn events_are_found_by_any_of_several_kinds_names_and_outcomes(db: PgPool) {
    let service = Service::start(db).await;
    assert_eq!(post_events(&service).await.len(), 7);
    let cases = [
        ("kind=room_created,room_resolved", "12"),
        ("kind=Room_Created&kind=ROOM_RESOLVED", "12"),
        ("kind=status_message,status_template", "046"),
        ("outcome=quarantined,malformed", "45"),
        ("outcome=Quarantined&outcome=%20MALFORMED", "45"),
        ("outcome=recorded,applied", "01236"),
        ("kind=status_message&outcome=quarantined,malformed", "4"),
        ("name=room_created,status_template", "16"),
        ("name=room_created&name=none", "1"),
        ("name=Room_Created", "1"),
        ("name=room_created,status_message&kind=status_message,status_template", "04"),
        ("name=room_created&kind=status_message", ""),
        // A name may contain a comma.
        ("name=brand,%20new", "3"),
        ("name=brand,%20new&name=room_resolved", "23"),
        ("has_reasons=true&outcome=malformed,quarantined,recorded", "456"),
        ("organization_id=b0000000-0000-4000-8000-000000000000", "26"),
        ("endpoint=bound", "26"),
        ("endpoint=qontak&outcome=applied", "01"),
        ("endpoint=bound&organization_id=o", ""),
        ("endpoint=none", ""),
    ];
    for (query, expected) in cases {
        assert_eq!(requests(&service, query).await, expected, "{query}");
    }
    let rejected = [
        ("kind=room_gone", "kind: must be one of "),
        ("outcome=applied,faild", "outcome: must be one of applied, recorded, quarantined, "),
    ];
    for (query, message) in rejected {
        let response = service.get(&format!("/v1/events?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let found = response.json()["error"]["messages"][0].as_str().unwrap().to_owned();
        assert!(found.starts_with(message), "{found}");
    }
}

#[sqlx::test]
async fn events_are_found_by_time_of_receipt(db: PgPool) {
    let service = Service::start(db).await;
    let all = post_events(&service).await;
    let at = |event: &Value| event["received_at"].as_str().unwrap().to_owned();
    for since in &all {
        for until in &all {
            let (since, until) = (at(since), at(until));
            if since >= until {
                continue;
            }
            let within = |event: &&Value| since <= at(event) && at(event) < until;
            let expected: Vec<Value> = all.iter().filter(within).cloned().collect();
            let path = format!("/v1/events?start_date={since}&end_date={until}&limit=2");
            let (forward, backward) = read_all_pages(&service, &path).await;
            assert_eq!(forward, expected, "{path}");
            assert_eq!(backward, expected, "{path}");
        }
    }
    let today = Utc::now().date_naive();
    let tomorrow = today + TimeDelta::days(1);
    let yesterday = today - TimeDelta::days(1);
    for (query, expected) in [
        (format!("start_date={yesterday}&end_date={tomorrow}"), "0123456"),
        (format!("end_date={tomorrow}&kind=room_resolved"), "2"),
        (format!("start_date={tomorrow}"), ""),
        ("end_date=2025-06-12".to_owned(), ""),
        ("start_date=1985-06-12".to_owned(), "0123456"),
        ("end_date=8999-06-12".to_owned(), "0123456"),
    ] {
        assert_eq!(requests(&service, &query).await, expected, "{query}");
    }
}

#[sqlx::test]
async fn request_id_needs_a_period_of_at_most_a_day(db: PgPool) {
    let service = Service::start(db).await;
    post_events(&service).await;
    let now = Utc::now();
    let ago = |hours| (now - TimeDelta::hours(hours)).format("%FT%TZ").to_string();
    let day = format!("start_date={}&end_date={}", ago(12), ago(-12));
    let cases = [
        (format!("request_id=request-3&{day}"), "3"),
        (format!("request_id=request-3&start_date={}", ago(23)), "3"),
        (format!("request_id=request&{day}"), ""),
        (format!("request_id=request-1&{day}&endpoint=qontak"), "1"),
    ];
    for (query, expected) in cases {
        assert_eq!(requests(&service, &query).await, expected, "{query}");
    }
    let needs = "needs start_date, and an end_date at most 1 day later (by default now)";
    for query in [
        "request_id=request-3".to_owned(),
        format!("request_id=a&end_date={}", ago(-1)),
        format!("request_id=a&start_date={}", ago(25)),
        format!("request_id=a&start_date={}&end_date={}", ago(48), ago(23)),
    ] {
        let response = service.get(&format!("/v1/events?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let messages = response.json()["error"]["messages"].take();
        assert_eq!(messages, json!([format!("request_id: {needs}")]), "{query}");
    }
    // A whole day in the past is a day.
    let past = "request_id=a&start_date=2025-06-12&end_date=2025-06-12";
    assert_eq!(requests(&service, past).await, "");
}

#[sqlx::test]
async fn ledger_is_filtered_by_time_and_outcome(db: PgPool) {
    let service = Service::start(db).await;
    let hours = "insert into ledger (
            hour, organization_id, writer_id, received, applied, recorded, quarantined, malformed,
            duplicate
        )
        values
            ('2025-06-12T01:00Z', 'o', gen_random_uuid(), 1, 1, 0, 0, 0, 0),
            ('2025-06-12T02:00Z', 'o', gen_random_uuid(), 3, 2, 0, 1, 0, 0),
            -- A replay moved the event of another writer.
            ('2025-06-12T03:00Z', 'o', gen_random_uuid(), 1, 0, 0, 1, 0, 0),
            ('2025-06-12T03:00Z', 'o', gen_random_uuid(), 0, 1, 0, -1, 0, 0),
            ('2025-06-12T04:00Z', 'p', gen_random_uuid(), 1, 0, 0, 0, 0, 1),
            ('2025-06-13T00:00Z', 'o', gen_random_uuid(), 1, 0, 0, 0, 1, 0)";
    service.execute(hours).await;
    let cases: [(&str, &[u32]); 12] = [
        ("outcome=quarantined", &[2]),
        ("outcome=Quarantined,%20malformed", &[0, 2]),
        ("outcome=duplicate", &[4]),
        ("outcome=recorded", &[]),
        ("outcome=applied&outcome=duplicate", &[4, 3, 2, 1]),
        ("outcome=applied,duplicate&organization_id=o", &[3, 2, 1]),
        ("start_date=2025-06-12&end_date=2025-06-12", &[4, 3, 2, 1]),
        ("start_date=2025-06-12T02:00:00Z&end_date=2025-06-12T04:00:00Z", &[3, 2]),
        ("start_date=2025-06-12T02:00:01Z", &[0, 4, 3]),
        ("end_date=2025-06-12T02:00:01Z", &[2, 1]),
        ("start_date=2025-06-13", &[0]),
        ("start_date=2025-06-12&end_date=2025-06-12&outcome=quarantined,malformed", &[2]),
    ];
    for (query, expected) in cases {
        let path = format!("/v1/ledger?limit=1&{query}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        let hour = |row: &Value| row["hour"].as_str().unwrap()[11..13].parse().unwrap();
        let found: Vec<u32> = forward.iter().map(hour).collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!(backward, forward, "{query}");
    }
    // The row counts everything in the hour, not only what the filter names.
    assert_eq!(service.data("/v1/ledger?outcome=quarantined").await[0]["received"], 3);
    let response = service.get("/v1/ledger?outcome=queued").await;
    let message = "outcome: must be one of applied, recorded, quarantined, malformed, duplicate";
    assert_eq!(response.json()["error"]["messages"], json!([message]));
}
