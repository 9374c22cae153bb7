//! Filters of messages, deliveries, broadcasts and their recipients.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::filter::ids;
use super::funnel::{log, post_all};
use super::harness::{ORGANIZATION, Service};
use super::read::read_all_pages;

/// Outgoing message of an agent, without a room.
fn message(id: &str, fields: Value) -> Value {
    let mut body = json!({"data_event": "status_message", "id": id, "status": "sent",
        "organization_id": ORGANIZATION, "participant_type": "agent", "type": "text",
        "text": "halo", "created_at": "2025-06-12T01:00:00Z"});
    let Value::Object(fields) = fields else { panic!("not an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn integration(id: &str, channel: &str) -> Value {
    json!({"id": id, "target_channel": channel})
}

async fn service_with_messages(db: PgPool) -> Service {
    let service = Service::start(db).await;
    qontak_receiver::store::search::sync_indexes(&service.db, true).await.unwrap();
    let cloud = integration("i-cloud", "wa_cloud");
    let campaign = json!({"channel_integration": cloud, "sender_id": "bot", "is_campaign": true,
        "participant_type": "bot", "last_campaign": {"id": "b", "name": "Promo"}});
    let old = json!({"channel_integration": integration("i-wa", "wa"), "sender_id": "siti",
        "created_at": "2024-01-12T01:00:00Z"});
    let bodies = [
        message("cloud", json!({"channel_integration": cloud, "sender_id": "siti"})),
        message("campaign", campaign),
        message(
            "ig",
            json!({"channel_integration": integration("i-ig", "ig"),
            "sender_id": "budi", "is_campaign": false}),
        ),
        // The channel before it was migrated to the cloud.
        message("old", old),
        message(
            "customer",
            json!({"channel_integration": cloud, "sender_id": "rahma",
            "participant_type": "customer", "is_campaign": false}),
        ),
        message("bare", json!({})),
        message(
            "other",
            json!({"organization_id": "another-organization", "sender_id": "siti",
            "channel_integration": integration("i-cloud", "WeChat")}),
        ),
    ];
    post_all(&service, bodies).await;
    service
}

#[sqlx::test]
async fn messages_are_filtered_by_channel_sender_broadcast_and_campaign(db: PgPool) {
    let service = service_with_messages(db).await;
    let cases: [(&str, &[&str]); 25] = [
        ("channel=ig", &["ig"]),
        ("channel=IG", &["ig"]),
        ("channel=wa_cloud", &["campaign", "cloud", "customer"]),
        ("channel=%20WA_Cloud", &["campaign", "cloud", "customer"]),
        ("channel=ig,wa_cloud", &["campaign", "cloud", "customer", "ig"]),
        ("channel=ig&channel=wa", &["ig", "old"]),
        ("channel=wa", &["old"]),
        ("channel=WeChat", &["other"]),
        ("channel=wa&organization_id=another-organization", &[]),
        ("channel=line", &[]),
        ("channel=wa,line&start_date=2025-01-01", &[]),
        ("channel=wa_cloud&direction=in", &["customer"]),
        ("channel=wa_cloud&q=halo", &["campaign", "cloud", "customer"]),
        ("channel=wa&q=halo", &["old"]),
        ("sender_id=siti", &["cloud", "old", "other"]),
        ("sender_id=siti&organization_id=another-organization", &["other"]),
        ("sender_id=siti&end_date=2024-12-31", &["old"]),
        ("sender_id=siti&q=halo&channel=wa_cloud", &["cloud"]),
        ("sender_id=nobody", &[]),
        ("broadcast_id=b", &["campaign"]),
        ("broadcast_id=b&sender_id=siti", &[]),
        ("broadcast_id=b&q=halo", &["campaign"]),
        ("is_campaign=true", &["campaign"]),
        ("is_campaign=True&q=halo", &["campaign"]),
        ("is_campaign=false", &["bare", "cloud", "customer", "ig", "old", "other"]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&service, &format!("/v1/messages?{query}")).await, expected, "{query}");
        let path = format!("/v1/messages?limit=1&{query}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        assert_eq!((forward.len(), &backward), (expected.len(), &forward), "{query}");
    }
}

#[sqlx::test]
async fn all_messages_of_a_sender_are_found_whatever_it_was(db: PgPool) {
    let service = Service::start(db).await;
    let of = |id: &str, kind: Value, at: &str| {
        message(id, json!({"sender_id": "x", "participant_type": kind, "created_at": at}))
    };
    let embedded = json!({"data_event": "room_created", "id": "r", "organization_id": ORGANIZATION,
        "channel": "wa", "last_message": of("embedded", json!("agent"), "2025-08-01T01:00:00Z")});
    let rounds = [
        of("customer", json!("customer"), "2025-01-01T01:00:00Z"),
        // The latest first: the others come late.
        of("agent", json!("agent"), "2025-06-12T23:59:59.999Z"),
        of("older", json!("agent"), "2024-06-12T01:00:00Z"),
        of("bot", json!("bot"), "2025-06-13T00:00:00Z"),
        // After the latest one that no customer sent.
        of("customer-again", json!("customer"), "2025-09-01T01:00:00Z"),
        of("supervisor", json!("supervisor"), "2025-06-15T01:00:00Z"),
        of("unknown", Value::Null, "2025-06-16T01:00:00Z"),
        embedded,
        // Without a time of its own: that of its receipt.
        of("now", json!("agent"), ""),
    ];
    let mut expected: Vec<String> = Vec::new();
    for body in rounds {
        let id = body["last_message"]["id"].as_str().or(body["id"].as_str()).unwrap().to_owned();
        post_all(&service, [body]).await;
        expected.push(id);
        expected.sort();
        assert_eq!(ids(&service, "/v1/messages?sender_id=x").await, expected);
    }
    let (forward, backward) = read_all_pages(&service, "/v1/messages?sender_id=x&limit=2").await;
    assert_eq!((forward.len(), &backward), (expected.len(), &forward));
    // Without those as a customer, each scan starts at the latest other one.
    service.execute("delete from message where participant_type = 'customer'").await;
    expected.retain(|id| !id.starts_with("customer"));
    assert_eq!(ids(&service, "/v1/messages?sender_id=x").await, expected);
    assert_eq!(ids(&service, "/v1/messages?sender_id=x&end_date=2024-12-31").await, ["older"]);
}

/// Ids of deliveries: of the log, or else of the message.
async fn deliveries(service: &Service, query: &str) -> Vec<String> {
    let (forward, backward) =
        read_all_pages(service, &format!("/v1/delivery-statuses?limit=2&{query}")).await;
    assert_eq!(forward, backward, "{query}");
    let id =
        |row: &Value| row["log_id"].as_str().or(row["message_id"].as_str()).unwrap().to_owned();
    let mut ids: Vec<String> = forward.iter().map(id).collect();
    ids.sort();
    ids
}

#[sqlx::test]
async fn deliveries_are_filtered_by_broadcast_channel_and_several_values(db: PgPool) {
    let service = service_with_messages(db).await;
    let failed = |id: &str, code: i64| {
        let mut log = log(id, "failed", &[]);
        log["messages_response"] = json!({"errors": [{"code": code, "title": "…"}]});
        log["channel_integration_id"] = "i-cloud".into();
        log["whatsapp_message_id"] = "n/a".into();
        log
    };
    let mut other = log("of-c", "read", &[("sent", 0), ("read", 9)]);
    other["messages_broadcast_id"] = "c".into();
    // Its message has a channel, its channel integration is unknown.
    let twin = message(
        "m-of-c",
        json!({"external_id": "wamid.of-c", "status": "delivered",
        "channel_integration": integration("i-unknown", "wa")}),
    );
    let alone = message(
        "failed-alone",
        json!({"status": "failed",
        "channel_integration": integration("i-ig", "ig"), "errors": [{"code": 131_047}]}),
    );
    let logs =
        [failed("131026", 131_026), failed("131049", 131_049), log("sent", "sent", &[("sent", 0)])];
    post_all(&service, logs.into_iter().chain([other, twin, alone])).await;
    let cases: [(&str, &[&str]); 20] = [
        // The message of the broadcast has no log.
        ("broadcast_id=b", &["131026", "131049", "campaign", "sent"]),
        ("broadcast_id=b&status=failed", &["131026", "131049"]),
        ("broadcast_id=c", &["of-c"]),
        ("broadcast_id=none", &[]),
        ("channel=ig", &["failed-alone", "ig"]),
        ("channel=IG&status=failed", &["failed-alone"]),
        ("channel=wa", &["of-c", "old"]),
        // Recipients without a message have the channel of their channel integration.
        ("channel=wa_cloud", &["131026", "131049", "campaign", "cloud"]),
        ("channel=wa_cloud,ig&status=failed", &["131026", "131049", "failed-alone"]),
        ("channel=wa_cloud&organization_id=another-organization", &[]),
        ("status=failed,read", &["131026", "131049", "failed-alone", "of-c"]),
        ("status=Failed&status=READ&broadcast_id=c", &["of-c"]),
        ("status=delivered", &[]),
        ("error=131026", &["131026"]),
        ("error=131026,131026&error=131026", &["131026"]),
        ("error=131026,131049", &["131026", "131049"]),
        ("error=131049&error=131047", &["131049", "failed-alone"]),
        ("error=131047", &["failed-alone"]),
        ("error=131047,131026&channel=wa_cloud", &["131026"]),
        ("error=999", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(deliveries(&service, query).await, expected, "{query}");
    }
    // The rows show the channel that they are filtered by.
    let rows = service.data("/v1/delivery-statuses?channel=wa_cloud").await;
    assert!(rows.as_array().unwrap().iter().all(|row| row["channel"] == "wa_cloud"), "{rows}");

    let logs: [(&str, &[&str]); 3] = [
        ("status=failed", &["131026", "131049"]),
        ("status=failed,sent", &["131026", "131049", "sent"]),
        ("status=Sent&status=read", &["sent"]),
    ];
    for (query, expected) in logs {
        let path = format!("/v1/broadcasts/b/logs?{query}");
        assert_eq!(ids(&service, &path).await, expected, "{query}");
    }
}

#[sqlx::test]
async fn broadcasts_are_filtered_by_time_name_integration_and_template(db: PgPool) {
    let service = Service::start(db).await;
    for (id, at, name, integration, template) in [
        ("a", "2025-06-12T01:00:00Z", "Promo Gajian Juni", "i", "t"),
        ("b", "2025-06-13T01:00:00Z", "PROMO 17 Agustus", "i", "u"),
        ("c", "2025-06-14T01:00:00Z", "", "j", "t"),
    ] {
        let mut log = log(id, "sent", &[]);
        log["messages_broadcast_id"] = id.into();
        log["messages_broadcast_template_id"] = template.into();
        log["channel_integration_id"] = integration.into();
        log["created_at"] = at.into();
        let campaign = message(
            id,
            json!({"is_campaign": true, "created_at": at,
            "last_campaign": {"id": id, "name": name}}),
        );
        post_all(&service, [log, campaign]).await;
    }
    let cases: [(&str, &[&str]); 14] = [
        ("name=Promo", &["a", "b"]),
        ("name=gajian%20j", &["a"]),
        ("name=17", &["b"]),
        // No pattern.
        ("name=%25", &[]),
        ("name=_", &[]),
        ("channel_integration_id=i", &["a", "b"]),
        ("channel_integration_id=k", &[]),
        ("template_id=t", &["a", "c"]),
        ("template_id=t&channel_integration_id=j", &["c"]),
        ("start_date=2025-06-13", &["b", "c"]),
        ("end_date=2025-06-13", &["a", "b"]),
        ("start_date=2025-06-12T01:00:00Z&end_date=2025-06-13T01:00:00Z", &["a"]),
        ("template_id=t&start_date=2025-06-13&organization_id=another-organization", &[]),
        ("name=promo&template_id=u&start_date=2025-06-13&end_date=2025-06-13", &["b"]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&service, &format!("/v1/broadcasts?{query}")).await, expected, "{query}");
        let path = format!("/v1/broadcasts?limit=1&{query}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        assert_eq!((forward.len(), &backward), (expected.len(), &forward), "{query}");
    }
}
