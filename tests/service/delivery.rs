//! The truth about delivery: what was reported, what follows, what contradicts it, and why it failed.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, BROADCAST, TWIN};
use super::harness::{KEY_OF_ANOTHER, ORGANIZATION, Service};
use super::read::walk;

/// A log of the broadcast `b` in which these statuses were reached at these seconds.
fn log(id: &str, status: &str, reached: &[(&str, u64)]) -> Value {
    let part = |at: u64| json!({"statuses": [{"timestamp": 1_749_690_000 + at}]});
    let response: serde_json::Map<String, Value> =
        reached.iter().map(|(status, at)| ((*status).to_owned(), part(*at))).collect();
    json!({"data_event": "broadcast_log_status", "id": id, "messages_broadcast_id": "b",
        "organization_id": ORGANIZATION, "status": status, "messages_response": response,
        "whatsapp_message_id": format!("wamid.{id}"), "created_at": "2025-06-12T01:00:00Z"})
}

async fn tell(service: &Service, bodies: impl IntoIterator<Item = Value>) {
    for body in bodies {
        let answer = service.post(body.to_string()).await;
        assert_eq!(answer.json()["data"]["outcome"], "applied", "{body}");
    }
}

async fn tell_fixtures(service: &Service) {
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
}

#[sqlx::test]
async fn funnel_counts_the_furthest_status_reached_by_each_recipient(db: PgPool) {
    let service = Service::start(db).await;
    let logs = [
        log("read", "read", &[("sent", 0), ("delivered", 2), ("read", 5412)]),
        log("read-alone", "read", &[("read", 30)]),
        log("played", "played", &[]),
        log("delivered-alone", "delivered", &[]),
        log("sent", "sent", &[("sent", 0)]),
        log("refused", "failed", &[]),
        log("failed-later", "failed", &[("sent", 0), ("failed", 3)]),
        log("failed-and-delivered", "failed", &[("sent", 0), ("delivered", 9), ("failed", 3)]),
        log("failed-and-read", "failed", &[("read", 9)]),
        log("pending", "pending", &[]),
    ];
    tell(&service, logs).await;
    let funnel = service.data("/v1/broadcasts/b").await;
    let counts = ["total", "created", "pending", "sent", "delivered", "read", "failed", "other"]
        .map(|name| funnel[name].as_i64().unwrap());
    assert_eq!(counts, [10, 0, 1, 1, 2, 4, 2, 0]);
    assert_eq!(funnel["reached"], json!({"sent": 8, "delivered": 6, "read": 4}));
    assert_eq!(funnel["implied"], json!({"sent": 4, "delivered": 3}));
    assert_eq!(funnel["conflicts"], json!({"failed_and_delivered": 1, "failed_and_read": 1}));
    assert_eq!(funnel["seconds_to_delivery"], json!({"p50": 2.0, "p95": 9.0}));
    assert_eq!(funnel["seconds_to_read"], json!({"p50": 5400.0, "p95": 5400.0}));
}

#[sqlx::test]
async fn implied_and_conflicting_statuses_are_marked_without_timestamps(db: PgPool) {
    let service = Service::start(db).await;
    let logs = [
        log("read-alone", "read", &[("read", 30)]),
        log("failed-and-delivered", "delivered", &[("sent", 0), ("failed", 3)]),
        log("sent", "sent", &[]),
    ];
    tell(&service, logs).await;
    let logs = service.data("/v1/broadcasts/b/logs").await;
    let of = |id: &str| logs.as_array().unwrap().iter().find(|log| log["id"] == id).unwrap();
    let log = of("read-alone");
    assert_eq!((&log["implied"], &log["conflicts"]), (&json!(["sent", "delivered"]), &json!([])));
    assert_eq!(
        log["status_times"],
        json!({"read": {"at": "2025-06-12T01:00:30.000Z", "source": "channel"}})
    );
    let log = of("failed-and-delivered");
    assert_eq!(log["status"], "delivered");
    assert_eq!(log["implied"], json!([]));
    assert_eq!(log["conflicts"], json!(["failed_and_delivered"]));
    assert_eq!(log["status_times"]["failed"]["at"], "2025-06-12T01:00:03.000Z");
    let log = of("sent");
    assert_eq!((&log["implied"], &log["conflicts"]), (&json!([]), &json!([])));

    // Nothing follows from what a customer's message is said to be.
    for sender in ["Models::Contact", "Models::User"] {
        let message = json!({"data_event": "status_message", "id": sender, "status": "read",
            "sender_type": sender});
        tell(&service, [message]).await;
    }
    assert_eq!(service.data("/v1/messages/Models::Contact").await["implied"], json!([]));
    let implied = &service.data("/v1/messages/Models::User").await["implied"];
    assert_eq!(*implied, json!(["sent", "delivered"]));
}

#[sqlx::test]
async fn delivery_errors_have_meaning_and_advice_in_english_and_indonesian(db: PgPool) {
    let service = Service::start(db).await;
    tell_fixtures(&service).await;
    let meaning = json!({
        "en": "Withheld by Meta's marketing limit per person.",
        "id": "Ditahan Meta karena batas pesan promosi per orang.",
    });
    let advice = json!({
        "en": "Do not resend soon; wait a day or more.",
        "id": "Jangan langsung kirim ulang, tunggu minimal sehari.",
    });
    let funnel = service.data(&format!("/v1/broadcasts/{BROADCAST}")).await;
    let failures = &funnel["failed_by_code"][1];
    assert_eq!((&failures["error_code"], &failures["count"]), (&json!(131_049), &json!(1)));
    assert_eq!((&failures["error_meaning"], &failures["error_advice"]), (&meaning, &advice));
    let log = &service.data(&format!("/v1/broadcasts/{BROADCAST}/logs?status=failed")).await[0];
    assert_eq!((&log["error_meaning"], &log["error_advice"]), (&meaning, &advice));

    // Its message fails without saying why: the log knows.
    let wamid = &log["whatsapp_message_id"];
    for is_campaign in [Some(true), Some(false), None] {
        let message = json!({"data_event": "status_message", "id": "twin", "status": "failed",
            "organization_id": ORGANIZATION, "is_campaign": is_campaign, "external_id": wamid});
        service.execute("delete from message where message_id = 'twin'").await;
        tell(&service, [message]).await;
        let message = service.data("/v1/messages/twin").await;
        assert_eq!(message["error_code"], 131_049);
        assert_eq!(message["error_title"], log["error_title"]);
        assert_eq!((&message["error_meaning"], &message["error_advice"]), (&meaning, &advice));
    }
}

#[sqlx::test]
async fn unknown_delivery_errors_keep_the_title_reported_by_meta(db: PgPool) {
    let service = Service::start(db).await;
    let mut failed = log("1", "failed", &[]);
    failed["messages_response"] = json!({"errors": [{"code": 999_999, "title": "Something new"}]});
    let mut old = log("2", "failed", &[]);
    old["messages_response"] = json!({"errors": [{"code": "470", "title": "Re-engagement"}]});
    tell(&service, [failed, old, log("3", "failed", &[])]).await;
    let failures = service.data("/v1/broadcasts/b").await["failed_by_code"].take();
    let of = |code: Value| {
        let mut failures = failures.as_array().unwrap().iter();
        failures.find(|failure| failure["error_code"] == code).unwrap()
    };
    assert_eq!(of(json!(999_999))["error_title"], "Something new");
    assert_eq!(of(json!(999_999))["error_meaning"], Value::Null);
    assert_eq!(of(json!(470))["error_advice"]["en"], "Send an approved template.");
    assert_eq!(of(Value::Null)["error_advice"], Value::Null);
}

/// What the list shows with these filters.
async fn deliveries(service: &Service, query: &str) -> Vec<Value> {
    let rows = service.data(&format!("/v1/delivery-statuses?{query}")).await;
    rows.as_array().unwrap().clone()
}

#[sqlx::test]
async fn broadcast_recipient_and_its_message_are_listed_as_one_delivery(db: PgPool) {
    let service = Service::start(db).await;
    tell_fixtures(&service).await;
    let all = deliveries(&service, "").await;
    // Six logs, of which one is of 2021, and the messages of agents and bots that have none.
    assert_eq!(all.iter().filter(|row| row["log_id"].is_string()).count(), 6);
    let outgoing = service.data("/v1/messages?direction=out").await;
    for message in outgoing.as_array().unwrap() {
        let rows = all.iter().filter(|row| row["message_id"] == message["id"]);
        assert_eq!(rows.count(), 1, "{message}");
    }
    assert_eq!(all.len(), outgoing.as_array().unwrap().len() + 5);

    let twin = all.iter().find(|row| row["message_id"] == TWIN).unwrap();
    assert_eq!(twin["log_id"], "fe115858-845d-4fd4-9e90-4129207696b4");
    assert_eq!(twin["messages_broadcast_id"], BROADCAST);
    assert_eq!(twin["contact_phone_number"], "6281200020001");
    assert_eq!(twin["contact_full_name"], "Budi Santoso");
    assert_eq!(twin["room_id"], "8c4a5959-fed7-40a7-9e5f-e922f5e147d9");
    // The message was said to be delivered only, the log to be read.
    assert_eq!(twin["status"], "read");
    assert_eq!(twin["status_times"]["read"]["source"], "channel");
    assert_eq!((&twin["billable"], &twin["pricing_category"]), (&json!(true), &json!("marketing")));

    let failed = all.iter().find(|row| row["error_code"] == 131_049).unwrap();
    assert_eq!(failed["error_advice"]["en"], "Do not resend soon; wait a day or more.");
    assert_eq!(failed["message_id"], Value::Null);
    let agents = all.iter().find(|row| row["message_id"] == "e674cac5-f2d7-4066-8a5d-615e55f52d29");
    let agents = agents.unwrap();
    assert_eq!((&agents["status"], &agents["log_id"]), (&json!("failed"), &Value::Null));
    assert_eq!(agents["contact_phone_number"], "6281200010001");
    assert_eq!(agents["contact_full_name"], "Siti Rahmawati");
}

/// A message of a bot's that was sent, with this id at the channel.
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
                tell(&service, both).await;
            }
        }
    }
    // What has the same id a second time is the same delivery, and in another organisation it is not.
    tell(&service, [message("n0", "0", json!({}))]).await;
    tell(&service, [message("n1", "1", json!({"organization_id": "another-organization"}))]).await;
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
        // At two moments, so that logs and messages are told apart by their ids alone.
        let at = format!("2025-06-12T0{}:00:00Z", n / 6);
        let id = n.to_string();
        let mut log = log(&id, "sent", &[]);
        log["contact_phone_number"] = phone.clone();
        log["created_at"] = at.clone().into();
        let is_campaign = [None, Some(true), Some(false)][n % 3];
        let told = json!({"room_id": "r", "room": room, "created_at": at,
            "is_campaign": is_campaign});
        let twin = message(&format!("m{id}"), &id, told.clone());
        // Nothing but an accident: a message of the log's id.
        let namesake = message(&id, &format!("of-{id}"), told.clone());
        let mut second = log.clone();
        second["id"] = format!("second-{id}").into();
        match n % 6 {
            0 => tell(&service, [log]).await,
            1 => tell(&service, [twin]).await,
            2 => tell(&service, [twin, log]).await,
            3 => tell(&service, [log, namesake]).await,
            4 => tell(&service, [log, second, twin]).await,
            _ => {
                tell(&service, [message(&format!("twin-{id}"), &id, told), log, namesake, twin])
                    .await
            }
        }
    }
    for filter in ["", "status=sent&", "phone=081200020001&", "end_date=2025-06-13&"] {
        let whole = deliveries(&service, filter).await;
        assert_eq!(whole.len(), 18, "{filter}");
        for limit in 1..=3 {
            let path = format!("/v1/delivery-statuses?{filter}limit={limit}");
            let (there, back) = walk(&service, &path).await;
            assert_eq!(there, whole, "{path}");
            assert_eq!(back, whole, "{path}");
        }
    }
}

#[sqlx::test]
async fn delivery_list_keeps_a_message_whose_log_arrives_during_the_query(db: PgPool) {
    let service = Service::start(db).await;
    tell(&service, [message("m", "1", json!({}))]).await;
    // Messages are looked for by their rooms, after the logs.
    let mut lock = service.db.begin().await.unwrap();
    sqlx::query("lock room").execute(&mut *lock).await.unwrap();
    let asked = deliveries(&service, "");
    let told = async {
        let waiting = "pg_locks where not granted and relation = 'room'::regclass";
        while service.count(waiting).await == 0 {}
        tell(&service, [log("1", "sent", &[])]).await;
        lock.rollback().await.unwrap();
    };
    let (rows, ()) = tokio::join!(asked, told);
    assert_eq!(rows.len(), 1);
    assert_eq!(deliveries(&service, "").await.len(), 1);
}

#[sqlx::test]
async fn phone_filter_finds_deliveries_in_more_than_a_hundred_rooms(db: PgPool) {
    let service = Service::start(db).await;
    for n in 0..120 {
        let room = json!({"id": format!("r{n}"), "channel": "wa_cloud",
            "account_uniq_id": "6281200020001"});
        let told = json!({"room_id": room["id"], "room": room});
        tell(&service, [message(&n.to_string(), &n.to_string(), told)]).await;
    }
    assert_eq!(deliveries(&service, "phone=081200020001&limit=500").await.len(), 120);
}

#[sqlx::test]
async fn delivery_status_combines_log_and_message_and_shows_conflicts(db: PgPool) {
    let service = Service::start(db).await;
    let message = json!({"data_event": "status_message", "id": "m", "status": "read",
        "sender_type": "Models::SystemAccount", "organization_id": ORGANIZATION,
        "is_campaign": true, "external_id": "wamid.1", "created_at": "2025-06-12T01:00:00Z"});
    tell(&service, [log("1", "failed", &[("sent", 0)]), message]).await;
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
    let mut told = Vec::new();
    for of_log in STATUSES {
        told.push(log(of_log, of_log, &[]));
        told.push(message(
            &format!("{of_log} alone"),
            of_log,
            json!({"status": of_log,
            "external_id": format!("{of_log} alone")}),
        ));
        for of_message in STATUSES {
            let id = format!("{of_log}, {of_message}");
            let status = json!({"status": of_message});
            told.push(log(&id, of_log, &[]));
            told.push(message(&format!("message {id}"), &id, status));
        }
    }
    tell(&service, told).await;
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
    tell_fixtures(&service).await;
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
        let answer = service.get(&format!("/v1/delivery-statuses?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let messages = answer.json()["error"]["messages"].to_string();
        assert!(messages.contains(named), "{query}: {messages}");
    }
}

#[sqlx::test]
async fn deliveries_with_equal_ids_are_separate_per_organisation(db: PgPool) {
    let service = Service::start(db).await;
    tell_fixtures(&service).await;
    let mut other = log("1", "read", &[]);
    other["organization_id"] = "another-organization".into();
    tell(&service, [log("1", "sent", &[]), other]).await;
    let answer = service.get_with(KEY_OF_ANOTHER, "/v1/delivery-statuses").await.json();
    let rows = answer["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["log_id"], &rows[0]["status"]), (&json!("1"), &json!("read")));
}
