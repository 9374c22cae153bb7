//! `GET /v1/stats`: counts and response times for charts.

mod figures;

use axum::http::StatusCode;
use qontak_receiver::store::message::count;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::ALL;
use super::harness::{KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Service, TRUNCATE_ALL};

const DAY: &str = "/v1/stats?start_date=2025-06-12&end_date=2025-06-12";

/// Posts a message of this room from this type of participant.
async fn post(service: &Service, id: &str, room: &str, author: &str, at: &str, more: Value) {
    let mut body = json!({"data_event": "status_message", "id": id, "room_id": room, "status": "sent",
        "organization_id": ORGANIZATION, "participant_type": author, "created_at": at,
        "room": {"id": room, "channel": "wa_cloud", "status": "assigned", "last_activity_at": at}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let response = service.post(body.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied", "{id}");
}

#[sqlx::test]
async fn stats_count_messages_by_day_channel_and_direction(db: PgPool) {
    let service = Service::start(db).await;
    for _ in 0..2 {
        for fixture in &ALL {
            service.post(fixture.body()).await;
        }
    }
    let stats = service.data(DAY).await;
    assert_eq!((&stats["interval"], &stats["time_zone"]), (&json!("day"), &json!("UTC")));
    let of = |channel: &str| {
        let rows = stats["messages"].as_array().unwrap().iter();
        rows.filter(|row| row["channel"] == channel).cloned().collect::<Vec<_>>()
    };
    let at = "2025-06-12T00:00:00Z";
    let expected = json!({"at": at, "channel": "ig", "in": 1, "out": 0, "out_agent": 0, "out_bot": 0,
            "campaigns": 0, "notices": 0, "reactions": 0});
    assert_eq!(of("ig"), [expected]);
    let sums: (i64, i64) = sqlx::query_as(
        "select count(*) filter (where sender_kind = 'customer'),
             count(*) filter (where sender_kind <> 'customer' and is_campaign is not true)
         from message
         where channel = 'wa_cloud' and at >= '2025-06-12Z' and at < '2025-06-13Z'",
    )
    .fetch_one(&service.db)
    .await
    .unwrap();
    let counted = of("wa_cloud").swap_remove(0);
    assert_eq!((counted["in"].as_i64().unwrap(), counted["out"].as_i64().unwrap()), sums);
    assert!(sums.0 > 5 && sums.1 > 2, "{sums:?}");
    assert_eq!(counted["campaigns"], 1);
    // Compaction does not change the counts.
    count::compact(&service.db).await.unwrap();
    assert_eq!(service.count("message_count where session <> 0").await, 0);
    assert_eq!(service.data(DAY).await, stats);
    let own = service.get_with(KEY_OF_ORGANIZATION, DAY).await.json();
    assert_ne!(own["data"]["messages"], json!([]));
    let none = service.get_with(KEY_OF_ANOTHER, DAY).await.json();
    assert_eq!(none["data"]["messages"], json!([]));
    assert_eq!(none["data"]["rooms"], json!({"open": 0, "unanswered": 0, "is_sample": false}));
    assert_eq!(none["data"]["first_response"]["rooms"], 0);
    service.execute(TRUNCATE_ALL).await;
    assert_eq!(service.count("message_count").await, 0);
}

#[sqlx::test]
async fn stats_follow_later_changes_of_a_message(db: PgPool) {
    let service = Service::start(db).await;
    // The first report has no channel, participant type or time.
    let body = json!({"data_event": "status_message", "id": "m", "room_id": "r", "status": "sent",
        "organization_id": ORGANIZATION});
    service.post(body.to_string()).await;
    assert_eq!(service.data(DAY).await["messages"], json!([]));
    let today = service.data("/v1/stats").await["messages"][0].take();
    assert_eq!(
        (&today["channel"], &today["out"], &today["in"]),
        (&Value::Null, &json!(1), &json!(0))
    );
    post(&service, "m", "r", "customer", "2025-06-12T10:30:00Z", json!({})).await;
    post(&service, "m", "r", "customer", "2025-06-12T08:30:00Z", json!({})).await;
    let expected = json!([{"at": "2025-06-12T08:00:00Z", "channel": "wa_cloud", "in": 1, "out": 0,
        "out_agent": 0, "out_bot": 0, "campaigns": 0, "notices": 0, "reactions": 0}]);
    assert_eq!(service.data(&format!("{DAY}&interval=hour")).await["messages"], expected);
    assert_eq!(service.data("/v1/stats").await["messages"], json!([]));
}

#[sqlx::test]
async fn stats_days_follow_the_requested_time_zone(db: PgPool) {
    let service = Service::start(db).await;
    for (id, at) in [
        ("a", "2025-06-11T16:59:59Z"),
        ("b", "2025-06-11T17:00:00Z"),
        ("c", "2025-06-12T16:59:59Z"),
        ("d", "2025-06-12T17:00:00Z"),
    ] {
        post(&service, id, "r", "bot", at, json!({})).await;
    }
    let path = format!("{DAY}&time_zone=Asia/Jakarta");
    let stats = service.data(&path).await;
    assert_eq!(stats["start"], "2025-06-12T00:00:00+07:00");
    assert_eq!(stats["end"], "2025-06-13T00:00:00+07:00");
    let row = json!({"at": "2025-06-12T00:00:00+07:00", "channel": "wa_cloud", "in": 0, "out": 2,
        "out_agent": 0, "out_bot": 2, "campaigns": 0, "notices": 0, "reactions": 0});
    assert_eq!(stats["messages"], json!([row]));
    let hours = service.data(&format!("{path}&interval=hour")).await;
    let hours: Vec<&str> = hours["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["at"].as_str().unwrap())
        .collect();
    assert_eq!(hours, ["2025-06-12T00:00:00+07:00", "2025-06-12T23:00:00+07:00"]);
}

#[sqlx::test]
async fn first_response_time_ends_at_the_first_agent_message_after_the_customers(db: PgPool) {
    let service = Service::start(db).await;
    let rooms = [
        // An agent writes first. After the customer a bot replies at once, the agent after 100 s.
        ("a", "agent 01:00:00,customer 02:00:00,bot 02:00:01,agent 02:01:40,agent 02:09:00"),
        ("b", "customer 02:00:00,customer 02:04:00,agent 02:05:00"),
        ("unanswered", "agent 01:00:00,customer 02:00:00,bot 02:00:01"),
        ("unasked", "bot 02:00:00,agent 02:00:05"),
    ];
    // Newest first: the order of arrival must not matter.
    for (room, messages) in rooms {
        for (i, message) in messages.split(',').rev().enumerate() {
            let (author, at) = message.split_once(' ').unwrap();
            let at = format!("2025-06-12T{at}Z");
            post(&service, &format!("{room}{i}"), room, author, &at, json!({})).await;
        }
    }
    let stats = service.data(DAY).await;
    // Percentiles are times that occurred.
    let expected = json!({"rooms": 2, "responses": 2, "p50_seconds": 100.0, "p95_seconds": 300.0,
        "is_sample": false});
    assert_eq!(stats["first_response"], expected);
    let expected = json!({"rooms": 2, "responses": 2, "p50_seconds": 1.0, "p95_seconds": 1.0,
        "is_sample": false});
    assert_eq!(stats["bot_response"], expected);
    let later = service.data("/v1/stats?start_date=2025-06-13&end_date=2025-06-14").await;
    assert_eq!(later["first_response"]["rooms"], 0);
    assert_eq!(later["rooms"], json!({"open": 4, "unanswered": 0, "is_sample": false}));
}

#[sqlx::test]
async fn stats_show_currently_open_and_unanswered_rooms(db: PgPool) {
    let service = Service::start(db).await;
    for (id, status, is_unresponded) in
        [("a", "unassigned", true), ("b", "assigned", false), ("c", "resolved", true)]
    {
        let room = json!({"id": id, "type": "Models::CustomerServiceRoom", "channel": "ig",
            "organization_id": ORGANIZATION, "status": status, "is_unresponded": is_unresponded});
        service.post(room.to_string()).await;
    }
    let expected = json!({"open": 2, "unanswered": 1, "is_sample": false});
    assert_eq!(service.data(DAY).await["rooms"], expected);
}

#[sqlx::test]
async fn stats_above_the_counting_limit_are_capped_and_marked_as_samples(db: PgPool) {
    let service = Service::start(db).await;
    let rooms = |numbers: &str| {
        format!(
            "insert into room (organization, room_id, received_at, status, is_unresponded)
             select (number_organizations(array['{ORGANIZATION}']))[1], n, '2025-06-12T01:00:00Z', 'assigned', true
             from generate_series({numbers}) as n;
             call rebuild_derived_columns('room')"
        )
    };
    service.execute(&rooms("1, 9999")).await;
    let expected = json!({"open": 9_999, "unanswered": 9_999, "is_sample": false});
    assert_eq!(service.data(DAY).await["rooms"], expected);
    service.execute(&rooms("10000, 10001")).await;
    let messages = format!(
        "insert into message (organization, message_id, room_id, received_at, author_by_sender,
             text_rank)
         select (number_organizations(array['{ORGANIZATION}']))[1], author || n, n, '2025-06-12T01:00:00Z'::timestamptz + after, author,
             gen_random_uuid()
         from generate_series(1, 10001) as n
         cross join (values ('customer', interval '0'), ('agent', interval '7 s')) as offsets (author, after);
         call rebuild_derived_columns('message');
         select rebuild_responses()"
    );
    service.execute(&messages).await;
    let stats = service.data(DAY).await;
    let expected = json!({"open": 10_000, "unanswered": 0, "is_sample": true});
    assert_eq!(stats["rooms"], expected);
    let expected = json!({"rooms": 10_000, "responses": 10_000, "p50_seconds": 7.0,
        "p95_seconds": 7.0, "is_sample": true});
    assert_eq!(stats["first_response"], expected);
}

#[sqlx::test]
async fn invalid_stats_parameters_return_422_with_the_reason(db: PgPool) {
    let service = Service::start(db).await;
    let long = "x".repeat(10_000);
    let zone = "time_zone: must be a name such as Asia/Jakarta or UTC";
    let cases = [
        ("interval=week", "interval: must be one of hour, day"),
        ("time_zone=Mars", zone),
        ("time_zone=%27;drop", zone),
        (&format!("time_zone={long}"), zone),
        (
            "start_date=2025-02-30",
            "start_date: must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)",
        ),
        ("start_date=2025-06-12&end_date=2025-06-11", "end_date: must be after start_date"),
        (
            "start_date=2024-01-01&end_date=2025-12-31",
            "start_date: must be at most 366 days before end_date",
        ),
        (
            "interval=hour&start_date=2025-01-01&end_date=2025-02-01",
            "start_date: must be at most 31 days before end_date",
        ),
        (
            "end_date=1970-01-01T00:00:00Z&start_date=9999-12-30",
            "end_date: must be after start_date",
        ),
    ];
    for (query, message) in cases {
        let response = service.get(&format!("/v1/stats?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
    for query in [
        "start_date=1970-01-01",
        "end_date=1970-01-01T00:00:00Z",
        "start_date=9999-12-30",
        "end_date=9999-12-30",
        "interval=hour&start_date=2025-01-01&end_date=2025-01-31",
        "start_date=2024-01-01&end_date=2024-12-31&time_zone=America/Santiago",
    ] {
        let response = service.get(&format!("/v1/stats?{query}")).await;
        let is_expected =
            [StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY].contains(&response.status);
        assert!(is_expected, "{query}: {}", response.status);
    }
}
