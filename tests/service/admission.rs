//! Admission of connections: strangers are closed first, floods are cut off, `Host` is required.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use reqwest::StatusCode;
use sqlx::PgPool;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::binary::{DEADLINE, Process, post};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, TOKEN};
use super::limits::{Client, connect_by_http_2, raw_handshake, start};

const UNKNOWN_PATH: &str = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";

/// Connects from another address of this machine.
async fn connect_from(address: &str, service: &Process) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let to = service.url.strip_prefix("http://").unwrap().parse().unwrap();
    let stream: TcpStream = socket.connect(to).await.unwrap();
    Client(stream)
}

/// Value of a metric without labels; 0 if it is absent.
pub async fn metric(service: &Process, name: &str) -> f64 {
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[sqlx::test(migrations = false)]
async fn response_without_valid_token_or_key_closes_the_connection(db: PgPool) {
    let service = start(&db, &[]).await;
    let wrong_key = "GET /v1/rooms HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n\r\n";
    for request in [UNKNOWN_PATH, wrong_key, "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stranger = Client::connect(&service).await;
        stranger.send(request).await;
        let response = stranger.read_to_end().await.unwrap();
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
    }
    let valid_key =
        format!("GET /v1/rooms HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY_OF_ALL}\r\n\r\n");
    // A proxy sends requests of strangers over the same connection.
    for first in [raw_handshake(), valid_key] {
        let mut client = Client::connect(&service).await;
        for (request, status) in [(first.as_str(), "200"), (UNKNOWN_PATH, "404"), (&first, "200")] {
            let response = client.request(request).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
            assert!(!response.contains("connection: close"), "{response}");
        }
    }
}

#[sqlx::test(migrations = false)]
async fn http_2_connection_without_valid_token_or_key_is_closed_after_its_response(db: PgPool) {
    let service = start(&db, &[]).await;
    let mut stranger = connect_by_http_2(&service, 1000).await;
    let mut client = connect_by_http_2(&service, 1000).await;
    let request = |path: &str| {
        let request = Request::get(format!("{}{path}", service.url));
        let request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
        request.body(Body::empty()).unwrap()
    };
    let response = stranger.send_request(request("/nowhere")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let closed = async {
        while stranger.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, closed).await.expect("the connection was never closed");
    for path in ["/v1/rooms", "/nowhere", "/v1/rooms"] {
        client.ready().await.unwrap();
        client.send_request(request(path)).await.unwrap();
    }
}

#[sqlx::test(migrations = false)]
async fn strangers_cannot_keep_webhooks_out(db: PgPool) {
    let service = start(&db, &[("RECEIVER__HTTP__MAX_CONNECTIONS", "16")]).await;
    let mut kept = Client::connect(&service).await;
    kept.shake_hands().await;
    // Connected, but it has not sent its head yet.
    let mut slow = Client::connect(&service).await;
    let mut strangers = Vec::new();
    for _ in 0..100 {
        strangers.push(connect_from("127.0.0.2", &service).await);
    }
    assert!(kept.shake_hands().await.starts_with("HTTP/1.1 200"));
    assert!(slow.shake_hands().await.starts_with("HTTP/1.1 200"));
    let client = reqwest::Client::new();
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), StatusCode::OK);
    assert_eq!(strangers[0].read_to_end().await.unwrap_or_default(), "");
    // 12 of 16 connections may be anonymous; the last one is no longer.
    assert_eq!(metric(&service, "qontak_receiver_connections_anonymous").await, 11.0);
    assert_eq!(metric(&service, "qontak_receiver_connections_evicted_total").await, 89.0);
    assert_eq!(metric(&service, "qontak_receiver_connections_refused_total").await, 0.0);
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let lines = log.iter().filter(|line| line.contains("connection limit reached")).count();
    assert_eq!(lines, 1, "{log:?}");
}

#[sqlx::test(migrations = false)]
async fn floods_of_http_2_control_frames_are_cut_off(db: PgPool) {
    let service = start(&db, &[]).await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0].to_vec();
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[1; 8]].concat();
    let priority = [0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1].to_vec();
    for (i, flood) in [&settings, &ping, &priority].into_iter().enumerate() {
        let mut client = Client::connect(&service).await;
        client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()).await;
        let (mut reading, mut writing) = client.0.into_split();
        let flooding = async {
            while tokio::io::AsyncWriteExt::write_all(&mut writing, flood).await.is_ok() {}
        };
        let reading = async { _ = tokio::io::copy(&mut reading, &mut tokio::io::sink()).await };
        let both = async { tokio::join!(flooding, reading) };
        timeout(DEADLINE, both).await.expect("the connection was never closed");
        assert_eq!(
            metric(&service, "qontak_receiver_connections_flooded_total").await,
            (i + 1) as f64
        );
    }
    let client = reqwest::Client::new();
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn missing_or_repeated_host_is_a_400(db: PgPool) {
    let service = start(&db, &[]).await;
    for (version, hosts, status) in [
        ("HTTP/1.1", "", "400 Bad Request"),
        ("HTTP/1.1", "host: a\r\nHost: a\r\n", "400 Bad Request"),
        ("HTTP/1.0", "host: a\r\nhost: b\r\n", "400 Bad Request"),
        ("HTTP/1.1", "host: a\r\n", "200 OK"),
        ("HTTP/1.0", "", "200 OK"),
    ] {
        let mut client = Client::connect(&service).await;
        let body = r#"{"verify_info":"x"}"#;
        let head = format!(
            "POST /webhooks/qontak/{TOKEN} {version}\r\n{hosts}content-length: {}\r\n\r\n",
            body.len()
        );
        let response = client.request(&format!("{head}{body}")).await;
        assert!(response.starts_with(&format!("{version} {status}\r\n")), "{hosts}: {response}");
        if status.starts_with("400") {
            assert!(response.contains("exactly one Host header is required"), "{response}");
        }
    }
}
