//! Spooled webhooks in metrics, the ledger and `/v1/health`.

use metrics_exporter_prometheus::PrometheusBuilder;
use qontak_receiver::ingest::spool::disk::Disk;
use serde_json::json;
use sqlx::PgPool;

use super::fixtures::{ALL, body};
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, Service};
use super::spool::{Outage, SHORT_TIMEOUTS, ledger_received, outcome, wait_until};

#[sqlx::test]
async fn events_total_counts_what_the_ledger_counts(db: PgPool) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    for fixture in &ALL[..3] {
        service.post(fixture.body()).await;
    }
    let outage = Outage::start(&db).await;
    for fixture in &ALL[..5] {
        service.post(fixture.body()).await;
    }
    service.post("not JSON").await;
    outage.end().await;
    wait_until(async || ledger_received(&service).await == 9).await;
    wait_until(async || service.app.ingest.spools[0].depth().events == 0).await;
    let ledger = service.data("/v1/ledger").await;
    let rendered = metrics.render();
    let metric = |name: &str| {
        let value = rendered.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.map_or(0, |value| value.parse::<i64>().unwrap())
    };
    let hours = ledger.as_array().unwrap();
    for outcome in ["applied", "recorded", "quarantined", "malformed", "duplicate"] {
        let counted: i64 = hours.iter().map(|hour| hour[outcome].as_i64().unwrap()).sum();
        let name = format!("qontak_receiver_events_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&name), counted, "{rendered}");
    }
    let names = rendered.lines().filter(|line| line.starts_with("qontak_receiver_events_total{"));
    let total: i64 =
        names.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(total, 9, "{rendered}");
    assert_eq!(metric("qontak_receiver_spooled_total{medium=\"disk\"}"), 6, "{rendered}");
}

#[sqlx::test]
async fn ledger_and_health_say_how_many_webhooks_wait(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    let waiting = async || service.get("/v1/ledger").await.json()["meta"]["waiting"].take();
    assert_eq!(waiting().await, json!({"events": 0, "oldest_at": null}));
    service.execute("alter table event rename to event_renamed").await;
    assert_eq!(outcome(&service.post(body("01")).await), "spooled");
    let found = waiting().await;
    assert!(found["events"] == 1 && found["oldest_at"].is_string(), "{found}");
    let health = async |key| service.get_with(key, "/v1/health").await.json()["data"].take();
    assert_eq!(health(KEY_OF_ALL).await["waiting"], found);
    // It is a number of all organisations.
    let response = service.get_with(KEY_OF_ORGANIZATION, "/v1/ledger").await;
    assert_eq!(response.json()["meta"].get("waiting"), None);
    assert_eq!(health(KEY_OF_ORGANIZATION).await.get("waiting"), None);
    service.execute("alter table event_renamed rename to event").await;
    wait_until(async || waiting().await["events"] == 0).await;
    assert_eq!(ledger_received(&service).await, 1);
}
