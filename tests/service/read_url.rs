//! Reads from a hot standby, a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use super::binary::run;
use super::crash::Cluster;
use super::fixtures::{ALL, body};
use super::harness::{KEY_OF_ALL, Service, settings};
use super::spool::{outcome, wait_until};
use qontak_receiver::read::replica::Replica;
use qontak_receiver::store;

/// A service on a server of its own, with a standby to read from.
async fn start(primary: &Cluster, standby: &Cluster) -> Service {
    let db = connect(primary).await;
    let settings = [
        ("RECEIVER__DATABASE__READ_URL", standby.url.as_str()),
        ("RECEIVER__DATABASE__MAX_READ_LAG", "1s"),
    ];
    Service::start_with(db, &settings).await
}

async fn connect(cluster: &Cluster) -> PgPool {
    connect_to(&cluster.url).await
}

async fn connect_to(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(2).connect(url).await.unwrap()
}

/// Text of the line of `check` about the standby, which has this state.
async fn checked(settings: &BTreeMap<String, String>, state: &str) -> String {
    let output = run(settings, &["check", "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_replica = |check: &&Value| check["name"] == "replica";
    let check = report["checks"].as_array().unwrap().iter().find(is_replica).unwrap();
    assert_eq!(check["state"], state, "{check}");
    check["text"].as_str().unwrap().to_owned()
}

async fn execute(db: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

#[tokio::test]
async fn reads_use_the_standby_unless_it_is_too_far_behind_or_gone() {
    let primary = Cluster::make().await;
    store::migrate(&connect(&primary).await).await.unwrap();
    let standby = primary.standby().await;
    let service = start(&primary, &standby).await;
    let replica = service.app.read.replica.clone().unwrap();
    let measured = async || {
        replica.measure(&service.db).await;
        replica.usable().is_some()
    };
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    wait_until(measured).await;
    let shows = async |count: usize| {
        service.data("/v1/messages?limit=100").await.as_array().unwrap().len() == count
    };
    let messages = service.count("message").await;
    wait_until(async || shows(usize::try_from(messages).unwrap()).await).await;
    for path in ["rooms", "broadcasts", "delivery-statuses", "events", "ledger", "stats"] {
        let response = service.get(&format!("/v1/{path}")).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {:?}", response.json());
    }

    // The standby stops replaying: it is read until it is too far behind.
    let on_standby = connect(&standby).await;
    execute(&on_standby, "select pg_wal_replay_pause()").await;
    assert_eq!(
        outcome(
            &service.post(json!({"data_event": "status_message", "id": "late"}).to_string()).await
        ),
        "applied"
    );
    assert!(measured().await);
    assert_eq!(service.get("/v1/messages/late").await.status, StatusCode::NOT_FOUND);
    wait_until(async || !measured().await).await;
    assert_eq!(service.get("/v1/messages/late").await.status, StatusCode::OK);
    execute(&on_standby, "select pg_wal_replay_resume()").await;
    wait_until(measured).await;
    assert_eq!(service.get("/v1/messages/late").await.status, StatusCode::OK);

    // A replay writes, so it does not use the standby.
    let event = service.data("/v1/events?limit=1").await[0]["event_id"].take();
    let path = format!("/v1/events/{}/replay", event.as_str().unwrap());
    let request = axum::http::Request::post(path)
        .header("authorization", format!("Bearer {}", super::harness::KEY_REPLAY_ONLY));
    let response = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK, "{:?}", response.json());

    // `check` knows it, as each of the following.
    let mut settings = settings(&service.db.connect_options());
    let read_url = |url: &str| [("RECEIVER__DATABASE__READ_URL".to_owned(), url.to_owned())];
    settings.extend(read_url(&standby.url));
    let text = checked(&settings, "ok").await;
    assert!(text.starts_with("a standby, ") && text.ends_with(" ms behind the primary"), "{text}");
    execute(&on_standby, "select pg_wal_replay_pause()").await;
    service.execute("create table unreplayed ()").await;
    let text = checked(&settings, "warn").await;
    assert!(text.contains(" bytes behind the primary of 2 s ago; see its network"), "{text}");
    execute(&on_standby, "select pg_wal_replay_resume()").await;
    settings.extend(read_url(&primary.url));
    let text = checked(&settings, "fail").await;
    assert!(text.starts_with("database.read_url is not a standby; set it to a hot"), "{text}");
    let other = std::env::var("DATABASE_URL").unwrap();
    settings.extend(read_url(&other));
    let text = checked(&settings, "fail").await;
    assert!(text.starts_with("database.read_url has the data of another server than"), "{text}");
    settings.extend(read_url("postgres://postgres:secret@127.0.0.1:1/receiver"));
    let text = checked(&settings, "warn").await;
    assert!(text.contains("start the standby, or correct the URL"), "{text}");
    assert!(!text.contains("secret"), "{text}");

    // Another server is never read.
    let unrelated = Replica::new(connect_to(&other).await, Duration::from_secs(60));
    unrelated.measure(&service.db).await;
    assert!(unrelated.usable().is_none());

    // Without the standby, the primary is read; without the primary, the standby.
    standby.stop().await;
    assert!(!measured().await);
    assert_eq!(service.get("/v1/messages/late").await.status, StatusCode::OK);
    standby.start().await;
    wait_until(measured).await;
    primary.stop().await;
    assert!(measured().await);
    assert_eq!(service.get_with(KEY_OF_ALL, "/v1/messages/late").await.status, StatusCode::OK);
    assert_eq!(service.post(body("01")).await.status, StatusCode::SERVICE_UNAVAILABLE);
}
