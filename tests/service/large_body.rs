//! Large bodies have a share of memory, parser and queue; small ones do not wait behind them.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::admission::metric;
use super::binary::{DEADLINE, Process, post};
use super::fixtures::body;
use super::harness::{TOKEN, gzip, webhook};
use super::limits::{Client, connect_by_http_2, raw_webhook, start};

const LARGE_BYTES: usize = 150_000;

/// JSON text of this size that is no event.
fn large(size: usize, i: usize) -> Vec<u8> {
    let start = format!("[{i}");
    format!("{start}{}]", ",1".repeat((size - start.len()) / 2)).into_bytes()
}

/// Posts a body that is compressed; returns status and text of the response.
async fn post_gzip(service: &Process, body: &[u8]) -> (StatusCode, String) {
    let request = reqwest::Client::new().post(format!("{}/webhooks/qontak/{TOKEN}", service.url));
    let request = request.header("content-encoding", "gzip").body(gzip(body));
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[sqlx::test(migrations = false)]
async fn large_bodies_wait_for_their_share_of_memory_and_small_ones_do_not(db: PgPool) {
    // Two large bodies are a quarter.
    let settings = [
        ("RECEIVER__HTTP__MAX_BODY_BYTES", "200000"),
        ("RECEIVER__HTTP__MAX_READING_BYTES", "1600000"),
        ("RECEIVER__HTTP__BODY_TIMEOUT", "10m"),
    ];
    let service = start(&db, &settings).await;
    let mut slow = Vec::new();
    for i in 0..2 {
        let (mut sender, body) = (Client::connect(&service).await, large(LARGE_BYTES, i));
        sender.send(raw_webhook(&body[..100_000], body.len())).await;
        slow.push((sender, body));
    }
    let is_rejected = |status: StatusCode, text: &str| {
        status == StatusCode::SERVICE_UNAVAILABLE
            && text.contains("too many large request bodies, retry later")
    };
    // Both must have been noticed before.
    let rejected = async {
        loop {
            let (status, text) = post_gzip(&service, &large(LARGE_BYTES, 2)).await;
            if is_rejected(status, &text) {
                break;
            }
        }
    };
    timeout(DEADLINE, rejected).await.expect("no large body was rejected");
    // Nothing but its length says that it is large.
    let mut sender = Client::connect(&service).await;
    let response = sender.request(&String::from_utf8(raw_webhook(b"[", 100_000)).unwrap()).await;
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    assert!(response.contains("too many large request bodies"), "{response}");

    assert_eq!(post(&reqwest::Client::new(), &service.url, body("01")).await.unwrap(), 200);
    assert_eq!(post_gzip(&service, &body("07")).await.0, StatusCode::OK);

    for (mut sender, body) in slow {
        let rest = body[100_000..].to_vec();
        sender.send(rest).await;
        let response = sender.request("").await;
        assert!(response.starts_with("HTTP/1.1 202"), "{response}");
    }
    let (status, text) = post_gzip(&service, &large(LARGE_BYTES, 3)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
}

#[sqlx::test(migrations = false)]
async fn large_bodies_that_wait_for_the_database_leave_the_queue_to_small_ones(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__MAX_QUEUE_BYTES", "4000000"),
        ("RECEIVER__WRITER__ANSWER_TIMEOUT", "1m"),
    ];
    let service = start(&db, &settings).await;
    let client = reqwest::Client::new();
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), 200);
    let mut lock = db.begin().await.unwrap();
    sqlx::raw_sql("lock table event in access exclusive mode").execute(&mut *lock).await.unwrap();

    let mut posting = JoinSet::new();
    for i in 0..8 {
        let (client, url) = (client.clone(), service.url.clone());
        posting.spawn(async move { post(&client, &url, large(1_000_000, i)).await.unwrap() });
    }
    let queued = async {
        while metric(&service, "qontak_receiver_queue_bytes").await < 1e6 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, queued).await.expect("no large body was queued");
    // If they all went to the queue, they would do so by now.
    sleep(Duration::from_secs(1)).await;
    let queued = metric(&service, "qontak_receiver_queue_bytes").await;
    assert!(queued < 2.2e6, "{queued} bytes of large bodies are queued");
    let small = async { post(&client, &service.url, body("07")).await.unwrap() };
    let unlock = async {
        sleep(Duration::from_millis(500)).await;
        lock.rollback().await.unwrap();
    };
    let (status, ()) = tokio::join!(small, unlock);
    assert_eq!(status, StatusCode::OK);
    // What waited outside the queue is stored as well.
    for status in posting.join_all().await {
        assert_eq!(status, StatusCode::ACCEPTED);
    }
}

#[sqlx::test(migrations = false)]
async fn large_bodies_that_wait_leave_their_http_2_connection_to_small_ones(db: PgPool) {
    // One large body is a quarter.
    let settings = [
        ("RECEIVER__HTTP__MAX_BODY_BYTES", "200000"),
        ("RECEIVER__HTTP__MAX_READING_BYTES", "800000"),
        ("RECEIVER__HTTP__BODY_TIMEOUT", "10m"),
        ("RECEIVER__WRITER__ANSWER_TIMEOUT", "10m"),
    ];
    let service = start(&db, &settings).await;
    let (mut slow, slow_body) = (Client::connect(&service).await, large(190_000, 0));
    slow.send(raw_webhook(&slow_body[..100_000], slow_body.len())).await;
    // It must have been noticed before.
    sleep(Duration::from_secs(1)).await;

    let mut client = connect_by_http_2(&service, 1000).await;
    let mut send = |body: Vec<u8>| {
        let mut request = webhook(TOKEN, body);
        *request.uri_mut() = format!("{}{}", service.url, request.uri()).parse().unwrap();
        client.send_request(request)
    };
    let mut waiting = JoinSet::new();
    for i in 1..13 {
        waiting.spawn(send(large(LARGE_BYTES, i)));
    }
    // Each of them has sent as much as it may by then.
    sleep(Duration::from_secs(1)).await;
    let response = timeout(DEADLINE, send(body("01"))).await.expect("it waits with them").unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    slow.send(&slow_body[100_000..]).await;
    assert!(slow.request("").await.starts_with("HTTP/1.1 202"));
    for response in waiting.join_all().await {
        assert_eq!(response.unwrap().status(), StatusCode::ACCEPTED);
    }
}

#[sqlx::test(migrations = false)]
async fn small_bodies_do_not_wait_for_commits_of_large_ones(db: PgPool) {
    let service = start(&db, &[("RECEIVER__WRITER__ANSWER_TIMEOUT", "10m")]).await;
    let client = reqwest::Client::new();
    let mut message: Value = serde_json::from_slice(&body("01")).unwrap();
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), 200);
    let mut lock = db.begin().await.unwrap();
    sqlx::query("select from message for update").fetch_one(&mut *lock).await.unwrap();

    // As many as there are tasks for small ones, and more.
    let mut posting = JoinSet::new();
    for i in 0..4 {
        message["text"] = format!("{i}{}", "x".repeat(LARGE_BYTES)).into();
        let (client, url, body) = (client.clone(), service.url.clone(), message.to_string());
        posting.spawn(async move { post(&client, &url, body.into()).await.unwrap() });
        sleep(Duration::from_millis(300)).await;
    }
    let small = timeout(DEADLINE, post(&client, &service.url, body("07"))).await;
    assert_eq!(small.expect("it waits for large ones").unwrap(), StatusCode::OK);
    lock.rollback().await.unwrap();
    for status in posting.join_all().await {
        assert_eq!(status, StatusCode::OK);
    }
}
