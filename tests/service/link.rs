//! The link to the database: it may die without a word, and then nobody is told.

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

/// Stands between a service and Postgres. What is frozen stays open, and nothing passes.
struct Link {
    url: String,
    state: Arc<watch::Sender<State>>,
    _carrying: JoinSet<()>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How many connections there have been.
    accepted: usize,
    /// Those before this one are frozen.
    frozen: usize,
    /// Freeze all when somebody wants to send this.
    freeze_at: Option<&'static str>,
}

impl Link {
    async fn to(database: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = database.to_url_lossy();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.set_query(Some("sslmode=disable"));
        let state = Arc::new(watch::Sender::new(State::default()));
        let mut carrying = JoinSet::new();
        carrying.spawn(carry_all(listener, database.clone(), state.clone()));
        Self { url: url.into(), state, _carrying: carrying }
    }

    fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = usize::MAX);
    }

    /// Freezes when somebody wants to send this text, which then does not arrive.
    fn freeze_at(&self, text: &'static str) {
        self.state.send_modify(|state| state.freeze_at = Some(text));
    }

    fn assert_frozen(&self) {
        assert_eq!(self.state.borrow().frozen, usize::MAX, "nobody sent it");
    }

    /// New connections work. Those that are there stay frozen for ever.
    fn serve_new_ones(&self) {
        self.state.send_modify(|state| {
            (state.frozen, state.freeze_at) = (state.accepted, None);
        });
    }
}

async fn carry_all(
    listener: TcpListener,
    database: PgConnectOptions,
    state: Arc<watch::Sender<State>>,
) {
    let mut links = JoinSet::new();
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
            links.spawn(carry(number, client, server, state.clone()));
        } else {
            let server = TcpStream::connect((database.get_host(), port)).await.unwrap();
            links.spawn(carry(number, client, server, state.clone()));
        }
    }
}

async fn carry(
    number: usize,
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    state: Arc<watch::Sender<State>>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let mut watched = state.subscribe();
    let there = async {
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
    let back = async { _ = tokio::io::copy(&mut from_server, &mut to_client).await };
    let frozen = async { _ = watched.wait_for(|state| number < state.frozen).await };
    tokio::select! {
        biased;
        () = frozen => pending().await,
        () = there => {}
        () = back => {}
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// A service that reaches its database over a link.
async fn start(db: &PgPool, changed: &[(&str, &str)]) -> (Process, Link) {
    let link = Link::to(&db.connect_options()).await;
    let mut settings = settings(&db.connect_options());
    settings.insert("DATABASE_URL".into(), link.url.clone());
    settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    (Process::start(settings).await, link)
}

fn rooms(service: &Process) -> RequestBuilder {
    let client = reqwest::Client::new();
    client.get(format!("{}/v1/rooms", service.url)).bearer_auth(KEY_OF_ALL)
}

fn webhook(service: &Process) -> RequestBuilder {
    let client = reqwest::Client::new();
    client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url)).body(body("01"))
}

/// The answer, which must come.
async fn answer(request: RequestBuilder) -> Response {
    tokio::time::timeout(DEADLINE, request.send()).await.expect("no answer").unwrap()
}

async fn assert_try_again(request: RequestBuilder) {
    let answer = answer(request).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 503);
}

async fn wait_until_works(request: impl Fn() -> RequestBuilder) {
    let works = async { while answer(request()).await.status() != StatusCode::OK {} };
    tokio::time::timeout(DEADLINE, works).await.expect("it does not work again");
}

#[sqlx::test(migrations = false)]
async fn connection_lost_during_a_query_is_replaced(db: PgPool) {
    let settings = [("RECEIVER__DATABASE__READ_CONNECTIONS", "1")];
    let (service, link) = start(&db, &settings).await;
    link.freeze_at("from room");
    assert_try_again(rooms(&service)).await;
    link.assert_frozen();
    assert_try_again(rooms(&service)).await;
    assert_try_again(webhook(&service)).await;
    link.serve_new_ones();
    wait_until_works(|| rooms(&service)).await;
    wait_until_works(|| webhook(&service)).await;
}

#[sqlx::test(migrations = false)]
async fn connection_lost_during_commit_is_replaced(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__TASKS", "1"),
        ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "1s"),
        ("RECEIVER__WRITER__COMMIT_TIMEOUT", "2s"),
    ];
    let (service, link) = start(&db, &settings).await;
    link.freeze_at("insert into event (");
    assert_try_again(webhook(&service)).await;
    link.assert_frozen();
    link.serve_new_ones();
    wait_until_works(|| webhook(&service)).await;
}

#[sqlx::test(migrations = false)]
async fn idle_connection_loss_fails_no_request(db: PgPool) {
    let settings = [
        ("RECEIVER__WRITER__TASKS", "1"),
        ("RECEIVER__WRITER__ANSWER_TIMEOUT", "30s"),
        ("RECEIVER__DATABASE__READ_CONNECTIONS", "1"),
        ("RECEIVER__DATABASE__ACQUIRE_TIMEOUT", "6s"),
    ];
    let (service, link) = start(&db, &settings).await;
    for request in [rooms(&service), webhook(&service)] {
        assert_eq!(answer(request).await.status(), StatusCode::OK);
    }
    // A request is answered a little before its connection is given back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    link.freeze();
    link.serve_new_ones();
    for request in [rooms(&service), webhook(&service)] {
        assert_eq!(answer(request).await.status(), StatusCode::OK);
    }
}

#[sqlx::test(migrations = false)]
async fn readyz_returns_503_while_the_database_does_not_respond(db: PgPool) {
    let (service, link) = start(&db, &[]).await;
    // On new connections it has to send the text of its questions.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    sqlx::raw_sql(end).execute(&db).await.unwrap();
    link.freeze_at("_sqlx_migrations");
    let ready = reqwest::Client::new().get(format!("{}/readyz", service.ops));
    let told = answer(ready).await;
    link.assert_frozen();
    assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told = told.text().await.unwrap();
    assert!(told.contains("database: does not answer"), "{told}");
}

#[sqlx::test]
async fn database_session_that_became_read_only_is_replaced(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__WRITER__TASKS", "1")]).await;
    // As after a failover: the session lives, and its server is a standby now.
    let demote = "create function demote() returns trigger language plpgsql as $$ begin
            perform set_config('default_transaction_read_only', 'on', false);
            return new;
        end $$;
        create trigger demote before insert on event for each row execute function demote();";
    service.execute(demote).await;
    assert_eq!(service.post(body("01")).await.status, StatusCode::OK);
    service.execute("drop trigger demote on event").await;
    assert_eq!(service.post(body("02")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.post(body("02")).await.status, StatusCode::OK);
}
