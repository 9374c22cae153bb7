//! Loss of the database connection without a TCP reset: requests fail in time and the connection
//! is replaced.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgPool};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::binary::{DEADLINE, Process};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, Service, TOKEN, settings};

/// TCP proxy between a service and Postgres. A frozen connection stays open and forwards nothing.
struct Proxy {
    url: String,
    state: Arc<watch::Sender<State>>,
    _forwarding: JoinSet<()>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Number of connections accepted so far.
    accepted: usize,
    /// Connections with a smaller number are frozen.
    frozen: usize,
    /// Freezes all connections when a client sends this text.
    freeze_at: Option<&'static str>,
}

impl Proxy {
    async fn to(database: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = database.to_url_lossy();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.set_query(Some("sslmode=disable"));
        let state = Arc::new(watch::Sender::new(State::default()));
        let mut forwarding = JoinSet::new();
        forwarding.spawn(forward_all(listener, database.clone(), state.clone()));
        Self { url: url.into(), state, _forwarding: forwarding }
    }

    fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = usize::MAX);
    }

    /// Freezes all connections when a client sends this text; the text is not forwarded.
    fn freeze_at(&self, text: &'static str) {
        self.state.send_modify(|state| state.freeze_at = Some(text));
    }

    fn assert_frozen(&self) {
        assert_eq!(self.state.borrow().frozen, usize::MAX, "the text was never sent");
    }

    /// Forwards new connections; existing ones stay frozen.
    fn forward_new_connections(&self) {
        self.state.send_modify(|state| {
            (state.frozen, state.freeze_at) = (state.accepted, None);
        });
    }
}

async fn forward_all(
    listener: TcpListener,
    database: PgConnectOptions,
    state: Arc<watch::Sender<State>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mut number = 0;
        state.send_modify(|state| {
            number = state.accepted;
            state.accepted += 1;
        });
        let port = database.get_port();
        if let Some(socket) = database.get_socket() {
            let socket = socket.join(format!(".s.PGSQL.{port}"));
            let server = UnixStream::connect(socket).await.unwrap();
            connections.spawn(forward(number, client, server, state.clone()));
        } else {
            let server = TcpStream::connect((database.get_host(), port)).await.unwrap();
            connections.spawn(forward(number, client, server, state.clone()));
        }
    }
}

async fn forward(
    number: usize,
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    state: Arc<watch::Sender<State>>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let mut watched = state.subscribe();
    let to_database = async {
        let mut bytes = [0; 1 << 16];
        loop {
            let length = from_client.read(&mut bytes).await.unwrap_or_default();
            let freeze_at = state.borrow().freeze_at;
            let found = |text: &&'static str| contains(&bytes[..length], text);
            if freeze_at.as_ref().is_some_and(found) {
                state.send_modify(|state| state.frozen = usize::MAX);
                pending::<()>().await;
            }
            if length == 0 || to_server.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
    };
    let to_service = async { _ = tokio::io::copy(&mut from_server, &mut to_client).await };
    let frozen = async { _ = watched.wait_for(|state| number < state.frozen).await };
    tokio::select! {
        biased;
        () = frozen => pending().await,
        () = to_database => {}
        () = to_service => {}
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Service whose database connections go through a proxy.
async fn start(db: &PgPool, changed: &[(&str, &str)]) -> (Process, Proxy) {
    let proxy = Proxy::to(&db.connect_options()).await;
    let mut settings = settings(&db.connect_options());
    settings.insert("DATABASE_URL".into(), proxy.url.clone());
    settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    (Process::start(settings).await, proxy)
}

fn rooms(service: &Process) -> RequestBuilder {
    let client = reqwest::Client::new();
    client.get(format!("{}/v1/rooms", service.url)).bearer_auth(KEY_OF_ALL)
}

fn webhook(service: &Process) -> RequestBuilder {
    let client = reqwest::Client::new();
    client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url)).body(body("01"))
}

/// Sends a request; panics if there is no response before the deadline.
async fn send(request: RequestBuilder) -> Response {
    tokio::time::timeout(DEADLINE, request.send())
        .await
        .expect("no response before the deadline")
        .unwrap()
}

async fn assert_503_with_retry_after(request: RequestBuilder) {
    let response = send(request).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], 503);
}

async fn wait_until_ok(request: impl Fn() -> RequestBuilder) {
    let works = async { while send(request()).await.status() != StatusCode::OK {} };
    tokio::time::timeout(DEADLINE, works).await.expect("the service did not recover");
}

#[sqlx::test(migrations = false)]
async fn connection_lost_during_a_query_is_replaced(db: PgPool) {
    let settings = [("RECEIVER__DATABASE__READ_CONNECTIONS", "1")];
    let (service, proxy) = start(&db, &settings).await;
    proxy.freeze_at("from room");
    assert_503_with_retry_after(rooms(&service)).await;
    proxy.assert_frozen();
    assert_503_with_retry_after(rooms(&service)).await;
    assert_503_with_retry_after(webhook(&service)).await;
    proxy.forward_new_connections();
    wait_until_ok(|| rooms(&service)).await;
    wait_until_ok(|| webhook(&service)).await;
}

#[sqlx::test(migrations = false)]
async fn connection_lost_during_commit_is_replaced(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__TASKS", "1"),
        ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "1s"),
        ("RECEIVER__WRITER__COMMIT_TIMEOUT", "2s"),
    ];
    let (service, proxy) = start(&db, &settings).await;
    proxy.freeze_at("ingest_1(");
    assert_503_with_retry_after(webhook(&service)).await;
    proxy.assert_frozen();
    proxy.forward_new_connections();
    wait_until_ok(|| webhook(&service)).await;
}

#[sqlx::test(migrations = false)]
async fn idle_connection_loss_fails_no_request(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__TASKS", "1"),
        ("RECEIVER__WRITER__ANSWER_TIMEOUT", "30s"),
        ("RECEIVER__DATABASE__READ_CONNECTIONS", "1"),
        ("RECEIVER__DATABASE__ACQUIRE_TIMEOUT", "6s"),
    ];
    let (service, proxy) = start(&db, &settings).await;
    for request in [rooms(&service), webhook(&service)] {
        assert_eq!(send(request).await.status(), StatusCode::OK);
    }
    // The connection returns to the pool shortly after the response.
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.freeze();
    proxy.forward_new_connections();
    for request in [rooms(&service), webhook(&service)] {
        assert_eq!(send(request).await.status(), StatusCode::OK);
    }
}

#[sqlx::test(migrations = false)]
async fn readyz_returns_503_while_the_database_does_not_respond(db: PgPool) {
    let (service, proxy) = start(&db, &[]).await;
    // On new connections the statements are prepared again, so their text is sent.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    sqlx::raw_sql(end).execute(&db).await.unwrap();
    proxy.freeze_at("_sqlx_migrations");
    let ready = reqwest::Client::new().get(format!("{}/readyz", service.ops));
    let response = send(ready).await;
    proxy.assert_frozen();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.text().await.unwrap();
    assert!(body.contains("database: no response within 1.5s"), "{body}");
}

#[sqlx::test]
async fn database_session_that_became_read_only_is_replaced(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__WRITER__TASKS", "1")]).await;
    // As after a failover: the session is open, but its server has become a standby.
    let demote = "create function demote() returns trigger language plpgsql as $$ begin
            perform set_config('default_transaction_read_only', 'on', false);
            return new;
        end $$;
        create trigger demote before insert on event for each row execute function demote();";
    service.execute(demote).await;
    assert_eq!(service.post(body("01")).await.status, StatusCode::OK);
    service.execute("drop trigger demote on event").await;
    assert_eq!(service.post(body("02")).await.status, StatusCode::OK);
}
