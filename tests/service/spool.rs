//! The spool: webhooks accepted while the database is unavailable, and their later commit.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use bytes::Bytes;
use qontak_receiver::config::SPOOL_TIMEOUT;
use qontak_receiver::event::{Event, Webhook};
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::{self, Written};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

use super::binary::{Process, post};
use super::bodies::received;
use super::fixtures::{ALL, body};
use super::harness::{Response, Service, settings, writer_connection};

/// Short timeouts, so that a service notices an outage quickly.
pub const SHORT_TIMEOUTS: [(&str, &str); 2] =
    [("RECEIVER__DATABASE__ACQUIRE_TIMEOUT", "300ms"), ("RECEIVER__WRITER__ANSWER_TIMEOUT", "1s")];

/// Outage of one database: it refuses connections until [`Outage::end`].
pub struct Outage {
    server: PgConnection,
    database: String,
}

impl Outage {
    pub async fn start(db: &PgPool) -> Self {
        let options: PgConnectOptions = (*db.connect_options()).clone();
        let database = options.get_database().unwrap().to_owned();
        let server = options.database("postgres").connect().await.unwrap();
        let mut outage = Self { server, database };
        outage.allow_connections(false).await;
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        sqlx::query(end).bind(&outage.database).execute(&mut outage.server).await.unwrap();
        outage
    }

    async fn allow_connections(&mut self, is_allowed: bool) {
        let sql = format!(r#"alter database "{}" allow_connections {is_allowed}"#, self.database);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.server).await.unwrap();
    }

    pub async fn end(mut self) {
        self.allow_connections(true).await;
        self.server.close().await.unwrap();
    }
}

/// Webhook received at this time.
pub fn webhook_at(time: &str, body: impl Into<Bytes>) -> Webhook {
    received(body, Timestamp::parse(time).unwrap())
}

pub fn outcome(response: &Response) -> Value {
    response.json()["data"]["outcome"].take()
}

/// Polls until a condition holds.
pub async fn wait_until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

pub async fn wait_for_events(service: &Service, events: i64) {
    wait_until(async || service.count("event").await >= events).await;
}

/// Number of deliveries in the ledger.
pub async fn ledger_received(service: &Service) -> i64 {
    let sql = "select coalesce(sum(received), 0)::bigint from ledger";
    sqlx::query_scalar(sql).fetch_one(&service.db).await.unwrap()
}

#[sqlx::test]
async fn webhooks_are_spooled_during_an_outage_and_committed_after_it(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    assert_eq!(outcome(&service.post(body("01")).await), "applied");
    let outage = Outage::start(&db).await;
    for fixture in &ALL {
        let response = service.post(fixture.body()).await;
        let (status, expected) = match fixture.outcome {
            "handshake" => (StatusCode::OK, json!(null)),
            // The sender must learn this now: a resend may be complete.
            "malformed" => (StatusCode::BAD_REQUEST, json!("malformed")),
            _ => (StatusCode::OK, json!("spooled")),
        };
        assert_eq!((response.status, outcome(&response)), (status, expected), "{}", fixture.file);
    }
    outage.end().await;
    wait_for_events(&service, 45).await;
    let spooled_state = service.state().await;

    service.execute(super::harness::TRUNCATE_ALL).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    assert_eq!(spooled_state, service.state().await);
}

#[sqlx::test]
async fn spooled_event_keeps_the_acknowledged_event_id(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    let response = service.post(body("01")).await;
    let id = response.json()["data"]["event_id"].take();
    outage.end().await;
    wait_for_events(&service, 1).await;
    let event = service.data(&format!("/v1/events/{}", id.as_str().unwrap())).await;
    assert_eq!((&event["outcome"], &event["deliveries"]), (&json!("applied"), &json!(1)));
}

#[sqlx::test]
async fn full_spool_returns_503_until_it_is_drained(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let mut settings = SHORT_TIMEOUTS.to_vec();
    settings.push(("RECEIVER__SPOOL__MAX_BYTES", "65536"));
    let service = Service::start_on(db.clone(), Some(disk), &settings).await;
    let outage = Outage::start(&db).await;
    let message = |i| {
        let text = "x".repeat(8000);
        json!({"data_event": "status_message", "id": format!("m{i}"), "text": text}).to_string()
    };
    let mut accepted = 0;
    let rejected = loop {
        let response = service.post(message(accepted)).await;
        if response.status != StatusCode::OK {
            break response;
        }
        accepted += 1;
    };
    assert_eq!(accepted, 7, "each webhook counts as its 8 KB plus 1 KiB");
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers[RETRY_AFTER], "2");
    outage.end().await;
    wait_for_events(&service, 7).await;
    // Committed webhooks are removed from the spool after that.
    wait_until(async || service.app.ingest.spools[0].depth().events == 0).await;
    assert_eq!(service.post(message(7)).await.status, StatusCode::OK);
    wait_for_events(&service, 8).await;
}

#[sqlx::test]
async fn spooled_webhooks_committed_before_a_crash_have_no_second_effect(db: PgPool) {
    let webhooks =
        ["01", "02", "31", "61"].map(|name| webhook_at("2025-06-12T02:15:03Z", body(name)));
    let day = "2025-06-12".parse().unwrap();
    store::partition::create(&mut db.acquire().await.unwrap(), std::iter::once(day)).await.unwrap();
    for crash in 0..3 {
        // As after a crash, the committed webhooks are still in the spool.
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::in_folder(folder.path()).unwrap();
        assert_eq!(disk.append(&webhooks, 1 << 20).unwrap(), webhooks.len());
        let service = Service::start_on(db.clone(), Some(disk), &[]).await;
        let spool = &service.app.ingest.spools[0];
        wait_until(async || spool.depth().events == 0).await;
        assert_eq!(service.count("event").await, 4, "crash {crash}");
        assert_eq!(ledger_received(&service).await, 4, "crash {crash}");
        let deliveries: i64 =
            sqlx::query_scalar("select sum(deliveries) from event").fetch_one(&db).await.unwrap();
        assert_eq!(deliveries, 4, "crash {crash}");
    }
}

/// Deliveries of the same bytes, each written several times and in batches with others.
#[sqlx::test]
async fn delivery_written_several_times_is_counted_once(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let deliveries: Vec<Webhook> =
        (0..3).map(|_| webhook_at(&chrono::Utc::now().to_rfc3339(), body("01"))).collect();
    let limit = Duration::from_secs(5);
    let mut connection = writer_connection(&db);
    let mut write = async |batch: &[usize]| {
        let events: Vec<Event> = batch
            .iter()
            .map(|i| match normalize(deliveries[*i].clone()) {
                Normalized::Event(event) => *event,
                Normalized::Handshake(_) => panic!("a handshake"),
            })
            .collect();
        let stored = connection.write(limit, uuid::Uuid::nil(), &events).await.unwrap();
        stored.into_iter().map(|row| row.written).collect::<Vec<_>>()
    };
    // The journal row stores only the id of the first delivery. Another delivery that is written
    // again is therefore counted again, in the ledger as well.
    let written = write(&[0, 0]).await;
    assert!(matches!(written[..], [Written::First, Written::AlreadyCommitted]), "{written:?}");
    for (batch, counts) in
        [(&[0][..], 1), (&[0, 0], 1), (&[1], 2), (&[0, 1], 3), (&[1, 0], 4), (&[2, 1, 0, 1, 2], 6)]
    {
        write(batch).await;
        let row = service.data(&format!("/v1/events/{}", deliveries[0].id.0)).await;
        assert_eq!((&row["deliveries"], ledger_received(&service).await), (&json!(counts), counts));
    }
    assert_eq!(service.count("event").await, 1);
}

#[sqlx::test]
async fn event_that_cannot_be_written_does_not_block_the_spool(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    // Two errors that are not plain data errors: an exception raised by a trigger, and a journal
    // row that this version cannot decode.
    service
        .execute(
            "create function refuse() returns trigger language plpgsql as $$
             begin
                if new.message_id = 'poison' then raise exception 'no'; end if;
                return new;
             end $$;
             create trigger refuse before insert on message for each row execute function refuse();
             alter type event_outcome add value 'of a newer version';",
        )
        .await;
    let post = async |id: &str| {
        service.post(json!({"data_event": "status_message", "id": id}).to_string()).await
    };
    assert_eq!(outcome(&post("from the future").await), "applied");
    service.execute("update event set outcome = 'of a newer version'").await;

    let outage = Outage::start(&db).await;
    for id in ["poison", "from the future", "a", "b", "c"] {
        assert_eq!(outcome(&post(id).await), "spooled");
    }
    outage.end().await;
    wait_for_events(&service, 5).await;
    for id in ["a", "b", "c"] {
        service.data(&format!("/v1/messages/{id}")).await;
    }
    let quarantined = service.data("/v1/events?outcome=quarantined").await;
    assert_eq!(quarantined[0]["reasons"][0], "refused: rejected by the database (SQLSTATE P0001)");
    // One event stays in the spool and does not block the others.
    assert_eq!(service.app.ingest.spools[0].depth().events, 1);
    assert_eq!(outcome(&post("d").await), "applied");
}

#[sqlx::test]
async fn event_left_in_the_spool_never_blocks_later_events(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &[]).await;
    let message = |id: &str| {
        let body = json!({"data_event": "status_message", "id": id}).to_string();
        webhook_at(&chrono::Utc::now().to_rfc3339(), body)
    };
    // This version cannot decode the row, so its next delivery cannot be written.
    service.execute("alter type event_outcome add value 'of a newer version'").await;
    let spool = &service.app.ingest.spools[0];
    spool.append(message("unreadable"), SPOOL_TIMEOUT).await.unwrap();
    wait_for_events(&service, 1).await;
    wait_until(async || spool.depth().events == 0).await;
    service.execute("update event set outcome = 'of a newer version'").await;
    spool.append(message("unreadable"), SPOOL_TIMEOUT).await.unwrap();
    // Each of these is in the spool behind the event that cannot be written.
    for i in 2..12 {
        spool.append(message(&format!("m{i}")), SPOOL_TIMEOUT).await.unwrap();
        wait_for_events(&service, i).await;
    }
    wait_until(async || spool.depth().events == 1).await;
}

#[sqlx::test]
async fn spool_batches_are_split_until_they_fit_the_statement_timeout(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let message = |i| {
        let body = json!({"data_event": "status_message", "id": format!("m{i}")}).to_string();
        webhook_at(&chrono::Utc::now().to_rfc3339(), body)
    };
    let webhooks: Vec<Webhook> = (0..300).map(message).collect();
    assert_eq!(disk.append(&webhooks, 1 << 20).unwrap(), 300);
    sqlx::raw_sql(
        "create function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep(0.01); return new; end $$;
         create trigger slow before insert on message for each row execute function slow();",
    )
    .execute(&db)
    .await
    .unwrap();
    let timeout = [("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "1s")];
    let service = Service::start_on(db.clone(), Some(disk), &timeout).await;
    wait_for_events(&service, 300).await;
}

/// Settings of a process with a spool in this folder and an unreachable database.
pub fn unreachable_database(db: &PgPool, folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.to_str().unwrap().into());
    settings.insert("DATABASE_URL".into(), "postgres://127.0.0.1:1/unreachable".into());
    settings
}

#[sqlx::test(migrations = false)]
async fn service_with_a_spool_starts_while_the_database_is_unavailable(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = unreachable_database(&db, folder.path());
    let client = reqwest::Client::new();
    let service = Process::start(settings.clone()).await;
    for name in ["01", "02"] {
        let status = post(&client, &service.url, body(name)).await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    let response = reqwest::get(format!("{}/readyz?verbose", service.ops)).await.unwrap();
    // A load balancer should keep sending: webhooks are spooled.
    assert_eq!(response.status(), StatusCode::OK);
    let response: Value = response.json().await.unwrap();
    assert_eq!(response["problems"], json!(["database: unavailable"]));
    assert_eq!(response["spool"]["events"], 2);
    assert!(response["spool"]["oldest_seconds"].as_f64().unwrap() > 0.0, "{response}");
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("\nqontak_receiver_spool_events{medium=\"disk\"} 2\n"), "{metrics}");
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
    assert!(log.last().unwrap().contains(r#""message":"stopped","spooled":2"#), "{log:?}");

    // The database, until now without a schema, becomes reachable.
    settings.extend(super::harness::settings(&db.connect_options()));
    let service = Process::start(settings).await;
    let empty = async || {
        let response = reqwest::get(format!("{}/readyz?verbose", service.ops)).await.unwrap();
        response.json::<Value>().await.unwrap()["spool"]["events"] == 0
    };
    wait_until(empty).await;
    let events: i64 =
        sqlx::query_scalar("select count(*) from event").fetch_one(&db).await.unwrap();
    assert_eq!(events, 2);
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test(migrations = false)]
async fn second_process_on_a_spool_folder_takes_it_over_when_the_first_one_ends(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let settings = unreachable_database(&db, folder.path());
    let client = reqwest::Client::new();
    let state = async |service: &Process| {
        let response = reqwest::get(format!("{}/readyz?verbose", service.ops)).await.unwrap();
        let state: Value = response.json().await.unwrap();
        (state["spool"]["events"].as_u64().unwrap(), state["warnings"].clone())
    };
    let first = Process::start(settings.clone()).await;
    assert_eq!(post(&client, &first.url, body("01")).await.unwrap(), StatusCode::OK);
    let second = Process::start(settings).await;
    assert_eq!(post(&client, &second.url, body("02")).await.unwrap(), StatusCode::OK);
    assert_eq!(state(&first).await, (1, json!([])));
    let warning = json!(["spool: its folder is used by another process too"]);
    assert_eq!(state(&second).await, (1, warning));
    first.signal("KILL");
    first.wait_for_exit().await;
    wait_until(async || state(&second).await == (2, json!([]))).await;
    second.signal("TERM");
    assert_eq!(second.wait_for_exit().await.0, Some(0));
}
