//! Fixtures in any order, with repeats or concurrently, end in the same state.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::broadcast_log::count;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::bodies::received;
use super::fixtures::{ALL, BROADCAST, BROADCAST_MESSAGE, READ_MESSAGE, SITI_ROOM, WEB_CHAT_ROOM};
use super::harness::{
    BOUND_ORGANIZATION, BOUND_TOKEN, ORGANIZATION, Service, TRUNCATE_ALL, webhook,
    writer_connection,
};

/// Posts the fixtures with these indexes, in this order. The documented shape of `room_resolved`
/// has no organisation, so the endpoint has one.
async fn post_fixtures(service: &Service, order: impl Iterator<Item = usize>) {
    for i in order {
        service.send(webhook(BOUND_TOKEN, ALL[i].body())).await;
    }
}

/// Permutation of the fixtures, determined by the seed.
fn shuffled(seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ALL.len()).collect();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for i in (1..order.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        order.swap(i, (random % (i as u64 + 1)) as usize);
    }
    order
}

#[sqlx::test]
async fn fixtures_in_any_order_with_repeats_end_in_the_same_state(db: PgPool) {
    let service = Service::start(db).await;
    let truncate =
        "truncate event, ledger, room, room_event, message, sender, broadcast, broadcast_log";
    post_fixtures(&service, 0..ALL.len()).await;
    let expected = service.state().await;
    assert_eq!(expected["room"].len(), 7);

    service.execute(truncate).await;
    post_fixtures(&service, (0..ALL.len()).rev()).await;
    assert_eq!(service.state().await, expected, "in reverse order");

    for seed in 1..=6 {
        service.execute(truncate).await;
        let order = shuffled(seed);
        // Every event twice, the second time in a different order.
        post_fixtures(&service, order.iter().copied().chain(shuffled(seed + 100))).await;
        assert_eq!(service.state().await, expected, "seed {seed}");
    }
}

#[sqlx::test]
async fn fixtures_in_batches_of_any_size_end_in_the_same_state(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut connection = writer_connection(&db);
    let received_at = Timestamp(Utc::now());
    let mut expected = None;
    for (seed, size) in [(1, 1), (1, 3), (2, 3), (2, 7), (3, 12), (4, 30), (5, ALL.len())] {
        service.execute(TRUNCATE_ALL).await;
        let events = shuffled(seed).into_iter().filter_map(|i| {
            match normalize(received(ALL[i].body(), received_at)) {
                Normalized::Event(event) => Some(*event),
                Normalized::Handshake(_) => None,
            }
        });
        for batch in events.collect::<Vec<_>>().chunks(size) {
            connection.write(Duration::from_secs(30), Uuid::nil(), batch).await.unwrap();
        }
        let state = service.state().await;
        assert_eq!(*expected.get_or_insert_with(|| state.clone()), state, "{seed}, {size} events");
    }
}

#[sqlx::test]
async fn fixtures_posted_concurrently_to_two_replicas_end_in_the_same_state(db: PgPool) {
    let replicas = [Arc::new(Service::start(db.clone()).await), Arc::new(Service::start(db).await)];
    post_fixtures(&replicas[0], 0..ALL.len()).await;
    let expected = replicas[0].state().await;
    for seed in 1..=4 {
        let truncate =
            "truncate event, ledger, room, room_event, message, sender, broadcast, broadcast_log";
        replicas[0].execute(truncate).await;
        let mut posting = JoinSet::new();
        for i in shuffled(seed).into_iter().chain(shuffled(seed + 100)) {
            let replica = replicas[i % 2].clone();
            posting.spawn(async move { replica.send(webhook(BOUND_TOKEN, ALL[i].body())).await });
        }
        posting.join_all().await;
        assert_eq!(replicas[1].state().await, expected, "seed {seed}");
    }
}

#[sqlx::test]
async fn shuffled_fixtures_have_the_expected_final_state_in_the_api(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service, shuffled(7).into_iter()).await;

    let messages = [
        ("e249ca3b-95f5-4108-a583-33acfc0f5dca", "sent", "created sent", "bot"),
        (READ_MESSAGE, "read", "created delivered read sent", "agent"),
        ("e674cac5-f2d7-4066-8a5d-615e55f52d29", "failed", "failed", "agent"),
        (BROADCAST_MESSAGE, "delivered", "delivered", "bot"),
        ("26083386-f020-4dcc-b6ee-a756b540136a", "read", "read", "agent"),
    ];
    for (id, status, seen, participant_type) in messages {
        let message = service.data(&format!("/v1/messages/{id}")).await;
        assert_eq!(message["status"], status, "{id}");
        let times = message["status_times"].as_object().unwrap();
        let keys: Vec<&str> = times.keys().map(String::as_str).collect();
        assert_eq!(keys.join(" "), seen, "{id}");
        assert_eq!(message["participant_type"], participant_type, "{id}");
        assert!(message["external_id"].is_string(), "{id}");
    }
    let read = service.data(&format!("/v1/messages/{READ_MESSAGE}")).await;
    assert_eq!(read["status_times"]["read"]["source"], "received");
    assert_eq!(read["status_times"]["created"]["source"], "body");
    assert_eq!(read["status_times"]["created"]["at"], "2025-06-12T02:18:22.517Z");
    assert_eq!(read["sender"]["name"], "Rizky Hidayat");
    let message = service.data(&format!("/v1/messages/{BROADCAST_MESSAGE}")).await;
    let delivered = json!({"at": "2025-06-12T01:00:05.000Z", "source": "channel"});
    assert_eq!(
        message["status_times"]["delivered"], delivered,
        "the time comes from the broadcast log"
    );

    let maya = "deb8a35a-d051-4b10-aad8-079297722314";
    let room = service.data(&format!("/v1/rooms/{SITI_ROOM}")).await;
    assert_eq!(room["status"], "resolved");
    assert_eq!(room["agent_ids"], json!([maya]));
    assert_eq!(room["unread_count"], 0);
    assert_eq!(room["tags"], json!(["vip"]));
    assert_eq!(room["resolved_at"], "2025-06-12T03:05:12.851Z");
    assert_eq!(room["resolved_by_id"], maya);
    assert_eq!(room["channel_uniq_id"], "+6281200099001");
    let web_chat = service.data(&format!("/v1/rooms/{WEB_CHAT_ROOM}")).await;
    assert_eq!(web_chat["status"], "resolved");
    assert_eq!(web_chat["resolved_at"], "2025-06-12T03:41:20.010Z");
    let stub = service.data("/v1/rooms/room_tm0007").await;
    assert_eq!(stub["organization_id"], BOUND_ORGANIZATION);
    assert_eq!(stub["resolved_by_id"], "agent_tm_02");
    assert_eq!(stub["resolved_at"], "2025-06-12T04:10:00.000Z");
    assert_eq!(stub["last_message"], Value::Null);

    let rooms = service.data("/v1/rooms").await;
    let listed: Vec<(&str, &str)> = rooms
        .as_array()
        .unwrap()
        .iter()
        .map(|room| (room["id"].as_str().unwrap(), room["status"].as_str().unwrap()))
        .collect();
    let expected = [
        ("214af3d9-cc48-4b48-928d-f53813a901f9", "assigned"),
        ("e3d8d555-2ead-4daf-925b-4ab6f12d2092", "unassigned"),
        ("room_tm0007", "resolved"),
        (WEB_CHAT_ROOM, "resolved"),
        (SITI_ROOM, "resolved"),
        ("8c4a5959-fed7-40a7-9e5f-e922f5e147d9", "campaign"),
        ("c3029c11-185d-4aea-8c87-9960ad5cd4cc", "assigned"),
    ];
    assert_eq!(listed, expected);
    let last = &rooms[4]["last_message"]["id"];
    assert_eq!(*last, "e674cac5-f2d7-4066-8a5d-615e55f52d29");

    let room_events: Vec<(String, String)> = sqlx::query_as(
        "select room_id, type from room_event order by room_id, coalesce(at, received_at)",
    )
    .fetch_all(&service.db)
    .await
    .unwrap();
    let expected = [
        (SITI_ROOM, "created"),
        (SITI_ROOM, "assigned"),
        (SITI_ROOM, "handed_over"),
        (SITI_ROOM, "unassigned"),
        (SITI_ROOM, "resolved"),
        (WEB_CHAT_ROOM, "resolved"),
        ("room_tm0007", "resolved"),
    ];
    let expected = expected.map(|(room, r#type)| (room.to_owned(), r#type.to_owned()));
    assert_eq!(room_events, expected);
}

#[sqlx::test]
async fn broadcast_funnel_counts_every_recipient_once(db: PgPool) {
    let service = Service::start(db).await;
    post_fixtures(&service, shuffled(8).into_iter()).await;
    let broadcast = service.data(&format!("/v1/broadcasts/{BROADCAST}")).await;
    assert_eq!(broadcast["name"], "Promo Gajian Juni");
    assert_eq!(broadcast["organization_id"], ORGANIZATION);
    let counts = ["total", "created", "pending", "sent", "delivered", "read", "failed", "other"]
        .map(|name| broadcast[name].as_i64().unwrap());
    assert_eq!(counts, [5, 0, 1, 0, 1, 1, 2, 0]);
    // The list reads the counts from `broadcast_count`, which is updated with every change.
    for merged in [false, true] {
        if merged {
            count::compact(&service.db).await.unwrap();
        }
        let listed = service.data("/v1/broadcasts").await;
        let listed = listed.as_array().unwrap().iter().find(|row| row["id"] == BROADCAST).unwrap();
        for (name, value) in listed.as_object().unwrap() {
            assert_eq!(*value, broadcast[name], "{name}");
        }
    }
    let codes: Vec<i64> = broadcast["failed_by_code"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["error_code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [131_026, 131_049]);
    let delivery = &broadcast["seconds_to_delivery"];
    assert_eq!((&delivery["p50"], &delivery["p95"]), (&json!(2.0), &json!(3.0)));
    let billable = &broadcast["billable_by_category"][0];
    assert_eq!(billable["pricing_category"], "marketing");

    let logs = service.data(&format!("/v1/broadcasts/{BROADCAST}/logs")).await;
    let logs: Vec<(&str, &str)> = logs
        .as_array()
        .unwrap()
        .iter()
        .map(|log| (log["id"].as_str().unwrap(), log["status"].as_str().unwrap()))
        .collect();
    let expected = [
        ("a900da7e-75f4-44f2-b4c7-45fedda7bd7e", "failed"),
        ("670bb95d-4b63-4e6b-afd9-3c8c90fddce6", "pending"),
        ("b7e04aae-9006-4cbe-af44-fad162f7ae03", "failed"),
        ("361b2c6a-ae11-491e-ae24-3c193f94f213", "delivered"),
        ("fe115858-845d-4fd4-9e90-4129207696b4", "read"),
    ];
    assert_eq!(logs, expected);
    let path = format!("/v1/broadcasts/{BROADCAST}/logs?status=read");
    let log = service.data(&path).await[0].take();
    for (status, at) in [
        ("sent", "2025-06-12T01:00:03.000Z"),
        ("delivered", "2025-06-12T01:00:05.000Z"),
        ("read", "2025-06-12T01:12:44.000Z"),
    ] {
        assert_eq!(log["status_times"][status], json!({"at": at, "source": "channel"}));
    }
    let failed = service.data(&format!("/v1/broadcasts/{BROADCAST}/logs?status=failed")).await;
    assert_eq!(failed[0]["status_times"]["failed"]["at"], "2025-06-12T01:00:09.000Z");
    assert_eq!(failed[1]["whatsapp_message_id"], Value::Null);

    let list = service.data("/v1/broadcasts").await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["id"], BROADCAST);
    assert_eq!(list[0]["failed"], 2);
}

#[sqlx::test]
async fn time_of_the_first_observation_of_a_status_is_kept(db: PgPool) {
    let service = Service::start(db).await;
    let message = |text: &str| json!({"data_event": "status_message", "id": "m", "status": "sent", "text": text});
    service.post(message("one").to_string()).await;
    let first = service.data("/v1/messages/m").await;
    service.post(message("two").to_string()).await;
    let second = service.data("/v1/messages/m").await;
    assert_eq!(second["status_times"]["sent"], first["status_times"]["sent"]);
    assert_eq!(second["received_at"], first["received_at"]);
}

#[sqlx::test]
async fn error_code_and_title_always_come_from_the_same_report(db: PgPool) {
    let service = Service::start(db).await;
    let log = |code: i64, title: &str| {
        json!({"data_event": "broadcast_log_status", "id": "l", "messages_broadcast_id": "b",
            "status": "failed", "messages_response": {"errors": [{"code": code, "title": title}]}})
    };
    for order in [[131_026, 131_049], [131_049, 131_026]] {
        service.execute("truncate event, broadcast_log").await;
        for code in order {
            let title = if code == 131_026 { "Undeliverable" } else { "Ecosystem" };
            service.post(log(code, title).to_string()).await;
        }
        let logs = service.data("/v1/broadcasts/b/logs").await;
        assert_eq!(
            (&logs[0]["error_code"], &logs[0]["error_title"]),
            (&json!(131_049), &json!("Ecosystem"))
        );
    }
}

#[sqlx::test]
async fn message_status_never_goes_backwards(db: PgPool) {
    let service = Service::start(db).await;
    let cases = [
        ("sent created", "sent"),
        ("read sent delivered", "read"),
        ("failed sent", "failed"),
        ("sent failed delivered", "delivered"),
        ("delivered failed", "delivered"),
        ("played created", "read"),
        ("pending created", "pending"),
        ("warning", "null"),
    ];
    for (i, (statuses, expected)) in cases.into_iter().enumerate() {
        for status in statuses.split(' ') {
            let body = json!({
                "data_event": "status_message", "id": format!("m{i}"), "room_id": "r",
                "status": status, "participant_type": "agent",
            });
            service.post(body.to_string()).await;
        }
        let message = service.data(&format!("/v1/messages/m{i}")).await;
        let expected = if expected == "null" { Value::Null } else { json!(expected) };
        assert_eq!(message["status"], expected, "{statuses}");
    }
    assert_eq!(service.data("/v1/messages/m7").await["other_statuses"], json!(["warning"]));
}
