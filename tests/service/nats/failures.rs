//! Nodes that fail while webhooks arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use qontak_receiver::ingest::spool::disk::Disk;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::nodes::Nodes;
use super::{counts, message, of_process, start_on};
use crate::binary::{DEADLINE, Process, start};
use crate::harness::{KEY_OF_ALL, TOKEN};
use crate::spool::{outcome, wait_until};

/// Webhooks per second. A test build on two quiet cores takes some 500. `scripts/bench.sh --only nats` does the
/// same at 500 with a release build, and measures the slowest response.
const RATE: u32 = 200;

/// Limit of the slowest response, on a machine that keeps up with the rate. That of the service is 1.4 s, after
/// which it refuses.
const MAX_LATENCY_MS: f64 = 5000.0;

#[sqlx::test(migrations = false)]
async fn any_node_may_be_killed_frozen_or_wiped(db: PgPool) {
    let nodes = Nodes::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = of_process(&db, &nodes.settings());
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.path().to_str().unwrap().into());
    settings.insert("RECEIVER__SPOOL__FIRST".into(), "true".into());
    settings.insert("RECEIVER__WRITER__ANSWER_TIMEOUT".into(), "1400ms".into());
    let service = Process::start(settings).await;
    let webhook = format!("{}/webhooks/qontak/{TOKEN}", service.url);
    let (rate, count) = (RATE.to_string(), (RATE * 18).to_string());
    let arguments = ["simulate", &webhook, "--rate", &rate, "--count", &count, "--json"];
    let verify = ["--verify", &service.url, "--key", KEY_OF_ALL];
    let simulation = start(&BTreeMap::new(), &[&arguments[..], &verify].concat());
    for node in 1..=3 {
        sleep(Duration::from_millis(700)).await;
        match node {
            1 => nodes.signal(node, "KILL"),
            2 => nodes.signal(node, "STOP"),
            _ => {
                nodes.signal(node, "KILL");
                sleep(Duration::from_millis(200)).await;
                nodes.wipe(node);
            }
        }
        sleep(Duration::from_secs(3)).await;
        if node == 2 {
            nodes.signal(node, "CONT");
        }
        nodes.restart().await;
    }
    let output = timeout(DEADLINE * 2, simulation.wait_with_output()).await.unwrap().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = (&report["failed"], &report["verified"]["wrong"]);
    assert_eq!(wrong, (&json!(0), &json!([])), "{report}");
    // Latency counts from when a webhook was due.
    let number = |path| report.pointer(path).unwrap().as_f64().unwrap();
    if number("/events_per_second") > 0.95 * f64::from(RATE) {
        assert!(number("/latency_ms/max") < MAX_LATENCY_MS, "{report}");
    } else {
        eprintln!("NOT CHECKED: this machine is too slow for {RATE} webhooks per second: {report}");
    }
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
}

#[sqlx::test]
async fn without_nodes_webhooks_go_to_the_disk_at_once_and_later_to_nats_again(db: PgPool) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let nodes = Nodes::start().await;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let first =
        [("RECEIVER__SPOOL__FIRST", "true"), ("RECEIVER__WRITER__ANSWER_TIMEOUT", "1400ms")];
    let service = start_on(&db, Some(disk), &nodes.settings(), &first).await;
    let post = async |i: usize| {
        let response = service.post(message(i)).await;
        assert_eq!((response.status, outcome(&response)), (StatusCode::OK, json!("spooled")));
    };
    post(0).await;
    wait_until(async || counts(&db).await == (1, 1, 1)).await;
    nodes.kill_all();
    // An attempt takes 370 ms, so only a few of these may make one.
    let posting = async {
        for i in 1..=200 {
            post(i).await;
        }
    };
    timeout(Duration::from_secs(30), posting).await.unwrap();
    wait_until(async || counts(&db).await == (201, 201, 201)).await;
    let [nats, disk] = &service.app.ingest.spools[..] else { panic!("two spools") };
    assert!(nats.depth().has_failed && !disk.depth().has_failed);
    nodes.restart().await;
    wait_until(async || {
        nats.test().await;
        !nats.depth().has_failed
    })
    .await;
    // The streams have leaders again after some seconds.
    let mut posted = 200;
    let mut spooled_in_nats = async || {
        let before = in_nats(&metrics);
        posted += 1;
        post(posted).await;
        in_nats(&metrics) > before
    };
    timeout(DEADLINE, async { while !spooled_in_nats().await {} }).await.unwrap();
    let posted = i64::try_from(posted).unwrap() + 1;
    wait_until(async || counts(&db).await == (posted, posted, posted)).await;
}

/// Number of webhooks that were spooled in NATS.
fn in_nats(metrics: &PrometheusHandle) -> u64 {
    let rendered = metrics.render();
    let series = "qontak_receiver_spooled_total{medium=\"nats\"} ";
    rendered.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).unwrap_or(0)
}
