//! What `check` and the start find wrong with NATS.

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::nodes::Nodes;
use super::{Settings, connect, first_stream, of_process};
use crate::binary::{Process, run};

#[sqlx::test(migrations = false)]
async fn streams_with_other_limits_are_refused(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let name = first_stream(&nats);
    let config = Config {
        name: name.clone(),
        subjects: vec![format!("{name}.*")],
        retention: jetstream::stream::RetentionPolicy::WorkQueue,
        num_replicas: 3,
        max_bytes: (1 << 30) / 3,
        // Would forget acknowledged webhooks.
        discard: DiscardPolicy::Old,
        ..Config::default()
    };
    let context = connect(&nats).await;
    context.create_stream(config.clone()).await.unwrap();
    let output = run(&of_process(&db, &nats), &[]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let expected = format!("stream {name} has discard Old, expected discard New; correct it with");
    assert!(stderr.contains(&expected), "{stderr}");

    // As the setting: accepted, and a consumer that gives up after some deliveries is corrected.
    let config = Config { discard: DiscardPolicy::New, ..config };
    let stream = context.update_stream(&config).await.map(|_| context.get_stream(&name));
    let stream = stream.unwrap().await.unwrap();
    let consumer = pull::Config {
        durable_name: Some("writer".to_owned()),
        max_deliver: 3,
        ..pull::Config::default()
    };
    stream.create_consumer(consumer).await.unwrap();
    let service = Process::start(of_process(&db, &nats)).await;
    let consumer = stream.get_consumer::<pull::Config>("writer").await.unwrap();
    assert_eq!(consumer.cached_info().config.max_deliver, -1);
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test(migrations = false)]
async fn max_payload_below_the_largest_body_is_refused(db: PgPool) {
    let nodes = Nodes::shared().await;
    let mut settings = of_process(&db, &nodes.settings());
    settings.insert("RECEIVER__HTTP__MAX_BODY_BYTES".into(), (8 << 20).to_string());
    let output = run(&settings, &[]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("max_payload of the NATS servers is 8388608, too small"), "{stderr}");
}

/// Lines of `check` about NATS.
async fn checked(db: &PgPool, nats: &Settings) -> Vec<Value> {
    let output = run(&of_process(db, nats), &["check", "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().filter(|check| check["name"] == "nats").cloned().collect()
}

#[sqlx::test]
async fn nodes_that_do_not_sync_are_reported(db: PgPool) {
    let nodes = Nodes::shared().await;
    let mut nats = nodes.settings();
    let found = checked(&db, &nats).await;
    assert_eq!(found.len(), 4, "the streams and each node: {found:?}");
    assert!(found.iter().all(|check| check["state"] == "ok"), "{found:?}");
    nats[1].1.clear();
    let found = checked(&db, &nats).await;
    assert_eq!((found.len(), &found[1]["state"]), (2, &json!("warn")), "{found:?}");

    let unsafe_nodes = Nodes::start_with_sync("2m").await;
    let nats = unsafe_nodes.settings();
    let found = checked(&db, &nats).await;
    for check in &found[1..] {
        let text = check["text"].as_str().unwrap();
        assert!(check["state"] == "fail" && text.contains("set sync_interval: always"), "{check}");
    }
    let service = Process::start(of_process(&db, &nats)).await;
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let warned = log.iter().filter(|line| line.contains("does not sync before it acknowledges"));
    assert_eq!(warned.count(), 3, "{log:?}");
}
