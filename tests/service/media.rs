//! Copies of the files of messages, fetched from a server in this process.

mod bucket;
mod fake_s3;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use futures_util::StreamExt;
use qontak_receiver::event::BodyHash;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use super::binary::{DEADLINE, Process, post, run};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, ORGANIZATION, settings};
use super::spool::wait_until;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0123456789 not really an image";

/// Server of files, which counts the requests for files.
struct Files {
    address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Files {
    async fn start() -> Self {
        let hits = Arc::new(AtomicUsize::new(0));
        let png = async |State(hits): State<Arc<AtomicUsize>>| {
            hits.fetch_add(1, Ordering::SeqCst);
            ([(CONTENT_TYPE, "image/png")], PNG)
        };
        let unnamed = async |State(hits): State<Arc<AtomicUsize>>| {
            hits.fetch_add(1, Ordering::SeqCst);
            ([(CONTENT_TYPE, "application/octet-stream")], PNG)
        };
        let once_busy = async |State(hits): State<Arc<AtomicUsize>>| match hits
            .fetch_add(1, Ordering::SeqCst)
        {
            0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => ([(CONTENT_TYPE, "image/png")], PNG).into_response(),
        };
        let changing = async |Path(other): Path<usize>, State(hits): State<Arc<AtomicUsize>>| {
            let content = match hits.fetch_add(1, Ordering::SeqCst) {
                hit if hit < other => PNG.to_vec(),
                hit => format!("other bytes {hit}").into_bytes(),
            };
            ([(CONTENT_TYPE, "image/png")], content)
        };
        let endless = async || {
            let parts =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 4096]));
            ([(CONTENT_TYPE, "image/png")], Body::from_stream(parts))
        };
        let large = async |Path(byte): Path<u8>| {
            let parts = futures_util::stream::iter((0..1024).map(move |_| vec![byte; 64 << 10]));
            let parts = parts.map(Ok::<_, std::io::Error>);
            ([(CONTENT_TYPE, "video/mp4")], Body::from_stream(parts))
        };
        let to = |url: &'static str| get(async move || (StatusCode::FOUND, [(LOCATION, url)]));
        let routes = Router::new()
            .route("/image.png", get(png))
            .route("/many/{name}", get(png))
            .route("/unnamed", get(unnamed))
            .route("/busy.png", get(once_busy))
            .route("/changing/{other}", get(changing))
            .route("/endless.png", get(endless))
            .route("/large/{byte}", get(large))
            .route("/page.html", get(async || ([(CONTENT_TYPE, "text/html")], "<script>")))
            .route("/moved.png", get(async || Redirect::temporary("/image.png")))
            .route("/loop.png", to("/loop.png"))
            .route("/inside.png", to("http://169.254.169.254/latest/meta-data/"))
            .route("/user.png", to("http://user@127.0.0.1/"))
            .with_state(hits.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, hits }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

/// Settings of a service that copies files, also from this machine if `is_local`.
fn with_media(db: &PgPool, folder: &TempDir, is_local: bool) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    let folder = folder.path().join("media").to_str().unwrap().to_owned();
    settings.insert("RECEIVER__MEDIA__FOLDER".into(), folder);
    settings.insert("RECEIVER__MEDIA__MAX_BYTES".into(), "65536".into());
    settings.insert("RECEIVER__MEDIA__ALLOW_LOOPBACK".into(), is_local.to_string());
    settings.insert("RECEIVER__CONSOLE__ENABLED".into(), "true".into());
    let sha256 = BodyHash::of(b"masked").to_hex();
    settings.insert("RECEIVER__KEY__MASKED__SHA256".into(), sha256);
    settings.insert("RECEIVER__KEY__MASKED__SCOPES".into(), "read_masked".into());
    settings.insert("RECEIVER__KEY__MASKED__ORGANIZATIONS".into(), "*".into());
    settings
}

/// Starts a service. The first one copies the files of messages from its first search on.
async fn start(db: &PgPool, settings: BTreeMap<String, String>) -> Process {
    let service = Process::start(settings).await;
    wait_until(async || {
        let searched = "select exists (select from media_position)";
        sqlx::query_scalar(searched).fetch_one(db).await.unwrap()
    })
    .await;
    service
}

/// A message of a customer with this id, in this customer's room, with this file.
fn message(id: &str, customer: &str, url: &str) -> Vec<u8> {
    let mut message: Value = serde_json::from_slice(&body("11-")).unwrap();
    message["id"] = id.into();
    message["external_id"] = format!("wamid.{id}").into();
    message["file"] = json!({ "filename": "motif \"parang\" \u{e9}.png", "url": url, "size": 7 });
    for room in ["/room_id", "/room/id"] {
        *message.pointer_mut(room).unwrap() = format!("room-of-{customer}").into();
    }
    message["sender_id"] = format!("contact-{customer}").into();
    message["room"]["account_uniq_id"] = customer.into();
    message.to_string().into_bytes()
}

async fn file_with(service: &Process, id: &str, key: &str, headers: &[(&str, &str)]) -> Response {
    let url = format!("{}/v1/messages/{id}/file", service.url);
    let mut request = reqwest::Client::new().get(url).bearer_auth(key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn file(service: &Process, id: &str) -> Response {
    file_with(service, id, KEY_OF_ALL, &[]).await
}

/// The message of a response without a file.
async fn problem(service: &Process, id: &str) -> String {
    let response = file(service, id).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body: Value = response.json().await.unwrap();
    body["error"]["messages"][0].as_str().unwrap().to_owned()
}

/// Waits until a message has no file for this reason.
async fn wait_for_problem(service: &Process, id: &str, expected: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = problem(service, id).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{id}: {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn send(service: &Process, body: Vec<u8>) {
    let status = post(&reqwest::Client::new(), &service.url, body).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

/// Copies in the folder, without downloads.
fn copies(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for part in std::fs::read_dir(folder.join("media")).into_iter().flatten() {
        let part = part.unwrap().path();
        if part.file_name().unwrap() != "tmp" {
            let names = std::fs::read_dir(part).unwrap();
            found.extend(names.map(|it| it.unwrap().file_name().into_string().unwrap()));
        }
    }
    found
}

#[sqlx::test(migrations = false)]
async fn file_of_a_message_is_copied_once_and_served_with_ranges(db: PgPool) {
    let (files, folder) = (Files::start().await, tempfile::tempdir().unwrap());
    let service = start(&db, with_media(&db, &folder, true)).await;
    send(&service, message("m1", "6281200010001", &files.url("/moved.png"))).await;
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    let response = file(&service, "m1").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
    assert_eq!(header("accept-ranges"), "bytes");
    assert_eq!(header("cache-control"), "private, no-cache");
    assert_eq!(
        header("content-disposition"),
        "inline; filename*=UTF-8''motif%20%22parang%22%20%C3%A9%2Epng"
    );
    assert_eq!(header("content-length"), PNG.len().to_string());
    let tag = header("etag");
    assert_eq!(response.bytes().await.unwrap(), PNG);

    let end = PNG.len() - 1;
    for (range, expected) in
        [("bytes=1-3", 1..=3), ("bytes=9-", 9..=end), ("bytes=-5", end - 4..=end)]
    {
        let response = file_with(&service, "m1", KEY_OF_ALL, &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let about = format!("bytes {}-{}/{}", expected.start(), expected.end(), PNG.len());
        assert_eq!(response.headers()["content-range"], about.as_str());
        assert_eq!(response.bytes().await.unwrap(), PNG[expected]);
    }
    let response = file_with(&service, "m1", KEY_OF_ALL, &[("range", "bytes=999-")]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(response.headers()["content-range"], format!("bytes */{}", PNG.len()).as_str());
    let other = [("range", "bytes=1-3"), ("if-range", "\"another\"")];
    assert_eq!(file_with(&service, "m1", KEY_OF_ALL, &other).await.status(), StatusCode::OK);
    let known = [("if-none-match", tag.as_str())];
    let response = file_with(&service, "m1", KEY_OF_ALL, &known).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    let zipped = file_with(&service, "m1", KEY_OF_ALL, &[("accept-encoding", "gzip")]).await;
    assert!(!zipped.headers().contains_key("content-encoding"));

    // Those who may not see the message or its text.
    let status = file_with(&service, "m1", KEY_OF_ANOTHER, &[]).await.status();
    assert_eq!(status, StatusCode::NOT_FOUND);
    let status = file_with(&service, "m1", "masked", &[]).await.status();
    assert_eq!(status, StatusCode::FORBIDDEN);

    // The copy stands in the message.
    let url = format!("{}/v1/messages/m1", service.url);
    let message_of_api = reqwest::Client::new().get(url).bearer_auth(KEY_OF_ALL).send().await;
    let message_of_api: Value = message_of_api.unwrap().json().await.unwrap();
    let stored = &message_of_api["data"]["stored_file"];
    assert_eq!(stored["content_type"], "image/png");
    assert_eq!(stored["bytes"], PNG.len());
    assert_eq!(format!("\"{}\"", stored["sha256"].as_str().unwrap()), tag);

    // Further events about the message fetch nothing. A file that another message has is stored once; a type
    // that the server does not name is that of its content; a server may be unavailable for a moment.
    let hits = files.hits();
    let mut status: Value =
        serde_json::from_slice(&message("m1", "6281200010001", &files.url("/moved.png"))).unwrap();
    status["data_event"] = "status_message".into();
    status["status"] = "read".into();
    send(&service, status.to_string().into_bytes()).await;
    send(&service, message("m2", "6281200010002", &files.url("/unnamed"))).await;
    wait_until(async || file(&service, "m2").await.status() == StatusCode::OK).await;
    assert_eq!(file(&service, "m2").await.headers()["content-type"], "image/png");
    assert_eq!(files.hits(), hits + 1);
    assert_eq!(copies(folder.path()).len(), 1);
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let stored = "qontak_receiver_media_files_total{result=\"stored\"} 2\n";
    assert!(metrics.contains(stored), "{metrics}");

    // It is erased with the last message that has it.
    let settings = with_media(&db, &folder, true);
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("message: 1 row(s) erased\n"), "{printed}");
    assert_eq!(file(&service, "m1").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(file(&service, "m2").await.status(), StatusCode::OK);
    assert_eq!(copies(folder.path()).len(), 1);
    let output = run(&settings, &["erase", "--organization", ORGANIZATION]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("media: 1 row(s) erased\n"), "{printed}");
    wait_until(async || copies(folder.path()).is_empty()).await;
}

#[sqlx::test(migrations = false)]
async fn file_that_is_not_available_is_tried_again(db: PgPool) {
    let (files, folder) = (Files::start().await, tempfile::tempdir().unwrap());
    let service = start(&db, with_media(&db, &folder, true)).await;
    assert_eq!(file(&service, "m1").await.status(), StatusCode::NOT_FOUND);
    send(&service, message("m1", "1", &files.url("/busy.png"))).await;
    let reason = "the file is not copied yet, retry later: the host of the link answered 503 Service \
                  Unavailable";
    wait_for_problem(&service, "m1", reason).await;
    // The pause would be ten seconds.
    let sql = "update media set next_attempt_at = now() where attempts = 1 and state = 'waiting'";
    sqlx::query(sql).execute(&db).await.unwrap();
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    assert_eq!(files.hits(), 2);

    // After the last attempt it is given up.
    send(&service, message("m2", "2", &files.url("/nowhere.png"))).await;
    wait_until(async || problem(&service, "m2").await.contains("404")).await;
    let sql = "update media set next_attempt_at = now(), attempts = 5 where message_id = 'm2'";
    sqlx::query(sql).execute(&db).await.unwrap();
    wait_until(async || problem(&service, "m2").await.starts_with("the file could not be")).await;
}

#[sqlx::test(migrations = false)]
async fn links_that_lead_inside_and_unwanted_files_are_refused(db: PgPool) {
    let (files, folder) = (Files::start().await, tempfile::tempdir().unwrap());
    let service = start(&db, with_media(&db, &folder, true)).await;
    let cases = [
        ("/inside.png", "the host of the link has no public address"),
        ("/user.png", "the link is not a URL that can be fetched"),
        ("/loop.png", "the link redirects more than 5 times, or to no URL"),
        ("/endless.png", "the file is larger than 65536 bytes"),
        ("/page.html", "its type text/html is not in media.types"),
    ];
    for (path, _) in cases {
        send(&service, message(path.trim_matches('/'), path, &files.url(path))).await;
    }
    for (path, expected) in cases {
        let expected = format!("the file could not be copied: {expected}");
        wait_for_problem(&service, path.trim_matches('/'), &expected).await;
    }
    assert!(copies(folder.path()).is_empty());
    // Nothing is left of those that began.
    wait_until(async || std::fs::read_dir(folder.path().join("media/tmp")).unwrap().count() == 0)
        .await;
    drop(service);

    // Without the setting for tests, nothing of this machine is fetched, by whatever name.
    let service = start(&db, with_media(&db, &folder, false)).await;
    let port = files.address.port();
    let cases = [
        (format!("http://127.0.0.1:{port}/image.png"), "the link is not https"),
        (
            format!("https://127.0.0.1:{port}/image.png"),
            "the host of the link has no public address",
        ),
        (format!("https://[::1]:{port}/image.png"), "the host of the link has no public address"),
        (
            format!("https://localhost:{port}/image.png"),
            "the host of the link has no public address",
        ),
        ("ftp://example.com/image.png".to_owned(), "the link is not https"),
        ("image.png".to_owned(), "the link is not https"),
    ];
    for (i, (url, _)) in cases.iter().enumerate() {
        send(&service, message(&format!("inside-{i}"), &format!("inside-{i}"), url)).await;
    }
    for (i, (_, expected)) in cases.iter().enumerate() {
        let expected = format!("the file could not be copied: {expected}");
        wait_for_problem(&service, &format!("inside-{i}"), &expected).await;
    }
    assert_eq!(files.hits(), 0);
}

#[sqlx::test(migrations = false)]
async fn replicas_fetch_each_file_once_and_only_from_listed_hosts(db: PgPool) {
    let (files, folder) = (Files::start().await, tempfile::tempdir().unwrap());
    let mut settings = with_media(&db, &folder, true);
    settings.insert("RECEIVER__MEDIA__HOSTS".into(), "127.0.0.1".into());
    let replicas = [start(&db, settings.clone()).await, start(&db, settings).await];
    for i in 0..40 {
        let (id, replica) = (format!("m{i}"), &replicas[i % 2]);
        send(replica, message(&id, &id, &files.url(&format!("/many/{i}")))).await;
    }
    let elsewhere = files.url("/image.png").replace("127.0.0.1", "localhost");
    send(&replicas[0], message("elsewhere", "elsewhere", &elsewhere)).await;
    for i in 0..40 {
        for replica in &replicas {
            wait_until(async || file(replica, &format!("m{i}")).await.status() == StatusCode::OK)
                .await;
        }
    }
    let refused = "the file could not be copied: the host of the link is not in media.hosts";
    wait_for_problem(&replicas[0], "elsewhere", refused).await;
    assert_eq!(files.hits(), 40);
    assert_eq!(copies(folder.path()).len(), 1);
}

#[sqlx::test(migrations = false)]
async fn copies_are_deleted_with_messages_of_their_age(db: PgPool) {
    let (files, folder) = (Files::start().await, tempfile::tempdir().unwrap());
    let mut settings = with_media(&db, &folder, true);
    settings.insert("RECEIVER__RETENTION__MESSAGE_DAYS".into(), "30".into());
    // Not by the service itself.
    settings.insert("RECEIVER__RETENTION__FROM_HOUR".into(), "0".into());
    settings.insert("RECEIVER__RETENTION__TO_HOUR".into(), "1".into());
    let service = start(&db, settings.clone()).await;
    send(&service, message("m1", "1", &files.url("/image.png"))).await;
    wait_until(async || copies(folder.path()).len() == 1).await;
    let output = run(&settings, &["retention"]).await;
    assert!(output.status.success(), "{output:?}");
    wait_until(async || copies(folder.path()).is_empty()).await;
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe("select count(*) from media"))
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}
