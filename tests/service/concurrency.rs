//! Concurrent clients: nothing is lost or counted twice, and commits come before responses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::harness::{ORGANIZATION, Service};

#[sqlx::test]
async fn twenty_thousand_messages_from_two_hundred_clients_are_all_counted(db: PgPool) {
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
                    let response = service.post(body.clone()).await;
                    assert!(response.status.is_success(), "{:?}", response.json());
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

#[sqlx::test]
async fn concurrent_duplicates_on_two_replicas_have_one_effect(db: PgPool) {
    const BODIES: usize = 40;
    const DELIVERIES: usize = 8;
    let replicas =
        [Arc::new(Service::start(db.clone()).await), Arc::new(Service::start(db.clone()).await)];
    let mut senders = JoinSet::new();
    for delivery in 0..DELIVERIES {
        for i in 0..BODIES {
            let service = replicas[delivery % 2].clone();
            let body = json!({"data_event": "status_message", "id": format!("m{i}")}).to_string();
            senders.spawn(async move {
                let response = service.post(body).await;
                assert!(response.status.is_success(), "{:?}", response.json());
                let data = response.json()["data"].take();
                (i, data["event_id"].to_string(), data["duplicate"] == false)
            });
        }
    }
    let responses = senders.join_all().await;
    for body in 0..BODIES {
        let of_body = || responses.iter().filter(|(i, ..)| *i == body);
        assert_eq!(
            of_body().filter(|(.., is_first)| *is_first).count(),
            1,
            "exactly one delivery is the first"
        );
        let ids: BTreeSet<&String> = of_body().map(|(_, id, _)| id).collect();
        assert_eq!(ids.len(), 1, "all responses have the same event id");
    }
    let counts: (i64, i64, i64) = sqlx::query_as(
        "select count(*), min(deliveries)::bigint, max(deliveries)::bigint from event",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert_eq!(counts, (BODIES as i64, DELIVERIES as i64, DELIVERIES as i64));
    let sums: (i64, i64) =
        sqlx::query_as("select sum(applied)::bigint, sum(duplicate)::bigint from ledger")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(sums, (40, 280));
}

#[sqlx::test]
async fn events_are_not_acknowledged_before_their_commit(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut blocking = db.begin().await.unwrap();
    let lock = "lock table event in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *blocking).await.unwrap();
    let body = json!({"data_event": "status_message", "id": "m"}).to_string();
    let mut posting = std::pin::pin!(service.post(body));
    let early = tokio::time::timeout(Duration::from_millis(600), &mut posting).await;
    assert!(early.is_err(), "response before the commit: {early:?}");
    blocking.rollback().await.unwrap();
    assert_eq!(posting.await.status, StatusCode::OK);
}
