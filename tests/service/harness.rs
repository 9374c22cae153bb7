//! Test harness: the service on a test database, with helpers to post, read and compare.

use std::collections::BTreeMap;
use std::io::Write;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use qontak_receiver::app::{App, upkeep};
use qontak_receiver::config::Config;
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::ingest::spool::medium::Medium;
use qontak_receiver::ingest::spool::nats::Nats;
use qontak_receiver::simulate;
use qontak_receiver::store::{self, WriterConnection};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::binary::DEADLINE;

/// Token of the endpoint `qontak`, which has no organisation.
pub const TOKEN: &str = "test-token-of-the-endpoint-qontak";
/// Token of the endpoint `bound`, which belongs to [`BOUND_ORGANIZATION`].
pub const BOUND_TOKEN: &str = "test-token-of-the-endpoint-bound";
pub const BOUND_ORGANIZATION: &str = "b0000000-0000-4000-8000-000000000000";
/// The organisation of the fixtures.
pub const ORGANIZATION: &str = "7d3530db-085f-4a59-b83b-205d470ad746";

/// API keys; [`settings`] contains their hashes. This one reads all organisations.
pub const KEY_OF_ALL: &str = "hello";
/// Reads and exports [`ORGANIZATION`].
pub const KEY_OF_ORGANIZATION: &str = "organization";
/// Reads `another-organization`.
pub const KEY_OF_ANOTHER: &str = "another";
/// Has the scope `replay` only, for all organisations.
pub const KEY_REPLAY_ONLY: &str = "replayer-key";

/// Environment variables of a service on this database.
pub fn settings(database: &PgConnectOptions) -> BTreeMap<String, String> {
    let sha256 = |key| match key {
        KEY_OF_ALL => "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        KEY_OF_ORGANIZATION => "af3a1bb312bf8430055d0f513e3a27c4c54c776603c80ffc73917abc0094e211",
        KEY_OF_ANOTHER => "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5",
        _ => "3eb21313834cf4a9aac7ecda97fcc0fc8446b7c45a63c69ccf1e030d97b10351",
    };
    let url = database.to_url_lossy();
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("RECEIVER__HTTP__LISTEN", "127.0.0.1:0"),
        ("RECEIVER__OPS__LISTEN", "127.0.0.1:0"),
        ("RECEIVER__ENDPOINT__QONTAK__TOKENS", TOKEN),
        ("RECEIVER__ENDPOINT__BOUND__TOKENS", BOUND_TOKEN),
        ("RECEIVER__ENDPOINT__BOUND__ORGANIZATION_ID", BOUND_ORGANIZATION),
        ("RECEIVER__KEY__ALL__SHA256", sha256(KEY_OF_ALL)),
        ("RECEIVER__KEY__ALL__SCOPES", "read"),
        ("RECEIVER__KEY__ALL__ORGANIZATIONS", "*"),
        ("RECEIVER__KEY__ORGANIZATION__SHA256", sha256(KEY_OF_ORGANIZATION)),
        ("RECEIVER__KEY__ORGANIZATION__SCOPES", "read,export"),
        ("RECEIVER__KEY__ORGANIZATION__ORGANIZATIONS", ORGANIZATION),
        ("RECEIVER__KEY__ANOTHER__SHA256", sha256(KEY_OF_ANOTHER)),
        ("RECEIVER__KEY__ANOTHER__SCOPES", "read"),
        ("RECEIVER__KEY__ANOTHER__ORGANIZATIONS", "another-organization"),
        ("RECEIVER__KEY__REPLAYER__SHA256", sha256(KEY_REPLAY_ONLY)),
        ("RECEIVER__KEY__REPLAYER__SCOPES", "replay"),
        ("RECEIVER__KEY__REPLAYER__ORGANIZATIONS", "*"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Writer connection to a test database.
pub fn writer_connection(db: &PgPool) -> WriterConnection {
    let config = Config::read(None, settings(&db.connect_options())).unwrap();
    WriterConnection::new(&config.database)
}

/// Empties the journal, the ledger and all projections.
pub const TRUNCATE_ALL: &str =
    "truncate event, ledger, room, room_event, message, sender, broadcast, broadcast_log,
    catalog_state";

/// The real router over a test database.
pub struct Service {
    pub db: PgPool,
    pub app: App,
    _tasks: JoinSet<()>,
    /// Dropped with the service; its value never changes.
    _running: watch::Sender<bool>,
}

/// HTTP response with its complete body.
#[derive(Debug, PartialEq)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }
}

impl Service {
    pub async fn start(db: PgPool) -> Self {
        Self::start_with(db, &[]).await
    }

    /// Starts with these settings changed.
    pub async fn start_with(db: PgPool, changed: &[(&str, &str)]) -> Self {
        Self::start_on(db, None, changed).await
    }

    /// Starts with a spool on this disk, and one on NATS if its servers are set, and these settings
    /// changed.
    pub async fn start_on(db: PgPool, disk: Option<Disk>, changed: &[(&str, &str)]) -> Self {
        let mut settings = settings(&db.connect_options());
        for (name, value) in changed {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = Config::read(None, settings).unwrap();
        upkeep::make_partitions(&db, &config.retention).await.unwrap();
        let read = store::connect_to_read(&config.database, 2).unwrap();
        let mut tasks = JoinSet::new();
        let mut media = Vec::new();
        if !config.spool.servers.is_empty() {
            let nats = Nats::connect(&config.spool, config.http.max_body_bytes).await.unwrap();
            // Nodes that have just started may need some seconds.
            let prepared = async { while nats.prepare().await.is_err() {} };
            tokio::time::timeout(DEADLINE, prepared).await.unwrap();
            media.push(Medium::from(nats));
        }
        media.extend(disk.map(Medium::from));
        let mut app = App::start(&config, read, media, Some(simulate::day), &mut tasks).unwrap();
        let (running, stopping) = watch::channel(false);
        if let Some(worker) = app.worker.take() {
            tasks.spawn(worker.run(stopping));
        }
        Self { db, app, _tasks: tasks, _running: running }
    }

    /// Sends a request; the response body is not read yet.
    pub async fn respond(&self, request: Request<Body>) -> axum::response::Response {
        self.app.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&self, request: Request<Body>) -> Response {
        let response = self.respond(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Response { status: parts.status, headers: parts.headers, bytes }
    }

    /// Posts a webhook to the endpoint `qontak`.
    pub async fn post(&self, body: impl Into<Body>) -> Response {
        self.send(webhook(TOKEN, body)).await
    }

    /// Reads the API with [`KEY_OF_ALL`].
    pub async fn get(&self, path: &str) -> Response {
        self.get_with(KEY_OF_ALL, path).await
    }

    pub async fn get_with(&self, key: &str, path: &str) -> Response {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {key}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Returns `data` of a successful response.
    pub async fn data(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {:?}", response.json());
        response.json()["data"].take()
    }

    /// Counts the rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.db).await.unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.db).await.unwrap();
    }

    /// Number of groups in which `message_count` differs from the rows of `message`.
    async fn message_count_differences(&self) -> i64 {
        let sql = "
            with counted as (
                select
                    organization, hour_of(at) as hour, coalesce(channel, '') as channel, author,
                    1 as count, is_out and statuses & 28 <> 0 as sent,
                    is_out and statuses & 24 <> 0 as delivered, is_out and statuses & 16 <> 0 as read,
                    is_out and coalesce(status = 'failed', false) as failed
                from (
                    select
                        *,
                        (sent_seen_at is not null)::int * 4 + (delivered_seen_at is not null)::int * 8
                            + (read_seen_at is not null)::int * 16 as statuses,
                        author in ('agent', 'bot', 'campaign', 'unknown') as is_out
                    from message
                ) as message
            ), both_of_them as (
                select
                    organization, hour, channel, author, count, sent::int, delivered::int,
                    read::int, failed::int
                from counted
                union all
                select
                    organization, hour, channel, participant_type, -count, -sent, -delivered,
                    -read, -failed
                from message_count
            )
            select count(*) from (
                select from both_of_them
                group by organization, hour, channel, author
                having (sum(count), sum(sent), sum(delivered), sum(read), sum(failed))
                    <> (0, 0, 0, 0, 0)
            ) as wrong";
        sqlx::query_scalar(sql).fetch_one(&self.db).await.unwrap()
    }

    /// Number of hours in which `recipient_count` differs from the rows of `broadcast_log`.
    async fn recipient_count_differences(&self) -> i64 {
        let sql = "
            with both_of_them as (
                select
                    organization, hour_of(at) as hour, 1 as count,
                    (statuses & 28 <> 0)::int as sent, (statuses & 24 <> 0)::int as delivered,
                    (statuses & 16 <> 0)::int as read,
                    coalesce(status = 'failed', false)::int as failed
                from broadcast_log
                union all
                select organization, hour, -count, -sent, -delivered, -read, -failed
                from recipient_count
            )
            select count(*) from (
                select from both_of_them
                group by organization, hour
                having (sum(count), sum(sent), sum(delivered), sum(read), sum(failed))
                    <> (0, 0, 0, 0, 0)
            ) as wrong";
        sqlx::query_scalar(sql).fetch_one(&self.db).await.unwrap()
    }

    /// Rows of `room_word`, `resolution` and `response` that differ from what all messages lead to.
    async fn derived_differences(&self) -> Vec<String> {
        let mut transaction = self.db.begin().await.unwrap();
        let rows = "
            select 'word ' || to_jsonb(t)::text
            from room_word as t
            where num_nonnulls(customer_at, answer_at, other_at, resolved_at) > 0
            union all select 'resolution ' || to_jsonb(t)::text from resolution as t
            union all select 'response ' || to_jsonb(t)::text from response as t
            order by 1";
        let kept: Vec<String> =
            sqlx::query_scalar(rows).fetch_all(&mut *transaction).await.unwrap();
        sqlx::query("select rebuild_responses()").execute(&mut *transaction).await.unwrap();
        let all: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut *transaction).await.unwrap();
        transaction.rollback().await.unwrap();
        let only_kept = kept.iter().filter(|row| !all.contains(row));
        let only_rebuilt = all.iter().filter(|row| !kept.contains(row));
        only_kept
            .map(|row| format!("kept: {row}"))
            .chain(only_rebuilt.map(|row| format!("rebuilt: {row}")))
            .collect()
    }

    /// Rows of all projections, without the columns that depend on the order of arrival.
    pub async fn state(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let mut state = BTreeMap::new();
        for table in ["room", "room_event", "message", "sender", "broadcast", "broadcast_log"] {
            // Numbers of organisations depend on the order of arrival.
            let sql = format!(
                "select to_jsonb(t) - 'organization'
                     || jsonb_build_object('organization_id', organization_id(organization))
                 from {table} as t"
            );
            let mut rows: Vec<Value> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.db).await.unwrap();
            rows.iter_mut().for_each(|row| without_observations(table, row));
            rows.sort_by_key(Value::to_string);
            state.insert(table, rows);
        }
        assert_eq!(self.message_count_differences().await, 0, "message_count differs from message");
        assert_eq!(self.recipient_count_differences().await, 0, "recipient_count differs");
        assert_eq!(self.derived_differences().await, Vec::<String>::new());
        state
    }
}

/// Removes the columns that depend on the time of receipt; of `…_seen_at` it keeps whether it
/// is set.
fn without_observations(table: &str, row: &mut Value) {
    let row = row.as_object_mut().unwrap();
    for column in ["received_at", "event_id", "activity_at", "activity_slot", "reached_before"] {
        row.remove(column);
    }
    // In the other tables `at` is the sort key of lists and may be the time of receipt.
    if table != "room_event" {
        row.remove("at");
    }
    for (name, value) in row {
        if name.ends_with("_seen_at") {
            *value = Value::Bool(!value.is_null());
        }
    }
}

/// Webhook request as Qontak sends it.
pub fn webhook(token: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("/webhooks/qontak/{token}"))
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

/// Compresses bytes with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
