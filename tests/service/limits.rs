//! Limits of connections, requests and responses: slow, idle, stalled and too many clients.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::binary::{DEADLINE, Process, post};
use super::bodies::large_bodies;
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, TOKEN, settings, webhook};

/// Starts the service with these settings changed.
pub async fn start(db: &PgPool, changed: &[(&str, &str)]) -> Process {
    let mut settings: BTreeMap<String, String> = settings(&db.connect_options());
    settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Process::start(settings).await
}

/// TCP client that sends arbitrary bytes.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn connect(service: &Process) -> Self {
        let address = service.url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until the service closes the connection.
    pub async fn read_to_end(&mut self) -> std::io::Result<String> {
        let mut text = String::new();
        let received = self.0.read_to_string(&mut text);
        tokio::time::timeout(DEADLINE, received).await.expect("the connection was never closed")?;
        Ok(text)
    }

    /// Sends a request with a valid token, after which the connection stays open.
    pub async fn shake_hands(&mut self) -> String {
        self.request(&raw_handshake()).await
    }

    /// Sends a request and reads the response.
    pub async fn request(&mut self, request: &str) -> String {
        self.send(request).await;
        let mut response = [0; 4096];
        let received = tokio::time::timeout(DEADLINE, self.0.read(&mut response)).await.unwrap();
        String::from_utf8_lossy(&response[..received.unwrap()]).into_owned()
    }
}

/// A handshake as raw bytes: a request with a valid token that stores nothing.
pub fn raw_handshake() -> String {
    let body = r#"{"verify_info":"x"}"#;
    String::from_utf8(raw_webhook(body.as_bytes(), body.len())).unwrap()
}

/// Webhook as raw bytes; `body` may be shorter than the announced length.
pub fn raw_webhook(body: &[u8], length: usize) -> Vec<u8> {
    let head =
        format!("POST /webhooks/qontak/{TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}");
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

/// Waits until a new connection is served.
pub async fn wait_for_free_connection(service: &Process) {
    let served = async {
        while post(&reqwest::Client::new(), &service.url, body("01")).await.unwrap() != 200 {}
    };
    tokio::time::timeout(DEADLINE, served).await.expect("no connection became free");
}

#[sqlx::test(migrations = false)]
async fn connection_with_incomplete_request_head_is_closed_after_timeout(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__HEADER_TIMEOUT", "1s")]).await;
    let mut silent = Client::connect(&service).await;
    let mut slow = Client::connect(&service).await;
    slow.send("POST /webhooks/qo").await;
    let mut active = Client::connect(&service).await;
    assert!(active.shake_hands().await.starts_with("HTTP/1.1 200"));

    assert_eq!(silent.read_to_end().await.unwrap(), "");
    assert_eq!(slow.read_to_end().await.unwrap(), "");
    // The timeout between requests is longer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(active.shake_hands().await.starts_with("HTTP/1.1 200"));
}

#[sqlx::test(migrations = false)]
async fn idle_connection_is_closed_after_timeout(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")]).await;
    let mut idle = Client::connect(&service).await;
    assert!(idle.shake_hands().await.starts_with("HTTP/1.1 200"));
    assert_eq!(idle.read_to_end().await.unwrap(), "");
}

#[sqlx::test(migrations = false)]
async fn connections_above_the_limit_get_503_and_others_are_unaffected(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__MAX_CONNECTIONS", "2")]).await;
    let mut clients = [Client::connect(&service).await, Client::connect(&service).await];
    for client in &mut clients {
        client.shake_hands().await;
    }
    let silent = Client::connect(&service).await;
    let mut busy = Client::connect(&service).await;
    busy.send(raw_webhook(&[b' '; 4096], 4096)).await;
    for mut rejected in [silent, busy] {
        let text = rejected.read_to_end().await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("\r\nretry-after: 2"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], 503);
        assert_eq!(body["error"]["messages"][0], "too many connections, retry later");
    }
    for client in &mut clients {
        assert!(client.shake_hands().await.starts_with("HTTP/1.1 200"));
    }
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("qontak_receiver_connections_refused_total 2"), "{metrics}");

    drop(clients);
    wait_for_free_connection(&service).await;
}

#[sqlx::test(migrations = false)]
async fn client_that_reads_no_responses_is_disconnected(db: PgPool) {
    let settings =
        [("RECEIVER__HTTP__MAX_CONNECTIONS", "1"), ("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")];
    let service = start(&db, &settings).await;
    let mut stalled = Client::connect(&service).await;
    let requests = raw_handshake().repeat(1000);
    let flood = async { while stalled.0.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, flood).await.expect("the connection was never closed");
    wait_for_free_connection(&service).await;
}

#[sqlx::test(migrations = false)]
async fn oversized_request_head_is_rejected_with_431(db: PgPool) {
    let service = start(&db, &[]).await;
    let request = "GET /nowhere HTTP/1.1\r\nhost: x\r\n";
    let mut many = Client::connect(&service).await;
    many.send(format!("{request}{}\r\n", "a: b\r\n".repeat(101))).await;
    assert!(many.read_to_end().await.unwrap().starts_with("HTTP/1.1 431"));

    let mut long = Client::connect(&service).await;
    long.send(format!("{request}a: {}\r\n\r\n", "b".repeat(60_000))).await;
    // The response is lost if the connection closes before the whole head is read.
    let text = long.read_to_end().await.unwrap_or_default();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");

    let status = post(&reqwest::Client::new(), &service.url, body("01")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn slow_uploads_use_bounded_memory(db: PgPool) {
    let settings = [
        ("RECEIVER__HTTP__MAX_BODY_BYTES", "10000"),
        ("RECEIVER__HTTP__MAX_READING_BYTES", "20000"),
        ("RECEIVER__HTTP__BODY_TIMEOUT", "10m"),
    ];
    let service = start(&db, &settings).await;
    let client = reqwest::Client::new();
    // An announced length alone reserves no memory.
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut sender = Client::connect(&service).await;
        sender.send(raw_webhook(b"{", 10_000)).await;
        slow.push(sender);
    }
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), StatusCode::OK);

    for sender in &mut slow[..2] {
        sender.send([b' '; 9990]).await;
    }
    let rejected = async {
        loop {
            let request = client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url));
            let response = request.body(body("01")).send().await.unwrap();
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                break response;
            }
        }
    };
    let rejected = tokio::time::timeout(DEADLINE, rejected).await.expect("no upload was rejected");
    assert_eq!(rejected.headers()["retry-after"], "2");
    let text: Value = rejected.json().await.unwrap();
    assert_eq!(text["error"]["messages"][0], "too many request bodies, retry later");

    drop(slow);
    wait_for_free_connection(&service).await;
}

#[sqlx::test(migrations = false)]
async fn large_bodies_of_any_structure_use_bounded_memory(db: PgPool) {
    let service = start(&db, &[]).await;
    let client = reqwest::Client::new();
    post(&client, &service.url, body("01")).await.unwrap();
    let before = service.peak_resident_mib();
    // In a tree of values the first ones take a hundred times their size.
    let worst = ["small objects in an array", "many small objects", "the shortest key many times"];
    for body in large_bodies().iter().filter(|body| worst.contains(&body.name.as_str())) {
        let mut clients = JoinSet::new();
        for _ in 0..64 {
            let (client, url, bytes) = (client.clone(), service.url.clone(), body.bytes.clone());
            clients.spawn(async move { post(&client, &url, bytes.to_vec()).await.unwrap() });
        }
        // Those that find no place in their share in time are rejected with 503.
        let statuses = clients.join_all().await;
        assert!(statuses.contains(&StatusCode::OK), "{}: {statuses:?}", body.name);
        let growth = service.peak_resident_mib() - before;
        println!("{}: {growth} MiB more than {before} MiB", body.name);
        // 16 MiB are the share of large bodies, 2 MiB that in the queue. Without shares it is 93 MiB and more.
        assert!(growth <= 80, "{}: {growth} MiB more than before", body.name);
    }
}

/// HTTP/2 client with this flow-control window for each response.
pub async fn connect_by_http_2(service: &Process, window: u32) -> http2::SendRequest<Body> {
    let stream = TokioIo::new(Client::connect(service).await.0);
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    let handshake = protocol.initial_stream_window_size(window).handshake(stream);
    let (client, connection) = handshake.await.unwrap();
    tokio::task::spawn(connection);
    client
}

#[sqlx::test(migrations = false)]
async fn webhooks_are_accepted_over_http_2(db: PgPool) {
    let service = start(&db, &[]).await;
    let mut client = connect_by_http_2(&service, 1000).await;
    let mut request = webhook(TOKEN, body("01"));
    *request.uri_mut() = format!("{}{}", service.url, request.uri()).parse().unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn stalled_http_2_stream_subscriber_is_disconnected(db: PgPool) {
    let settings = [
        ("RECEIVER__HTTP__IDLE_TIMEOUT", "1s"),
        ("RECEIVER__STREAM__HEARTBEAT", "3s"),
        ("RECEIVER__STREAM__MAX_LISTENERS", "2"),
    ];
    let service = start(&db, &settings).await;
    let url = format!("{}/v1/stream", service.url);
    let subscribe = || {
        let request = Request::get(&url).header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
        request.body(Body::empty()).unwrap()
    };
    let mut client = connect_by_http_2(&service, 1).await;
    let stalled = client.send_request(subscribe()).await.unwrap();
    let mut reading = connect_by_http_2(&service, 1000).await;
    let mut reading = reading.send_request(subscribe()).await.unwrap().into_body();
    for text in ["retry:", ": heartbeat", ": heartbeat"] {
        let frame = tokio::time::timeout(DEADLINE, reading.frame()).await.unwrap();
        let data = frame.expect("the response was aborted").unwrap().into_data().unwrap();
        assert!(data.starts_with(text.as_bytes()), "{data:?}");
    }
    let reconnected = async {
        while client.send_request(subscribe()).await.unwrap().status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    // The connection itself stays open.
    tokio::time::timeout(DEADLINE, reconnected)
        .await
        .expect("the stalled subscriber was not disconnected");
    assert!(stalled.into_body().collect().await.is_err());
}

#[sqlx::test(migrations = false)]
async fn http_2_response_that_is_never_read_is_aborted(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")]).await;
    let mut client = connect_by_http_2(&service, 1).await;
    let url = format!("{}/openapi.json", service.url);
    let request = Request::get(url).body(Body::empty()).unwrap();
    let unread = client.send_request(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(unread.into_body().collect().await.is_err());
}

#[sqlx::test(migrations = false)]
async fn slow_http_2_client_receives_a_complete_export(db: PgPool) {
    let settings =
        [("RECEIVER__HTTP__IDLE_TIMEOUT", "2s"), ("RECEIVER__KEY__ALL__SCOPES", "read,export")];
    let service = start(&db, &settings).await;
    // One row more than one fetch reads.
    let messages = "insert into message (organization, message_id, received_at, text, text_rank)
        select (number_organizations(array['1']))[1], id, now(), repeat('x', 300), gen_random_uuid() from generate_series(1, 501) as id;
        call rebuild_derived_columns('message')";
    sqlx::raw_sql(messages).execute(&db).await.unwrap();
    let mut client = connect_by_http_2(&service, 16 * 1024).await;
    let request = Request::get(format!("{}/v1/messages?format=ndjson", service.url));
    let request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
    let response = client.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
    let (mut body, mut lines) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let part = frame.expect("the response was aborted").into_data().unwrap();
        lines += part.iter().filter(|byte| **byte == b'\n').count();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(lines, 501);
}
