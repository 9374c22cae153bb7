//! Many clients, slow ones, and such as never end: what one connection may cost.

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

use super::binary::{DEADLINE, Process, post};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, TOKEN, settings, webhook};

/// Starts the service with some settings changed.
async fn start(db: &PgPool, changed: &[(&str, &str)]) -> Process {
    let mut settings: BTreeMap<String, String> = settings(&db.connect_options());
    settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Process::start(settings).await
}

/// A client that does what it likes.
struct Client(TcpStream);

impl Client {
    async fn connect(service: &Process) -> Self {
        let address = service.url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// All that the service says until it closes the connection.
    async fn hear(&mut self) -> std::io::Result<String> {
        let mut said = String::new();
        let heard = self.0.read_to_string(&mut said);
        tokio::time::timeout(DEADLINE, heard).await.expect("it was never closed")?;
        Ok(said)
    }

    /// Asks for what is not there, and stays connected.
    async fn ask(&mut self) -> String {
        self.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut answer = [0; 4096];
        let heard = tokio::time::timeout(DEADLINE, self.0.read(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer[..heard.unwrap()]).into_owned()
    }
}

/// A webhook as bytes, of which the last ones may be missing.
fn raw_webhook(body: &[u8], length: usize) -> Vec<u8> {
    let head =
        format!("POST /webhooks/qontak/{TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}");
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

/// Waits until somebody new is served.
async fn wait_for_room(service: &Process) {
    let served = async {
        while post(&reqwest::Client::new(), &service.url, body("01")).await.unwrap() != 200 {}
    };
    tokio::time::timeout(DEADLINE, served).await.expect("there is no room again");
}

#[sqlx::test(migrations = false)]
async fn connection_with_incomplete_request_head_is_closed_after_timeout(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__HEADER_TIMEOUT", "1s")]).await;
    let mut silent = Client::connect(&service).await;
    let mut slow = Client::connect(&service).await;
    slow.send("POST /webhooks/qo").await;
    let mut kept = Client::connect(&service).await;
    assert!(kept.ask().await.starts_with("HTTP/1.1 404"));

    assert_eq!(silent.hear().await.unwrap(), "");
    assert_eq!(slow.hear().await.unwrap(), "");
    // Between requests there is more time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(kept.ask().await.starts_with("HTTP/1.1 404"));
}

#[sqlx::test(migrations = false)]
async fn idle_connection_is_closed_after_timeout(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")]).await;
    let mut idle = Client::connect(&service).await;
    assert!(idle.ask().await.starts_with("HTTP/1.1 404"));
    assert_eq!(idle.hear().await.unwrap(), "");
}

#[sqlx::test(migrations = false)]
async fn connections_above_the_limit_get_503_and_others_are_unaffected(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__MAX_CONNECTIONS", "2")]).await;
    let mut inside = [Client::connect(&service).await, Client::connect(&service).await];
    for client in &mut inside {
        client.ask().await;
    }
    let silent = Client::connect(&service).await;
    let mut busy = Client::connect(&service).await;
    busy.send(raw_webhook(&[b' '; 4096], 4096)).await;
    for mut refused in [silent, busy] {
        let said = refused.hear().await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("\r\nretry-after: 2"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], 503);
        assert_eq!(body["error"]["messages"][0], "too many connections, try again later");
    }
    for client in &mut inside {
        assert!(client.ask().await.starts_with("HTTP/1.1 404"));
    }
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("connections_refused_total 2"), "{metrics}");

    drop(inside);
    wait_for_room(&service).await;
}

#[sqlx::test(migrations = false)]
async fn client_that_reads_no_responses_is_disconnected(db: PgPool) {
    let settings =
        [("RECEIVER__HTTP__MAX_CONNECTIONS", "1"), ("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")];
    let service = start(&db, &settings).await;
    let mut deaf = Client::connect(&service).await;
    let requests = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let shout = async { while deaf.0.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, shout).await.expect("it was never closed");
    wait_for_room(&service).await;
}

#[sqlx::test(migrations = false)]
async fn oversized_request_head_is_rejected_with_431(db: PgPool) {
    let service = start(&db, &[]).await;
    let request = "GET /nowhere HTTP/1.1\r\nhost: x\r\n";
    let mut many = Client::connect(&service).await;
    many.send(format!("{request}{}\r\n", "a: b\r\n".repeat(101))).await;
    assert!(many.hear().await.unwrap().starts_with("HTTP/1.1 431"));

    let mut long = Client::connect(&service).await;
    long.send(format!("{request}a: {}\r\n\r\n", "b".repeat(60_000))).await;
    // The answer is lost if it is closed before all of the head was read.
    let said = long.hear().await.unwrap_or_default();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");

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
    // What they promise costs nothing.
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
    let refused = async {
        loop {
            let request = client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url));
            let answer = request.body(body("01")).send().await.unwrap();
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                break answer;
            }
        }
    };
    let refused = tokio::time::timeout(DEADLINE, refused).await.expect("nothing was refused");
    assert_eq!(refused.headers()["retry-after"], "2");
    let said: Value = refused.json().await.unwrap();
    assert_eq!(said["error"]["messages"][0], "too many bodies, try again later");

    drop(slow);
    wait_for_room(&service).await;
}

/// A client of HTTP/2 that takes so many bytes of each answer ahead of reading it.
async fn connect_by_http_2(service: &Process, window: u32) -> http2::SendRequest<Body> {
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
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
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
    let listen = || {
        let request = Request::get(&url).header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
        request.body(Body::empty()).unwrap()
    };
    let mut client = connect_by_http_2(&service, 1).await;
    let deaf = client.send_request(listen()).await.unwrap();
    let mut attentive = connect_by_http_2(&service, 1000).await;
    let mut attentive = attentive.send_request(listen()).await.unwrap().into_body();
    for said in ["retry:", ": heartbeat", ": heartbeat"] {
        let frame = tokio::time::timeout(DEADLINE, attentive.frame()).await.unwrap();
        let text = frame.expect("it was cut").unwrap().into_data().unwrap();
        assert!(text.starts_with(said.as_bytes()), "{text:?}");
    }
    let place = async {
        while client.send_request(listen()).await.unwrap().status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    // On the same connection, which goes on.
    tokio::time::timeout(DEADLINE, place).await.expect("it keeps its place");
    assert!(deaf.into_body().collect().await.is_err());
}

#[sqlx::test(migrations = false)]
async fn http_2_response_that_is_never_read_is_aborted(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__IDLE_TIMEOUT", "1s")]).await;
    let mut client = connect_by_http_2(&service, 1).await;
    let url = format!("{}/openapi.json", service.url);
    let request = Request::get(url).body(Body::empty()).unwrap();
    let untaken = client.send_request(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(untaken.into_body().collect().await.is_err());
}

#[sqlx::test(migrations = false)]
async fn slow_http_2_client_receives_a_complete_export(db: PgPool) {
    let settings =
        [("RECEIVER__HTTP__IDLE_TIMEOUT", "2s"), ("RECEIVER__KEY__ALL__SCOPES", "read,export")];
    let service = start(&db, &settings).await;
    // One more than are fetched at a time.
    let messages = "insert into message (organization_id, message_id, received_at, text, text_rank)
        select '1', id, now(), repeat('x', 300), gen_random_uuid() from generate_series(1, 501) as id";
    sqlx::query(messages).execute(&db).await.unwrap();
    let mut client = connect_by_http_2(&service, 16 * 1024).await;
    let request = Request::get(format!("{}/v1/messages?format=ndjson", service.url));
    let request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
    let answer = client.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
    let (mut body, mut lines) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let part = frame.expect("it was cut").into_data().unwrap();
        lines += part.iter().filter(|byte| **byte == b'\n').count();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(lines, 501);
}
