//! What is one message and what is one delivery: equal ids at the channel, unknown organisations.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{KEY_OF_ORGANIZATION, ORGANIZATION, Service};
use super::read::read_all_pages;

/// Status of an agent's message with this id at the channel.
fn message(id: &str, external_id: &str, status: &str) -> Value {
    json!({"data_event": "status_message", "id": id, "status": status, "room_id": "r",
        "participant_type": "agent", "organization_id": ORGANIZATION, "external_id": external_id,
        "created_at": "2025-06-12T01:00:00Z"})
}

async fn deliveries(service: &Service, query: &str) -> Vec<Value> {
    let rows = service.data(&format!("/v1/delivery-statuses?{query}")).await;
    rows.as_array().unwrap().clone()
}

#[sqlx::test]
async fn messages_with_one_id_at_the_channel_are_one_delivery_with_all_statuses(db: PgPool) {
    let service = Service::start(db).await;
    let mut of_another = message("other", "wamid.1", "sent");
    of_another["organization_id"] = "another-organization".into();
    let messages = [
        message("m1", "wamid.1", "sent"),
        message("m2", "wamid.1", "delivered"),
        message("m3", "wamid.1", "created"),
        message("equal1", "wamid.2", "sent"),
        message("equal2", "wamid.2", "sent"),
        message("alone", "wamid.3", "sent"),
        message("unsent1", "", "created"),
        message("unsent2", "", "created"),
        of_another,
    ];
    post_all(&service, messages).await;
    let ids = |rows: &[Value]| {
        let mut ids: Vec<_> =
            rows.iter().map(|row| row["message_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let all = deliveries(&service, "").await;
    assert_eq!(ids(&all), ["alone", "equal1", "m2", "other", "unsent1", "unsent2"]);
    let joined = all.iter().find(|row| row["message_id"] == "m2").unwrap();
    assert_eq!(joined["status"], "delivered");
    assert_eq!(joined["implied"], json!([]));
    assert!(joined["status_times"]["sent"]["at"].is_string());
    for (status, expected) in [
        ("created", &["unsent1", "unsent2"][..]),
        ("sent", &["alone", "equal1", "other"]),
        ("delivered", &["m2"]),
    ] {
        let rows = deliveries(&service, &format!("status={status}")).await;
        assert_eq!(ids(&rows), expected, "{status}");
    }
    for limit in 1..=4 {
        let (forward, backward) =
            read_all_pages(&service, &format!("/v1/delivery-statuses?limit={limit}")).await;
        assert_eq!(forward, all, "{limit}");
        assert_eq!(backward, all, "{limit}");
    }

    // With a log they are its delivery, and count once wherever the log counts.
    let mut log = log("1", "sent", &[]);
    log["whatsapp_message_id"] = "wamid.1".into();
    post_all(&service, [log]).await;
    for query in ["", "status=delivered"] {
        let rows = deliveries(&service, query).await;
        let rows: Vec<_> = rows.iter().filter(|row| row["log_id"] == "1").collect();
        assert_eq!(rows.len(), 1, "{query}");
        assert_eq!(rows[0]["status"], "delivered");
    }
    assert_eq!(deliveries(&service, "").await.len(), all.len());
    assert_eq!(service.data("/v1/broadcasts/b").await["total"], 1);
    let trace = service.get_with(KEY_OF_ORGANIZATION, "/v1/trace/wamid.1").await.json();
    let count = |kind: &str| trace["data"][kind].as_array().unwrap().len();
    assert_eq!((count("logs"), count("messages"), count("broadcasts")), (1, 3, 1));
}

#[sqlx::test]
async fn error_filter_finds_messages_without_a_log(db: PgPool) {
    let service = Service::start(db).await;
    let failed = |id: &str, code: i64| {
        let mut body = message(id, &format!("wamid.{id}"), "failed");
        body["messages_response"] = json!({"errors": [{"code": code, "title": "Failed"}]});
        body
    };
    let mut log = log("1", "failed", &[]);
    log["messages_response"] = json!({"errors": [{"code": 131_047, "title": "Failed"}]});
    let mut incoming = failed("in", 131_047);
    incoming["participant_type"] = "customer".into();
    let bodies = [
        failed("m1", 131_047),
        failed("m2", 131_047),
        failed("m3", 131_026),
        message("m4", "wamid.m4", "sent"),
        failed("1", 131_047),
        incoming,
        log,
    ];
    post_all(&service, bodies).await;
    let found = deliveries(&service, "error=131047").await;
    let ids: Vec<_> = found.iter().map(|row| (&row["log_id"], &row["message_id"])).collect();
    assert_eq!(
        ids,
        [(&json!("1"), &json!("1")), (&Value::Null, &json!("m2")), (&Value::Null, &json!("m1"))]
    );
    assert!(found.iter().all(|row| row["error_code"] == 131_047));
    assert_eq!(deliveries(&service, "error=131026").await.len(), 1);
    assert_eq!(deliveries(&service, "error=131026&status=sent").await.len(), 0);
    assert_eq!(deliveries(&service, "error=1").await.len(), 0);
    for limit in 1..=2 {
        let path = format!("/v1/delivery-statuses?error=131047&limit={limit}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        assert_eq!(forward, found, "{path}");
        assert_eq!(backward, found, "{path}");
    }
}
