//! Ports of the real binary.

use std::time::Duration;

use reqwest::StatusCode;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::binary::{DEADLINE, Process, post};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, settings};

#[sqlx::test(migrations = false)]
async fn api_port_has_everything_but_webhooks(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__API__LISTEN".into(), "127.0.0.1:0".into());
    settings.insert("RECEIVER__HTTP__DRAIN_DELAY".into(), "1s".into());
    let service = Process::start(settings).await;
    assert_ne!(service.url, service.api);
    let client = reqwest::Client::new();
    let get = async |url: &str, path: &str| {
        let request = client.get(format!("{url}{path}")).bearer_auth(KEY_OF_ALL);
        request.send().await.unwrap().status()
    };
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), StatusCode::OK);
    assert_eq!(post(&client, &service.api, body("01")).await.unwrap(), StatusCode::NOT_FOUND);
    for path in ["/v1/rooms", "/openapi.json", "/docs", "/api/open/v1/rooms"] {
        assert_eq!(get(&service.url, path).await, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(get(&service.api, path).await, StatusCode::OK, "{path}");
    }

    // Both ports drain: connections are accepted, and each response closes its own.
    service.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    for url in [&service.url, &service.api] {
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut response = String::new();
        let read = stream.read_to_string(&mut response);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    }
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}
