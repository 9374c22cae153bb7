//! Delivery of broadcasts: funnel counts, implied and conflicting statuses, and delivery errors.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, BROADCAST};
use super::harness::{ORGANIZATION, Service};

/// Log of the broadcast `b` that reached these statuses at these seconds.
pub fn log(id: &str, status: &str, reached: &[(&str, u64)]) -> Value {
    let part = |at: u64| json!({"statuses": [{"timestamp": 1_749_690_000 + at}]});
    let response: serde_json::Map<String, Value> =
        reached.iter().map(|(status, at)| ((*status).to_owned(), part(*at))).collect();
    json!({"data_event": "broadcast_log_status", "id": id, "messages_broadcast_id": "b",
        "organization_id": ORGANIZATION, "status": status, "messages_response": response,
        "whatsapp_message_id": format!("wamid.{id}"), "created_at": "2025-06-12T01:00:00Z"})
}

/// Posts bodies, all of which must be applied.
pub async fn post_all(service: &Service, bodies: impl IntoIterator<Item = Value>) {
    for body in bodies {
        let response = service.post(body.to_string()).await;
        assert_eq!(response.json()["data"]["outcome"], "applied", "{body}");
    }
}

/// Posts all fixtures.
pub async fn post_fixtures(service: &Service) {
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
    post_all(&service, logs).await;
    let funnel = service.data("/v1/broadcasts/b").await;
    let counts = ["total", "created", "pending", "sent", "delivered", "read", "failed", "other"]
        .map(|name| funnel[name].as_i64().unwrap());
    assert_eq!(counts, [10, 0, 1, 1, 2, 4, 2, 0]);
    assert_eq!(funnel["reached"], json!({"sent": 8, "delivered": 6, "read": 4, "failed": 4}));
    assert_eq!(funnel["implied"], json!({"sent": 4, "delivered": 3}));
    assert_eq!(funnel["conflicts"], json!({"failed_and_delivered": 1, "failed_and_read": 1}));
    let percentiles =
        |name: &str| ["p50", "p90", "p95"].map(|one| funnel[name][one].as_f64().unwrap());
    assert_eq!(percentiles("seconds_to_delivery"), [2.0, 9.0, 9.0]);
    assert_eq!(percentiles("seconds_to_read"), [5400.0; 3]);
}

#[sqlx::test]
async fn funnel_has_distributions_of_durations_and_the_hours_of_each_status(db: PgPool) {
    let service = Service::start(db).await;
    // 1_749_690_000 is 01:00, when the logs are created.
    let logs = [
        log("1", "read", &[("sent", 0), ("delivered", 2), ("read", 5412)]),
        log("2", "read", &[("sent", 30), ("delivered", 33), ("read", 3 * 3600)]),
        log("3", "delivered", &[("sent", 3599), ("delivered", 3600)]),
        log("4", "failed", &[("sent", 10), ("failed", 7200)]),
        log("5", "failed", &[("sent", 10), ("delivered", 20), ("failed", 30)]),
        // Whoever read it received it, and was sent it.
        log("6", "read", &[("read", 2_000_000)]),
    ];
    post_all(&service, logs).await;
    let funnel = service.data("/v1/broadcasts/b").await;
    let hour = |hour: u32, counts: [u32; 4]| {
        let [sent, delivered, read, failed] = counts;
        json!({"hour": hour, "sent": sent, "delivered": delivered, "read": read, "failed": failed})
    };
    let expected = json!([
        hour(0, [5, 3, 0, 0]),
        hour(1, [0, 1, 1, 0]),
        hour(2, [0, 0, 0, 1]),
        hour(3, [0, 0, 1, 0]),
        hour(555, [1, 1, 1, 0]),
    ]);
    assert_eq!(funnel["by_hour"], expected);
    let sum = |name: &str| -> i64 {
        let hours = funnel["by_hour"].as_array().unwrap().iter();
        hours.map(|hour| hour[name].as_i64().unwrap()).sum()
    };
    for name in ["sent", "delivered", "read"] {
        assert_eq!(funnel["reached"][name], sum(name), "{name}");
    }
    assert_eq!(funnel["failed"], sum("failed"));
    let counts = |name: &str| -> Vec<(Value, i64)> {
        let intervals = funnel[name]["distribution"].as_array().unwrap().iter();
        let intervals =
            intervals.map(|one| (one["max_seconds"].clone(), one["count"].as_i64().unwrap()));
        intervals.filter(|(_, count)| *count > 0).collect()
    };
    let delivery = [(json!(2), 2), (json!(5), 1), (json!(10), 1)];
    assert_eq!(counts("seconds_to_delivery"), delivery);
    assert_eq!(counts("seconds_to_read"), [(json!(7200), 1), (json!(14_400), 1)]);
    let intervals = funnel["seconds_to_read"]["distribution"].as_array().unwrap();
    assert_eq!((intervals.len(), &intervals[15]["max_seconds"]), (16, &Value::Null));
}

#[sqlx::test]
async fn only_delivered_recipients_count_as_billable(db: PgPool) {
    let service = Service::start(db).await;
    let pricing = json!({"billable": true, "pricing_model": "PMP", "category": "marketing"});
    let logs = [
        log("sent", "sent", &[("sent", 0)]),
        log("failed", "failed", &[("sent", 0), ("failed", 3)]),
        log("delivered", "delivered", &[("sent", 0), ("delivered", 2)]),
        log("failed-and-delivered", "failed", &[("sent", 0), ("delivered", 2), ("failed", 3)]),
        log("read-alone", "read", &[("sent", 0)]),
    ];
    let logs = logs.map(|mut log| {
        log["messages_response"]["sent"]["statuses"][0]["pricing"] = pricing.clone();
        log
    });
    post_all(&service, logs).await;
    let billable = &service.data("/v1/broadcasts/b").await["billable_by_category"];
    assert_eq!(*billable, json!([{"pricing_category": "marketing", "count": 3}]));
}

#[sqlx::test]
async fn pricing_is_read_in_every_form_that_meta_sends(db: PgPool) {
    let service = Service::start(db).await;
    let cases = [
        (json!({"type": "regular"}), json!(true)),
        (json!({"type": " Regular"}), json!(true)),
        (json!({"type": "free_customer_service"}), json!(false)),
        (json!({"type": "free_entry_point"}), json!(false)),
        (json!({"billable": 1, "type": "free_entry_point"}), json!(true)),
        (json!({"billable": "true"}), json!(true)),
        (json!({"billable": "True"}), json!(true)),
        (json!({"billable": 0}), json!(false)),
        (json!({"billable": "0", "type": "regular"}), json!(false)),
        (json!({"billable": null, "type": "regular"}), json!(true)),
        (json!({"billable": "perhaps", "type": "regular"}), json!(true)),
        (json!({"type": ""}), Value::Null),
        (json!({}), Value::Null),
    ];
    for (mut pricing, billable) in cases {
        pricing["category"] = " Marketing".into();
        pricing["pricing_model"] = "pmp ".into();
        let mut log = log("1", "delivered", &[("delivered", 2)]);
        log["messages_response"]["delivered"]["statuses"][0]["pricing"] = pricing.clone();
        service.execute("truncate event, broadcast_log").await;
        post_all(&service, [log]).await;
        let log = &service.data("/v1/broadcasts/b/logs").await[0];
        assert_eq!(log["billable"], billable, "{pricing}");
        assert_eq!(log["pricing_category"], "marketing");
        assert_eq!(log["pricing_model"], "PMP");
    }
}

#[sqlx::test]
async fn pricing_of_a_delivery_replaces_the_estimate_of_sent(db: PgPool) {
    let service = Service::start(db).await;
    let mut log = log("1", "delivered", &[("sent", 0), ("delivered", 2)]);
    for (status, kind) in [("sent", "regular"), ("delivered", "free_entry_point")] {
        log["messages_response"][status]["statuses"][0]["pricing"] = json!({"type": kind});
    }
    post_all(&service, [log]).await;
    assert_eq!(service.data("/v1/broadcasts/b/logs").await[0]["billable"], false);
}

#[sqlx::test]
async fn played_report_counts_as_read(db: PgPool) {
    let service = Service::start(db).await;
    let logs = [
        log("1", "sent", &[("sent", 0), ("played", 9)]),
        log("2", "warning", &[("read", 5), ("played", 9)]),
    ];
    post_all(&service, logs).await;
    let logs = service.data("/v1/broadcasts/b/logs").await;
    let of = |id: &str| logs.as_array().unwrap().iter().find(|log| log["id"] == id).unwrap();
    let expected =
        [("1", "01:00:09", json!(["played"])), ("2", "01:00:05", json!(["played", "warning"]))];
    for (id, at, others) in expected {
        let log = of(id);
        assert_eq!(log["status"], "read");
        let at = json!({"at": format!("2025-06-12T{at}.000Z"), "source": "channel"});
        assert_eq!((&log["status_times"]["read"], &log["other_statuses"]), (&at, &others));
    }
}

#[sqlx::test]
async fn blank_names_say_nothing(db: PgPool) {
    let service = Service::start(db).await;
    let room = |name: &str, second: u32| {
        json!({"id": "r", "channel": "wa", "name": name,
            "last_activity_at": format!("2025-06-12T01:00:0{second}Z")})
    };
    let message = |name: &str, second: u32| {
        json!({"data_event": "status_message", "id": format!("m{second}"), "status": "sent",
            "room_id": "r", "room": room(name, second), "sender_id": "s", "sender": {"name": name},
            "created_at": format!("2025-06-12T01:00:0{second}Z"), "organization_id": ORGANIZATION})
    };
    let mut blank = log("1", "read", &[]);
    blank["contact_full_name"] = " ".into();
    let mut named = log("1", "sent", &[]);
    named["contact_full_name"] = "Budi".into();
    post_all(&service, [message("Budi", 1), message("  ", 2), named, blank]).await;
    assert_eq!(service.data("/v1/rooms/r").await["name"], "Budi");
    assert_eq!(service.data("/v1/messages/m2").await["sender"]["name"], "Budi");
    assert_eq!(service.data("/v1/broadcasts/b/logs").await[0]["contact_full_name"], "Budi");
}

#[sqlx::test]
async fn implied_and_conflicting_statuses_are_marked_without_timestamps(db: PgPool) {
    let service = Service::start(db).await;
    let logs = [
        log("read-alone", "read", &[("read", 30)]),
        log("failed-and-delivered", "delivered", &[("sent", 0), ("failed", 3)]),
        log("sent", "sent", &[]),
    ];
    post_all(&service, logs).await;
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

    // The status of a customer's message implies nothing.
    for sender in ["Models::Contact", "Models::User"] {
        let message = json!({"data_event": "status_message", "id": sender, "status": "read",
            "sender_type": sender});
        post_all(&service, [message]).await;
    }
    assert_eq!(service.data("/v1/messages/Models::Contact").await["implied"], json!([]));
    let implied = &service.data("/v1/messages/Models::User").await["implied"];
    assert_eq!(*implied, json!(["sent", "delivered"]));
}

#[sqlx::test]
async fn delivery_errors_have_meaning_and_advice_in_english_and_indonesian(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service).await;
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

    // The message reports no error of its own; the error comes from the log.
    let wamid = &log["whatsapp_message_id"];
    for is_campaign in [Some(true), Some(false), None] {
        let message = json!({"data_event": "status_message", "id": "joined", "status": "failed",
            "organization_id": ORGANIZATION, "is_campaign": is_campaign, "external_id": wamid});
        service.execute("delete from message where message_id = 'joined'").await;
        post_all(&service, [message]).await;
        let message = service.data("/v1/messages/joined").await;
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
    post_all(&service, [failed, old, log("3", "failed", &[])]).await;
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
