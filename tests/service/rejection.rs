//! Rejected webhooks: status, error envelope, `Retry-After` and limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::fixtures;
use super::harness::{Response, Service, TOKEN, gzip, webhook};

/// Checks the status, and that the first message contains this text.
fn assert_error(response: &Response, status: StatusCode, message: &str) {
    let json = response.json();
    assert_eq!(response.status, status, "{json}");
    assert_eq!(json["status"], "error");
    assert_eq!(json["error"]["code"], status.as_u16());
    let first = json["error"]["messages"][0].as_str().unwrap();
    assert!(first.contains(message), "{first}");
}

/// Body of unknown length, sent in parts with a pause before each.
fn chunked(parts: usize, part: Vec<u8>, pause: Duration) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::task::spawn(async move {
        for _ in 0..parts {
            tokio::time::sleep(pause).await;
            if sender.send(Bytes::from(part.clone())).await.is_err() {
                return;
            }
        }
    });
    Body::new(ChannelBody(receiver))
}

struct ChannelBody(tokio::sync::mpsc::Receiver<Bytes>);

impl axum::body::HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(http_body::Frame::data(part))))
    }
}

#[sqlx::test]
async fn wrong_token_gets_the_same_response_as_an_unknown_path(db: PgPool) {
    let service = Service::start(db).await;
    let mut responses = Vec::new();
    for path in [
        "/nowhere",
        "/webhooks/qontak/wrong",
        "/webhooks/qontak/wrong/",
        "/webhooks/qontak/%ff",
        "/webhooks/qontak/",
        "/webhooks/qontak//",
    ] {
        for method in [Method::POST, Method::GET, Method::PUT, Method::OPTIONS] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("content-type", "image/png")
                .header("content-encoding", "br")
                .header("x-request-id", "one")
                .body(Body::from(vec![b'x'; 2 << 20]));
            responses.push(service.send(request.unwrap()).await);
        }
    }
    assert_error(&responses[0], StatusCode::NOT_FOUND, "not found");
    for response in &responses {
        assert_eq!(response, &responses[0]);
    }
    assert_eq!(service.count("event").await, 0);
}

#[sqlx::test]
async fn other_methods_with_a_valid_token_return_405_with_allow_post(db: PgPool) {
    let service = Service::start(db).await;
    for path in [format!("/webhooks/qontak/{TOKEN}"), format!("/webhooks/qontak/{TOKEN}/")] {
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let request = Request::builder().method(method).uri(&path);
            let response = service.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers["allow"], "POST");
        }
    }
}

#[sqlx::test]
async fn url_with_a_trailing_slash_is_the_same_url(db: PgPool) {
    let service = Service::start(db).await;
    let with_slash = || webhook(&format!("{TOKEN}/"), fixtures::body("01"));
    assert_eq!(service.send(with_slash()).await.json()["data"]["outcome"], "applied");
    assert_eq!(service.post(fixtures::body("01")).await.json()["data"]["duplicate"], true);
    let response = service.send(webhook(&format!("{TOKEN}/"), r#"{"verify_info":"x"}"#)).await;
    assert_eq!(response.bytes, br#"{"verify_info":"x"}"#);
    let two_slashes = service.send(webhook(&format!("{TOKEN}//"), fixtures::body("07"))).await;
    assert_error(&two_slashes, StatusCode::NOT_FOUND, "not found");
}

#[sqlx::test]
async fn content_encoding_may_say_that_there_is_none(db: PgPool) {
    let service = Service::start(db).await;
    let encoded = async |encoding: &str, body: Vec<u8>| {
        let mut request = webhook(TOKEN, body);
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        service.send(request).await
    };
    let plain = fixtures::body("01");
    for encoding in ["", "identity", "None", "UTF-8", "utf8", " Identity ", "identity, utf-8"] {
        let response = encoded(encoding, plain.clone()).await;
        assert_eq!(response.status, StatusCode::OK, "{encoding}");
    }
    let response = encoded("identity, GZIP", gzip(&plain)).await;
    assert_eq!(response.json()["data"]["duplicate"], true);
    for encoding in ["br", "gzip, gzip", "deflate", "utf-16"] {
        let response = encoded(encoding, plain.clone()).await;
        assert_error(&response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding");
    }
}

#[sqlx::test]
async fn body_above_the_size_limit_is_rejected_plain_chunked_or_compressed(db: PgPool) {
    let limit = [("RECEIVER__HTTP__MAX_BODY_BYTES", "4000")];
    let service = Service::start_with(db, &limit).await;
    let message = "larger than 4000 bytes";

    let plain = service.post(vec![b' '; 4001]).await;
    assert_error(&plain, StatusCode::PAYLOAD_TOO_LARGE, message);

    let unknown_length = chunked(5, vec![b' '; 1000], Duration::ZERO);
    let response = service.send(webhook(TOKEN, unknown_length)).await;
    assert_error(&response, StatusCode::PAYLOAD_TOO_LARGE, message);

    let bomb = gzip(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < 12_000);
    for bytes in [bomb, gzip(&vec![b' '; 4001])] {
        let mut request = webhook(TOKEN, bytes);
        request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        let response = service.send(request).await;
        assert_error(&response, StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    assert_eq!(service.count("event").await, 0);
}

#[sqlx::test]
async fn gzip_body_is_the_same_event_as_the_plain_body(db: PgPool) {
    let service = Service::start(db).await;
    let mut request = webhook(TOKEN, gzip(&fixtures::body("01")));
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(service.send(request).await.json()["data"]["outcome"], "applied");
    assert_eq!(service.post(fixtures::body("01")).await.json()["data"]["duplicate"], true);
}

#[sqlx::test]
async fn truncated_gzip_body_is_stored_as_malformed(db: PgPool) {
    let service = Service::start(db).await;
    let mut request = webhook(TOKEN, gzip(&fixtures::body("01"))[..200].to_vec());
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let response = service.send(request).await;
    assert_error(&response, StatusCode::BAD_REQUEST, "invalid UTF-8");
    assert_eq!(service.count("event").await, 1);
}

#[sqlx::test]
async fn body_slower_than_the_timeout_is_rejected_with_408(db: PgPool) {
    let limit = [("RECEIVER__HTTP__BODY_TIMEOUT", "1s")];
    let service = Service::start_with(db, &limit).await;
    let slow = chunked(50, b" ".to_vec(), Duration::from_millis(200));
    let response = service.send(webhook(TOKEN, slow)).await;
    assert_error(&response, StatusCode::REQUEST_TIMEOUT, "timed out after 1s");
}

#[sqlx::test]
async fn only_content_types_that_cannot_be_json_are_rejected_with_415(db: PgPool) {
    let service = Service::start(db).await;
    for content_type in ["image/png", "multipart/form-data; boundary=x", "text/xml", "text/html"] {
        let mut request = webhook(TOKEN, "{}");
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let response = service.send(request).await;
        assert_error(&response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json");
    }
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-8"]
    {
        let mut request = webhook(TOKEN, fixtures::body("01"));
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        assert_eq!(service.send(request).await.status, StatusCode::OK, "{content_type}");
    }
    let mut request = webhook(TOKEN, "{}");
    request.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let response = service.send(request).await;
    assert_error(&response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "gzip");
}

#[sqlx::test]
async fn unavailable_database_returns_503_with_retry_after(db: PgPool) {
    let unreachable = [("DATABASE_URL", "postgres://localhost:1/nowhere?sslmode=disable")];
    let service = Service::start_with(db, &unreachable).await;
    let response = service.post(fixtures::body("01")).await;
    assert_error(&response, StatusCode::SERVICE_UNAVAILABLE, "storage unavailable, retry later");
    assert!(response.headers.contains_key("retry-after"));
    let response = service.get("/v1/rooms").await;
    assert_error(&response, StatusCode::SERVICE_UNAVAILABLE, "storage unavailable, retry later");
    assert!(response.headers.contains_key("retry-after"));
}

#[sqlx::test]
async fn full_write_queue_returns_503_immediately_and_slow_commit_after_timeout(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__MAX_QUEUE_BYTES", "5000"),
        ("RECEIVER__WRITER__ANSWER_TIMEOUT", "100ms"),
    ];
    let service = Service::start_with(db.clone(), &settings).await;
    let mut blocking = db.begin().await.unwrap();
    let lock = "lock table event in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *blocking).await.unwrap();

    let timed_out = async {
        let response = service.post(fixtures::body("01")).await;
        assert_error(&response, StatusCode::SERVICE_UNAVAILABLE, "write timed out after");
    };
    let rejected = async {
        tokio::task::yield_now().await;
        let response = service.post(fixtures::body("07")).await;
        assert_error(&response, StatusCode::SERVICE_UNAVAILABLE, "write queue is full");
        assert!(response.headers.contains_key("retry-after"));
    };
    tokio::join!(timed_out, rejected);
    blocking.rollback().await.unwrap();

    while service.post(fixtures::body("01")).await.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(service.count("event").await, 1);
}

#[sqlx::test]
async fn locked_row_delays_only_events_that_write_it(db: PgPool) {
    let settings = [("RECEIVER__WRITER__TASKS", "1"), ("RECEIVER__WRITER__ANSWER_TIMEOUT", "5s")];
    let service = Arc::new(Service::start_with(db.clone(), &settings).await);
    let message = |id: usize, room: &str| {
        format!(
            r#"{{"data_event":"status_message","id":"m{id}","room_id":"{room}","room":{{"unread_count":{id}}}}}"#
        )
    };
    service.post(message(0, "locked")).await;
    let mut blocking = db.begin().await.unwrap();
    let lock = "select from room where room_id = 'locked' for update";
    sqlx::raw_sql(lock).execute(&mut *blocking).await.unwrap();

    let mut posting = JoinSet::new();
    for i in 1..=20 {
        let (service, room) = (service.clone(), if i == 7 { "locked" } else { "free" });
        let body = message(i, room);
        posting.spawn(async move { (i, service.post(body).await.status) });
    }
    let mut rejected: Vec<usize> = posting
        .join_all()
        .await
        .into_iter()
        .filter_map(|(i, status)| (status != StatusCode::OK).then_some(i))
        .collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [7]);
    blocking.rollback().await.unwrap();
    while service.post(message(7, "locked")).await.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(service.count("message").await, 21);
}
