//! Many clients at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::harness::{ORGANIZATION, Service};

#[sqlx::test]
async fn two_hundred_clients_post_twenty_thousand_messages_and_it_adds_up(db: PgPool) {
    const CLIENTS: usize = 200;
    const MESSAGES: usize = 20_000;
    let service = Arc::new(Service::start(db).await);
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (service, next) = (service.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= MESSAGES {
                    return;
                }
                let body = json!({
                    "data_event": "receive_message_from_customer", "id": format!("m{i}"),
                    "room_id": format!("r{}", i % 700), "organization_id": ORGANIZATION,
                    "text": "halo", "status": "created", "participant_type": "customer",
                    "created_at": "2025-06-12T02:15:03.000Z", "sender_id": format!("s{}", i % 700),
                    "room": {"id": format!("r{}", i % 700), "unread_count": i,
                        "last_activity_at": 1_749_694_503 + i},
                });
                let body = body.to_string();
                for _ in 0..if i.is_multiple_of(10) { 2 } else { 1 } {
                    let answer = service.post(body.clone()).await;
                    assert!(answer.status.is_success(), "{:?}", answer.json());
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(service.count("event").await, MESSAGES as i64);
    assert_eq!(service.count("message").await, MESSAGES as i64);
    assert_eq!(service.count("room").await, 700);
    let hours = service.data("/v1/ledger").await;
    let sum = |name: &str| -> i64 {
        hours.as_array().unwrap().iter().map(|hour| hour[name].as_i64().unwrap()).sum()
    };
    assert_eq!(sum("received"), 22_000);
    assert_eq!((sum("applied"), sum("duplicate")), (20_000, 2_000));
    assert_eq!(service.data("/v1/rooms/r699").await["unread_count"], 19_599);
}
