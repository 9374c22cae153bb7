//! Replays of many events over the API: by filter, with progress, canceled, and taken over.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::binary::Process;
use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{KEY_OF_ALL, KEY_REPLAY_ONLY, Service, settings};
use super::spool::wait_until;

async fn request(service: &Process, method: Method, path: &str, key: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", service.url);
    let response = reqwest::Client::new().request(method, url).bearer_auth(key).send().await;
    let response = response.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Starts a replay and returns its path.
async fn start(service: &Process, filter: &str) -> String {
    let path = format!("/v1/replays?{filter}");
    let (status, body) = request(service, Method::POST, &path, KEY_REPLAY_ONLY).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    format!("/v1/replays/{}", body["data"]["replay_id"].as_str().unwrap())
}

async fn get(service: &Process, path: &str) -> Value {
    request(service, Method::GET, path, KEY_REPLAY_ONLY).await.1["data"].take()
}

/// Waits until a replay is in this state, and returns it.
async fn wait_for(service: &Process, path: &str, state: &str) -> Value {
    wait_until(async || get(service, path).await["state"] == state).await;
    get(service, path).await
}

async fn execute(db: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

/// A database with all fixtures.
async fn with_history(db: &PgPool) -> Service {
    let service = Service::start(db.clone()).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

#[sqlx::test]
async fn replay_by_filter_fills_emptied_tables_and_counts_its_events(db: PgPool) {
    let history = with_history(&db).await;
    let kind = "receive_message_from_customer";
    let expected = history.count(&format!("event where kind = '{kind}'")).await;
    execute(&db, "truncate room, message, sender").await;
    let service = Process::start(settings(&db.connect_options())).await;
    let path = start(&service, &format!("kind={kind}")).await;
    let done = wait_for(&service, &path, "done").await;
    assert_eq!((&done["events"], &done["changed"]), (&json!(expected), &json!(0)), "{done}");
    assert_eq!(done["kind"], kind);
    history.data(&format!("/v1/rooms/{SITI_ROOM}")).await;
    let others = "message where participant_type = 'agent' and text is not null";
    assert_eq!(history.count(others).await, 0);
}

#[sqlx::test]
async fn replay_of_one_organisation_leaves_others(db: PgPool) {
    let history = with_history(&db).await;
    let organization = super::harness::ORGANIZATION;
    let own = format!("event where organization = organization_number('{organization}')");
    let expected = history.count(&own).await;
    let service = Process::start(settings(&db.connect_options())).await;
    let filter = format!("start_date=1970-01-01&organization_id={organization}");
    let path = start(&service, &filter).await;
    let done = wait_for(&service, &path, "done").await;
    assert_eq!(done["events"], json!(expected), "{done}");
    assert!(expected < history.count("event").await);
}

#[sqlx::test]
async fn replays_need_a_filter_and_the_scope(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    for (path, key, expected) in [
        ("/v1/replays", KEY_REPLAY_ONLY, StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/replays?outcome=unknown", KEY_REPLAY_ONLY, StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/replays?outcome=quarantined", KEY_OF_ALL, StatusCode::FORBIDDEN),
    ] {
        let (status, body) = request(&service, Method::POST, path, key).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    let path = "/v1/replays/01a20465-df75-70c0-b9ae-ce4895d45b66";
    for method in [Method::GET, Method::DELETE] {
        let (status, _) = request(&service, method, path, KEY_REPLAY_ONLY).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

#[sqlx::test]
async fn canceled_replay_stops_and_a_later_one_runs(db: PgPool) {
    let _history = with_history(&db).await;
    let service = Process::start(settings(&db.connect_options())).await;
    // Its rows cannot be written meanwhile.
    let mut lock = db.begin().await.unwrap();
    sqlx::query("lock table room in exclusive mode").execute(&mut *lock).await.unwrap();
    let path = start(&service, "start_date=1970-01-01").await;
    let is_working = "select count(*) from replay where worked_at is not null";
    wait_until(async || {
        sqlx::query_scalar::<_, i64>(is_working).fetch_one(&db).await.unwrap() == 1
    })
    .await;
    let (status, body) = request(&service, Method::DELETE, &path, KEY_REPLAY_ONLY).await;
    assert_eq!((status, &body["data"]["state"]), (StatusCode::OK, &json!("canceled")));
    lock.rollback().await.unwrap();
    let second = start(&service, "outcome=quarantined").await;
    wait_for(&service, &second, "done").await;
    assert_eq!(get(&service, &path).await["state"], "canceled");
}

#[sqlx::test]
async fn replay_of_a_replica_that_is_gone_is_taken_over_after_its_last_page(db: PgPool) {
    let history = with_history(&db).await;
    let events = history.count("event").await;
    // As a replica leaves it that was killed after the tenth event.
    execute(
        &db,
        "insert into replay (replay_id, key_name, to_at, after_id, events, worked_at)
         select gen_random_uuid(), 'replayer', now(), event_id, 10, now() - interval '61 s'
         from event order by day, event_id offset 9 limit 1",
    )
    .await;
    let service = Process::start(settings(&db.connect_options())).await;
    let id: uuid::Uuid =
        sqlx::query_scalar("select replay_id from replay").fetch_one(&db).await.unwrap();
    let done = wait_for(&service, &format!("/v1/replays/{id}"), "done").await;
    assert_eq!(done["events"], json!(events), "{done}");
}

#[sqlx::test]
async fn stopped_replica_lets_another_one_go_on_at_once(db: PgPool) {
    let _history = with_history(&db).await;
    let settings = settings(&db.connect_options());
    let first = Process::start(settings.clone()).await;
    let mut lock = db.begin().await.unwrap();
    sqlx::query("lock table room in exclusive mode").execute(&mut *lock).await.unwrap();
    let path = start(&first, "start_date=1970-01-01").await;
    let is_working = "select count(*) from replay where worked_at is not null";
    wait_until(async || {
        sqlx::query_scalar::<_, i64>(is_working).fetch_one(&db).await.unwrap() == 1
    })
    .await;
    first.signal("TERM");
    lock.rollback().await.unwrap();
    first.wait_for_exit().await;
    let second = Process::start(settings).await;
    wait_for(&second, &path, "done").await;
}
