//! `GET /v1/delivery-statuses`: one row per broadcast recipient or outgoing message.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{BROADCAST, BROADCAST_MESSAGE};
use super::funnel::{log, post_all, post_fixtures};
use super::harness::{KEY_OF_ANOTHER, ORGANIZATION, Service};
use super::read::read_all_pages;

/// Rows of `/v1/delivery-statuses` with this query.
async fn deliveries(service: &Service, query: &str) -> Vec<Value> {
    let rows = service.data(&format!("/v1/delivery-statuses?{query}")).await;
    rows.as_array().unwrap().clone()
}

#[sqlx::test]
async fn broadcast_recipient_and_its_message_are_listed_as_one_delivery(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service).await;
    let all = deliveries(&service, "").await;
    // Six logs, one of them in the format of 2021, and the outgoing messages without a log.
    assert_eq!(all.iter().filter(|row| row["log_id"].is_string()).count(), 6);
    let outgoing = service.data("/v1/messages?direction=out").await;
    for message in outgoing.as_array().unwrap() {
        let rows = all.iter().filter(|row| row["message_id"] == message["id"]);
        assert_eq!(rows.count(), 1, "{message}");
    }
    assert_eq!(all.len(), outgoing.as_array().unwrap().len() + 5);

    let joined = all.iter().find(|row| row["message_id"] == BROADCAST_MESSAGE).unwrap();
    assert_eq!(joined["log_id"], "fe115858-845d-4fd4-9e90-4129207696b4");
    assert_eq!(joined["messages_broadcast_id"], BROADCAST);
    assert_eq!(joined["contact_phone_number"], "6281200020001");
    assert_eq!(joined["contact_full_name"], "Budi Santoso");
    assert_eq!(joined["room_id"], "8c4a5959-fed7-40a7-9e5f-e922f5e147d9");
    // The message reported only `delivered`, the log reported `read`.
    assert_eq!(joined["status"], "read");
    assert_eq!(joined["status_times"]["read"]["source"], "channel");
    assert_eq!(
        (&joined["billable"], &joined["pricing_category"]),
        (&json!(true), &json!("marketing"))
    );

    let failed = all.iter().find(|row| row["error_code"] == 131_049).unwrap();
    assert_eq!(failed["error_advice"]["en"], "Do not resend soon; wait a day or more.");
    assert_eq!(failed["message_id"], Value::Null);
    let agents = all.iter().find(|row| row["message_id"] == "e674cac5-f2d7-4066-8a5d-615e55f52d29");
    let agents = agents.unwrap();
    assert_eq!((&agents["status"], &agents["log_id"]), (&json!("failed"), &Value::Null));
    assert_eq!(agents["contact_phone_number"], "6281200010001");
    assert_eq!(agents["contact_full_name"], "Siti Rahmawati");
}

/// Sent message of a bot with this id at the channel.
fn message(id: &str, wamid: &str, more: Value) -> Value {
    let mut body = json!({"data_event": "status_message", "id": id, "status": "sent",
        "participant_type": "bot", "organization_id": ORGANIZATION,
        "external_id": format!("wamid.{wamid}"), "created_at": "2025-06-12T01:00:00Z"});
    let Value::Object(more) = more else { panic!("not an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

#[sqlx::test]
async fn log_and_message_are_joined_even_when_other_fields_are_missing(db: PgPool) {
    let service = Service::start(db).await;
    let messages = [
        json!({"is_campaign": true}),
        json!({"is_campaign": false}),
        json!({"is_campaign": null}),
        json!({"is_campaign": null, "created_at": null}),
        json!({"is_campaign": true, "participant_type": null, "status": null}),
    ];
    let mut n = 0;
    for more in messages {
        for known in ["", "status", "created_at", "messages_broadcast_id", "messages_response"] {
            for is_log_first in [true, false] {
                let id = n.to_string();
                n += 1;
                let mut log = log(&id, "sent", &[("sent", 0)]);
                log[known] = Value::Null;
                let mut both = [log, message(&format!("m{id}"), &id, more.clone())];
                both[usize::from(is_log_first)..].reverse();
                post_all(&service, both).await;
            }
        }
    }
    // A second message with the same channel id is the same delivery; in another organisation it is
    // another one.
    post_all(&service, [message("n0", "0", json!({}))]).await;
    post_all(&service, [message("n1", "1", json!({"organization_id": "another-organization"}))])
        .await;
    let rows = deliveries(&service, "limit=500").await;
    let mut ids: Vec<_> = rows.iter().map(|row| (&row["log_id"], &row["message_id"])).collect();
    ids.sort_by_key(|ids| format!("{ids:?}"));
    let pairs = (0..n).map(|n| (json!(n.to_string()), json!(format!("m{n}"))));
    let mut expected: Vec<_> = pairs.chain([(Value::Null, json!("n1"))]).collect();
    expected.sort_by_key(|ids| format!("{:?}", (&ids.0, &ids.1)));
    assert_eq!(ids, expected.iter().map(|ids| (&ids.0, &ids.1)).collect::<Vec<_>>());
}

#[sqlx::test]
async fn delivery_pages_have_no_gaps_or_repeats_in_either_direction(db: PgPool) {
    let service = Service::start(db).await;
    let phone = json!("6281200020001");
    let room = json!({"id": "r", "channel": "wa_cloud", "account_uniq_id": phone});
    for n in 0..12 {
        // Only two distinct times, so that logs and messages are ordered by id alone.
        let at = format!("2025-06-12T0{}:00:00Z", n / 6);
        let id = n.to_string();
        let mut log = log(&id, "sent", &[]);
        log["contact_phone_number"] = phone.clone();
        log["created_at"] = at.clone().into();
        let is_campaign = [None, Some(true), Some(false)][n % 3];
        let fields = json!({"room_id": "r", "room": room, "created_at": at,
            "is_campaign": is_campaign});
        let joined = message(&format!("m{id}"), &id, fields.clone());
        // A message that has the id of the log by coincidence.
        let unrelated = message(&id, &format!("of-{id}"), fields.clone());
        let mut second = log.clone();
        second["id"] = format!("second-{id}").into();
        match n % 6 {
            0 => post_all(&service, [log]).await,
            1 => post_all(&service, [joined]).await,
            2 => post_all(&service, [joined, log]).await,
            3 => post_all(&service, [log, unrelated]).await,
            4 => post_all(&service, [log, second, joined]).await,
            _ => {
                post_all(
                    &service,
                    [message(&format!("joined-{id}"), &id, fields), log, unrelated, joined],
                )
                .await
            }
        }
    }
    for filter in ["", "status=sent&", "phone=081200020001&", "end_date=2025-06-13&"] {
        let expected = deliveries(&service, filter).await;
        assert_eq!(expected.len(), 18, "{filter}");
        for limit in 1..=3 {
            let path = format!("/v1/delivery-statuses?{filter}limit={limit}");
            let (forward, backward) = read_all_pages(&service, &path).await;
            assert_eq!(forward, expected, "{path}");
            assert_eq!(backward, expected, "{path}");
        }
    }
}

#[sqlx::test]
async fn delivery_list_keeps_a_message_whose_log_arrives_during_the_query(db: PgPool) {
    let service = Service::start(db).await;
    post_all(&service, [message("m", "1", json!({}))]).await;
    // The query reads rooms, to find messages, after it reads the logs.
    let mut lock = service.db.begin().await.unwrap();
    sqlx::query("lock room").execute(&mut *lock).await.unwrap();
    let query = deliveries(&service, "");
    let insert = async {
        let waiters = "pg_locks where not granted and relation = 'room'::regclass";
        while service.count(waiters).await == 0 {}
        post_all(&service, [log("1", "sent", &[])]).await;
        lock.rollback().await.unwrap();
    };
    let (rows, ()) = tokio::join!(query, insert);
    assert_eq!(rows.len(), 1);
    assert_eq!(deliveries(&service, "").await.len(), 1);
}

#[sqlx::test]
async fn phone_filter_finds_deliveries_in_more_than_a_hundred_rooms(db: PgPool) {
    let service = Service::start(db).await;
    for n in 0..120 {
        let room = json!({"id": format!("r{n}"), "channel": "wa_cloud",
            "account_uniq_id": "6281200020001"});
        let fields = json!({"room_id": room["id"], "room": room});
        post_all(&service, [message(&n.to_string(), &n.to_string(), fields)]).await;
    }
    assert_eq!(deliveries(&service, "phone=081200020001&limit=500").await.len(), 120);
}

#[sqlx::test]
async fn delivery_status_combines_log_and_message_and_shows_conflicts(db: PgPool) {
    let service = Service::start(db).await;
    let message = json!({"data_event": "status_message", "id": "m", "status": "read",
        "sender_type": "Models::SystemAccount", "organization_id": ORGANIZATION,
        "is_campaign": true, "external_id": "wamid.1", "created_at": "2025-06-12T01:00:00Z"});
    post_all(&service, [log("1", "failed", &[("sent", 0)]), message]).await;
    for query in ["", "status=read"] {
        let rows = deliveries(&service, query).await;
        assert_eq!(rows.len(), 1, "{query}");
        assert_eq!(rows[0]["status"], "read");
        assert_eq!(rows[0]["conflicts"], json!(["failed_and_read"]));
        assert_eq!(rows[0]["implied"], json!(["delivered"]));
        assert_eq!((&rows[0]["message_id"], &rows[0]["log_id"]), (&json!("m"), &json!("1")));
    }
    assert_eq!(deliveries(&service, "status=failed").await, Vec::<Value>::new());
}

#[sqlx::test]
async fn status_filter_matches_exactly_the_deliveries_showing_that_status(db: PgPool) {
    const STATUSES: [&str; 7] =
        ["created", "pending", "sent", "failed", "delivered", "read", "warning"];
    let service = Service::start(db).await;
    let mut bodies = Vec::new();
    for of_log in STATUSES {
        bodies.push(log(of_log, of_log, &[]));
        bodies.push(message(
            &format!("{of_log} alone"),
            of_log,
            json!({"status": of_log,
            "external_id": format!("{of_log} alone")}),
        ));
        for of_message in STATUSES {
            let id = format!("{of_log}, {of_message}");
            let status = json!({"status": of_message});
            bodies.push(log(&id, of_log, &[]));
            bodies.push(message(&format!("message {id}"), &id, status));
        }
    }
    post_all(&service, bodies).await;
    let all = deliveries(&service, "limit=500").await;
    assert_eq!(all.len(), 7 * (2 + 7));
    for status in &STATUSES[..6] {
        let expected: Vec<_> = all.iter().filter(|row| row["status"] == *status).cloned().collect();
        assert!(!expected.is_empty(), "{status}");
        let found = deliveries(&service, &format!("limit=500&status={status}")).await;
        assert_eq!(found, expected, "{status}");
    }
}

#[sqlx::test]
async fn delivery_list_filters_by_status_error_phone_and_date(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service).await;
    let cases = [
        ("status=failed", 3),
        ("status=pending", 1),
        ("error=131026", 1),
        ("error=131049", 1),
        ("error=131049&status=read", 0),
        ("phone=6281200020001", 1),
        ("phone=081200020001", 1),
        ("phone=%2B62%20812-0002-0001&status=read", 1),
        ("phone=81200020001&status=failed", 0),
        ("phone=081200010001&status=failed", 1),
        ("start_date=2025-06-12T02:52:40Z&end_date=2025-06-12T02:52:41Z", 1),
        ("end_date=2014-12-31", 0),
    ];
    for (query, expected) in cases {
        assert_eq!(deliveries(&service, query).await.len(), expected, "{query}");
    }
    for (query, named) in [
        ("phone=siti", "phone: "),
        ("phone=12", "phone: "),
        ("phone=%00", "phone: "),
        ("status=lost", "status: "),
        ("error=none", "error: "),
        ("error=-1", "error: "),
        ("start_date=2025-02-30", "start_date: "),
        ("since=today", "since: unknown parameter"),
    ] {
        let response = service.get(&format!("/v1/delivery-statuses?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let messages = response.json()["error"]["messages"].to_string();
        assert!(messages.contains(named), "{query}: {messages}");
    }
}

#[sqlx::test]
async fn deliveries_with_equal_ids_are_separate_per_organisation(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service).await;
    let mut other = log("1", "read", &[]);
    other["organization_id"] = "another-organization".into();
    post_all(&service, [log("1", "sent", &[]), other]).await;
    let response = service.get_with(KEY_OF_ANOTHER, "/v1/delivery-statuses").await.json();
    let rows = response["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["log_id"], &rows[0]["status"]), (&json!("1"), &json!("read")));
}
