//! `GET /v1/messages`: messages of all rooms.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{KEY_OF_ANOTHER, ORGANIZATION, Service};
use super::read::read_all_pages;

/// Message `n`, one minute newer than message `n - 1`.
fn message(n: usize, more: &Value) -> Value {
    let mut body = json!({
        "data_event": "receive_message_from_customer", "id": format!("m{n:02}"), "type": "text",
        "room_id": format!("r{}", n % 2), "organization_id": ORGANIZATION, "text": "ok",
        "sender_type": "Models::Contact", "participant_type": "customer", "status": "created",
        "created_at": format!("2025-06-12T02:{n:02}:00.000Z"),
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Service with these messages, posted in reverse order.
async fn service_with_messages(db: PgPool, messages: &[Value]) -> Service {
    let service = Service::start(db).await;
    for (n, more) in messages.iter().enumerate().rev() {
        let response = service.post(message(n, more).to_string()).await;
        assert_eq!(response.json()["data"]["outcome"], "applied");
    }
    service
}

async fn ids(service: &Service, query: &str) -> Vec<String> {
    let messages = service.data(&format!("/v1/messages?{query}")).await;
    let ids = messages.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[sqlx::test]
async fn messages_of_all_rooms_and_organisations_are_listed_newest_first(db: PgPool) {
    let others = json!({"organization_id": "another-organization"});
    let without_organization = json!({"organization_id": null});
    let service =
        service_with_messages(db, &[json!({}), others, json!({}), without_organization, json!({})])
            .await;
    assert_eq!(ids(&service, "").await, ["m04", "m03", "m02", "m01", "m00"]);
    let response = service.get_with(KEY_OF_ANOTHER, "/v1/messages").await.json();
    assert_eq!(response["data"].as_array().unwrap().len(), 1);
    assert_eq!(response["data"][0]["id"], "m01");
    assert_eq!(response["data"][0]["status_times"]["created"]["source"], "body");
}

#[sqlx::test]
async fn message_pages_across_bursts_and_gaps_are_complete_in_either_direction(db: PgPool) {
    let mut at = chrono::DateTime::parse_from_rfc3339("2025-06-12T02:00:00.000Z").unwrap();
    let mut messages = Vec::new();
    for n in 0..40 {
        let gaps = [1, 1, 3_600_000, 1, 1, 1, 90_000_000, 1000, 1];
        at -= chrono::TimeDelta::milliseconds(gaps[n % gaps.len()]);
        let organization = match n {
            17 => Value::Null,
            _ if n % 5 == 0 => "another-organization".into(),
            _ => ORGANIZATION.into(),
        };
        messages.push(json!({"organization_id": organization, "created_at": at.to_rfc3339()}));
    }
    let service = service_with_messages(db, &messages).await;
    let expected: Vec<String> = (0..40).map(|n| format!("m{n:02}")).collect();
    for limit in [1, 2, 7, 13, 40] {
        let path = format!("/v1/messages?limit={limit}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        for rows in [forward, backward] {
            let walked: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(walked, expected, "{path}");
        }
    }
}

#[sqlx::test]
async fn message_pages_stay_full_while_rows_leave_the_filter(db: PgPool) {
    let service = Service::start(db).await;
    let insert = "insert into message
            (organization, message_id, received_at, created_at, text_rank, sent_seen_at)
        select
            (number_organizations(array['organization-' || n % 2]))[1], 'm' || n, now(), '2025-06-12Z'::timestamptz - n * interval '1 s',
            '00000000-0000-0000-0000-000000000001', now()
        from generate_series(0, 399) as n;
        call rebuild_derived_columns('message')";
    service.execute(insert).await;
    let read = async {
        for n in 0..300 {
            let sql = format!(
                "update message set read_seen_at = now(), status = 'read' where message_id = 'm{n}'"
            );
            service.execute(&sql).await;
        }
    };
    let mut read = std::pin::pin!(read);
    loop {
        tokio::select! {
            () = &mut read => break,
            page = service.get("/v1/messages?status=sent&limit=30") => {
                let page = page.json();
                assert_eq!(page["data"].as_array().unwrap().len(), 30);
                assert!(page["meta"]["pagination"]["cursor"]["next"].is_string(), "{page}");
            }
        }
    }
}

#[sqlx::test]
async fn messages_with_equal_timestamps_are_ordered_by_id(db: PgPool) {
    let same = json!({"created_at": "2025-06-12T02:00:00.000Z"});
    let service =
        service_with_messages(db, &[same.clone(), same.clone(), same.clone(), same]).await;
    let mut path = "/v1/messages?limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = service.get(&path).await.json();
        seen.push(page["data"][0]["id"].clone());
        let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() else { break };
        path = format!("/v1/messages?limit=1&cursor={next}");
    }
    assert_eq!(seen, ["m03", "m02", "m01", "m00"]);
}

#[sqlx::test]
async fn message_list_filters_select_matching_messages(db: PgPool) {
    let agents = json!({
        "data_event": "receive_message_from_agent", "participant_type": "agent", "type": "image",
        "sender_type": "Models::User", "external_id": "wamid.1", "status": "sent",
    });
    let bots = json!({
        "data_event": "receive_message_from_agent", "participant_type": "bot",
        "sender_type": "Models::SystemAccount", "status": "failed",
    });
    let yesterdays = json!({"created_at": "2025-06-11T23:59:59.999Z"});
    let service = service_with_messages(db, &[yesterdays, agents, bots, json!({})]).await;
    let cases: [(&str, &[&str]); 15] = [
        ("type=image", &["m01"]),
        ("status=failed", &["m02"]),
        ("direction=in", &["m03", "m00"]),
        ("direction=customer", &["m03", "m00"]),
        ("direction=out", &["m02", "m01"]),
        ("direction=agent", &["m01"]),
        ("direction=bot", &["m02"]),
        ("external_id=wamid.1", &["m01"]),
        ("room_id=r0", &["m02", "m00"]),
        ("start_date=2025-06-12", &["m03", "m02", "m01"]),
        ("end_date=2025-06-11", &["m00"]),
        ("start_date=2025-06-12T02:02:00Z", &["m03", "m02"]),
        ("end_date=2025-06-12T09:02:00%2B07:00", &["m01", "m00"]),
        ("start_date=2025-06-12&end_date=2025-06-12&direction=in", &["m03"]),
        ("type=%27%3B%20drop%20table%20message%3B--", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&service, query).await, expected, "{query}");
    }
}

#[sqlx::test]
async fn invalid_message_filters_return_422_naming_the_parameter(db: PgPool) {
    let service = service_with_messages(db, &[]).await;
    let day = "must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)";
    let cases = [
        ("direction=up", "direction: must be one of in, out, customer, agent, bot"),
        ("start_date=2025-02-30", &format!("start_date: {day}")),
        ("end_date=262142-12-31", &format!("end_date: {day}")),
        ("end_date=-4713-01-01", &format!("end_date: {day}")),
        ("start_date=today", &format!("start_date: {day}")),
        (
            "text=a",
            "text: unknown parameter; known are type, status, direction, channel, sender_id, \
            broadcast_id, is_campaign, external_id, room_id, start_date, end_date, q, organization_id, format, bom, delimiter, limit, is_counted, cursor",
        ),
    ];
    for (query, message) in cases {
        let response = service.get(&format!("/v1/messages?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
}

#[sqlx::test]
async fn messages_of_a_room_begin_at_a_message_and_lead_to_newer_ones(db: PgPool) {
    // Equal times: the order is that of the ids.
    let same = json!({"created_at": "2025-06-12T03:00:00.000Z", "room_id": "r"});
    let service =
        service_with_messages(db, &[same.clone(), same.clone(), same.clone(), same]).await;
    let rows = service.data("/v1/messages").await;
    let room = rows[0]["room_id"].as_str().unwrap();
    let ids: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let page = async |query: &str| {
        let response = service.get(&format!("/v1/rooms/{room}/messages?{query}")).await;
        assert_eq!(response.status, StatusCode::OK, "{query}: {}", response.text());
        let page = response.json();
        let found = page["data"].as_array().unwrap().iter();
        let found: Vec<String> = found.map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        (found, page["meta"]["pagination"]["cursor"].clone())
    };
    let cursor = |cursors: &Value, name: &str| cursors[name].as_str().unwrap().to_owned();
    let (found, cursors) = page(&format!("limit=1&from_id={}", ids[2])).await;
    assert_eq!(found, [ids[2]]);
    // Cursors are those of the list without `from_id`, and prevail over it.
    let (found, _) = page(&format!("cursor={}", cursor(&cursors, "next"))).await;
    assert_eq!(found, [ids[3]]);
    let newer = format!("cursor={}&from_id={}", cursor(&cursors, "prev"), ids[3]);
    let (found, cursors) = page(&newer).await;
    assert_eq!(found, [ids[0], ids[1]]);
    assert_eq!(cursors["prev"], Value::Null);

    for id in ["nothing", "%01"] {
        let path = format!("/v1/rooms/{room}/messages?from_id={id}");
        assert_eq!(service.get(&path).await.status, StatusCode::NOT_FOUND, "{id}");
    }
    let response = service.get(&format!("/v1/rooms/another/messages?from_id={}", ids[0])).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
}
