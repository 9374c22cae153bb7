//! Reads from a hot standby, a real one.

use axum::http::StatusCode;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use super::crash::Cluster;
use super::fixtures::{ALL, body};
use super::harness::{KEY_OF_ALL, Service};
use super::spool::{outcome, wait_until};
use qontak_receiver::store;

/// A service on a server of its own, with a standby to read from.
async fn start(primary: &Cluster, standby: &Cluster) -> Service {
    let db = PgPoolOptions::new().max_connections(2).connect(&primary.url).await.unwrap();
    let settings = [
        ("RECEIVER__DATABASE__READ_URL", standby.url.as_str()),
        ("RECEIVER__DATABASE__MAX_READ_LAG", "1s"),
    ];
    Service::start_with(db, &settings).await
}

async fn connect(cluster: &Cluster) -> PgPool {
    PgPoolOptions::new().max_connections(2).connect(&cluster.url).await.unwrap()
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
