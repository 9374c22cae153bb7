//! `/readyz`, `check` and the log while the database or the spool refuses writes.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::router::ops::{self, Ops};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use tower::ServiceExt;

use super::binary::{Process, post, run};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, Service, settings};
use super::spool::{SHORT_TIMEOUTS, outcome, wait_for_events, wait_until};
use super::spool_disk::SimulatedDisk;

/// Status and problems that `/readyz` reports.
async fn readiness(service: &Process) -> (u16, Vec<String>) {
    let response = reqwest::get(format!("{}/readyz", service.ops)).await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, serde_json::from_value(body["problems"].clone()).unwrap())
}

/// Makes new sessions of the database read-only, or not, and ends all others.
async fn set_read_only(db: &PgPool, is_read_only: bool) {
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(db).await.unwrap();
    let sql =
        format!(r#"alter database "{name}" set default_transaction_read_only = {is_read_only}"#);
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    let mut connection = db.acquire().await.unwrap();
    sqlx::raw_sql("set default_transaction_read_only = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    sqlx::raw_sql(end).execute(&mut *connection).await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn readyz_and_check_name_a_read_only_database(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    assert_eq!(readiness(&service).await, (200, Vec::new()));
    set_read_only(&db, true).await;
    const READ_ONLY: &str = "write: database is read-only (25006)";
    assert_eq!(readiness(&service).await, (503, vec![READ_ONLY.to_owned()]));
    let checked = String::from_utf8(run(&settings, &["check"]).await.stdout).unwrap();
    let line = "FAIL  write      a test event cannot be stored: database is read-only (25006)";
    assert!(checked.contains(line), "{checked}");
    set_read_only(&db, false).await;
    wait_until(async || readiness(&service).await.0 == 200).await;
    let checked = String::from_utf8(run(&settings, &["check"]).await.stdout).unwrap();
    assert!(checked.contains("ok    write      a test event can be stored"), "{checked}");
    let events: i64 =
        sqlx::query_scalar("select count(*) from event").fetch_one(&db).await.unwrap();
    assert_eq!(events, 0);
}

/// Posts webhooks that are not stored.
async fn post_in_vain(service: &Process) {
    let client = reqwest::Client::new();
    for i in 0..20 {
        let body = json!({"data_event": "status_message", "id": format!("m{i}")}).to_string();
        let status = post(&client, &service.url, body.into()).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{i}");
    }
}

/// Stops a service that stores webhooks again; returns its log.
async fn recover(service: Process) -> Vec<String> {
    let client = reqwest::Client::new();
    let is_stored =
        async || post(&client, &service.url, body("01")).await.unwrap() == StatusCode::OK;
    wait_until(is_stored).await;
    service.signal("TERM");
    service.wait_for_exit().await.1
}

/// Number of lines of a log with this text.
fn lines(log: &[String], text: &str) -> usize {
    log.iter().filter(|line| line.contains(text)).count()
}

#[sqlx::test(migrations = false)]
async fn outage_is_logged_once_at_its_begin_and_once_at_its_end(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    set_read_only(&db, true).await;
    post_in_vain(&service).await;
    set_read_only(&db, false).await;
    let log = recover(service).await;
    assert_eq!(lines(&log, r#""message":"database unavailable""#), 1, "{log:#?}");
    assert_eq!(lines(&log, r#""message":"database available again""#), 1, "{log:#?}");
}

#[sqlx::test(migrations = false)]
async fn journal_that_refuses_every_row_is_logged_once_and_not_as_quarantine(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let refuse = "create function refuse() returns trigger language plpgsql as
            $$ begin raise exception 'no'; end $$;
        create trigger refuse before insert on event for each row execute function refuse()";
    sqlx::raw_sql(refuse).execute(&db).await.unwrap();
    post_in_vain(&service).await;
    sqlx::raw_sql("drop trigger refuse on event").execute(&db).await.unwrap();
    let log = recover(service).await;
    assert_eq!(lines(&log, "batch not stored"), 1, "{log:#?}");
    assert_eq!(lines(&log, "event rejected by the database"), 0, "{log:#?}");
}

#[sqlx::test(migrations = false)]
async fn sessions_that_began_read_only_are_not_kept(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    set_read_only(&db, true).await;
    // At once, so that several sessions begin. Reads succeed, so that nothing closes these.
    let client = reqwest::Client::new();
    let rooms = format!("{}/v1/rooms", service.url);
    let reads = (0..32).map(|_| client.get(&rooms).bearer_auth(KEY_OF_ALL).send());
    for response in futures_util::future::join_all(reads).await {
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&db).await.unwrap();
    let mut connection = db.acquire().await.unwrap();
    sqlx::raw_sql("set default_transaction_read_only = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    let reset = format!(r#"alter database "{name}" reset default_transaction_read_only"#);
    sqlx::raw_sql(AssertSqlSafe(reset)).execute(&mut *connection).await.unwrap();
    wait_until(async || readiness(&service).await.0 == 200).await;
    for _ in 0..30 {
        assert_eq!(readiness(&service).await, (200, Vec::new()));
    }
}

#[sqlx::test(migrations = false)]
async fn readyz_names_a_locked_journal(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let mut blocking = db.begin().await.unwrap();
    let lock = "lock table event in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *blocking).await.unwrap();
    let problem = "write: lock or statement timeout (SQLSTATE 55P03)".to_owned();
    assert_eq!(readiness(&service).await, (503, vec![problem]));
    blocking.rollback().await.unwrap();
    assert_eq!(readiness(&service).await, (200, Vec::new()));
}

#[sqlx::test]
async fn spool_whose_disk_failed_is_not_ready_until_it_works_again(db: PgPool) {
    let device = SimulatedDisk::new();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let spool = service.app.ingest.spools[0].clone();
    let (_stopping, stopping) = watch::channel(false);
    let ops = ops::router(Ops {
        db: db.clone(),
        writer: service.app.ingest.writer.clone(),
        spools: vec![spool.clone()],
        spool_problem: None,
        metrics: PrometheusBuilder::new().build_recorder().handle(),
        stopping,
    });
    let readiness = async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let response = ops.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (status, body["problems"].clone())
    };
    assert_eq!(readiness().await, (StatusCode::OK, json!([])));
    // Found without a webhook to spool.
    device.set_broken(true);
    spool.test().await;
    let problems = json!(["spool: its disk is full or has failed, see the log"]);
    assert_eq!(readiness().await, (StatusCode::SERVICE_UNAVAILABLE, problems.clone()));
    device.set_broken(false);
    spool.test().await;
    assert_eq!(readiness().await, (StatusCode::OK, json!([])));
    // Webhooks reach the spool, whose disk is full.
    service.execute("alter table event rename to event_renamed").await;
    assert_eq!(outcome(&service.post(body("01")).await), "spooled");
    device.set_broken(true);
    assert_eq!(service.post(body("02")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    service.execute("alter table event_renamed rename to event").await;
    wait_for_events(&service, 1).await;
    wait_until(async || spool.depth().events == 0).await;
    // The database works, and the spool can be read.
    wait_until(async || readiness().await.1 == problems).await;
    assert_eq!(readiness().await.0, StatusCode::SERVICE_UNAVAILABLE);
    spool.test().await;
    assert_eq!(readiness().await.0, StatusCode::SERVICE_UNAVAILABLE);
    device.set_broken(false);
    spool.test().await;
    assert_eq!(readiness().await, (StatusCode::OK, json!([])));
    assert_eq!(service.post(body("02")).await.status, StatusCode::OK);
}

#[test]
fn disk_test_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    disk.test().unwrap();
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["lock"]);
}
