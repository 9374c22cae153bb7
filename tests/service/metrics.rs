//! `/metrics`, and the alerts and the dashboard that read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qontak_receiver::telemetry::catalog::{Kind, METRICS};
use serde_json::Value;
use sqlx::PgPool;

use super::binary::{Process, post};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, settings};
use super::spool::{Outage, wait_until};

async fn scrape(service: &Process) -> String {
    reqwest::get(format!("{}/metrics", service.ops)).await.unwrap().text().await.unwrap()
}

fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn names(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[sqlx::test(migrations = false)]
async fn metrics_are_those_of_the_catalog_and_present_before_the_first_webhook(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.path().to_str().unwrap().into());
    let service = Process::start(settings).await;
    wait_until(async || scrape(&service).await.contains("task=\"metrics\"} 1")).await;
    let metrics = scrape(&service).await;
    let catalog: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let unknown: Vec<_> = names(&metrics).difference(&catalog).copied().collect();
    assert_eq!(unknown, Vec::<&str>::new());
    // Those of organisations at Qontak depend on settings, those of sources on events.
    let is_later = |name: &&str| {
        ["qontak_receiver_qontak_", "qontak_receiver_source_"].iter().any(|it| name.starts_with(it))
    };
    let missing: Vec<_> = catalog.difference(&names(&metrics)).copied().collect();
    assert!(missing.iter().all(is_later), "{missing:?}");
    for series in [
        "qontak_receiver_events_total{outcome=\"quarantined\"}",
        "qontak_receiver_refused_total{reason=\"storage_unavailable\"}",
        "qontak_receiver_events_by_kind_total{kind=\"status_message\"}",
        "qontak_receiver_last_event_timestamp_seconds{kind=\"status_message\"}",
        "qontak_receiver_requests_total{route=\"/webhooks/qontak/{token}\",status=\"503\"}",
        "qontak_receiver_spool_lost_total",
        "qontak_receiver_commit_seconds_count",
    ] {
        assert_eq!(value(&metrics, series), Some(0.0), "{series} in {metrics}");
    }
    for (series, expected) in [
        ("qontak_receiver_database_up", 1.0),
        ("qontak_receiver_partitions_ahead", 7.0),
        ("qontak_receiver_spool_max_bytes{medium=\"disk\"}", f64::from(1 << 30)),
        ("qontak_receiver_build_info{version=\"0.1.0\",revision=\"unknown\"}", 1.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series} in {metrics}");
    }
    for series in [
        "qontak_receiver_spool_free_bytes{medium=\"disk\"}",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(value(&metrics, series) > Some(1.0), "{series} in {metrics}");
    }
}

#[sqlx::test(migrations = false)]
async fn requests_are_counted_by_route_and_status(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    for text in [body("01"), body("01"), b"not JSON".to_vec()] {
        post(&client, &service.url, text).await.unwrap();
    }
    for path in ["/v1/rooms/a-room", "/v1/rooms", "/nowhere"] {
        let request = client.get(format!("{}{path}", service.url));
        request.bearer_auth(KEY_OF_ALL).send().await.unwrap();
    }
    let metrics = scrape(&service).await;
    for (labels, expected) in [
        ("route=\"/webhooks/qontak/{token}\",status=\"200\"", 2.0),
        ("route=\"/webhooks/qontak/{token}\",status=\"400\"", 1.0),
        ("route=\"/v1/rooms/{id}\",status=\"404\"", 1.0),
        ("route=\"/v1/rooms\",status=\"200\"", 1.0),
        ("route=\"unmatched\",status=\"404\"", 1.0),
    ] {
        let series = format!("qontak_receiver_requests_total{{{labels}}}");
        assert_eq!(value(&metrics, &series), Some(expected), "{series} in {metrics}");
    }
    let series = "qontak_receiver_refused_total{reason=\"not_found\"}";
    assert_eq!(value(&metrics, series), Some(2.0), "{metrics}");
    let kind = "{kind=\"receive_message_from_customer\"}";
    let series = format!("qontak_receiver_events_by_kind_total{kind}");
    assert_eq!(value(&metrics, &series), Some(1.0), "{metrics}");
    let series = format!("qontak_receiver_last_event_timestamp_seconds{kind}");
    assert!(value(&metrics, &series) > Some(1.7e9), "{metrics}");
    let series = "qontak_receiver_request_seconds_count{route=\"/webhooks/qontak/{token}\"}";
    assert_eq!(value(&metrics, series), Some(3.0), "{metrics}");
}

#[sqlx::test(migrations = false)]
async fn unavailable_database_is_shown_until_it_is_back(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let up = async |expected| {
        value(&scrape(&service).await, "qontak_receiver_database_up") == Some(expected)
    };
    wait_until(async || up(1.0).await).await;
    let outage = Outage::start(&db).await;
    wait_until(async || up(0.0).await).await;
    outage.end().await;
    wait_until(async || up(1.0).await).await;
}

/// Names of metrics in a text.
fn mentioned(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c| !is_name(c));
    let ours = words.filter(|it| it.starts_with("qontak_receiver_") || it.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let mut known: BTreeMap<String, Kind> = BTreeMap::new();
    for metric in METRICS {
        let suffixes: &[&str] =
            if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(suffixes.iter().map(|it| (format!("{}{it}", metric.name), metric.kind)));
    }
    let dashboard: Value = serde_json::from_str(&file("monitoring/dashboard.json")).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let used = mentioned(query);
            assert!(!used.is_empty() && used.iter().all(|it| known.contains_key(it)), "{query}");
            queries += 1;
        }
    }
    assert!(queries > 30, "{queries}");
    let alerts = file("monitoring/alerts.yml");
    let unknown: Vec<_> =
        mentioned(&alerts).into_iter().filter(|it| !known.contains_key(it)).collect();
    assert_eq!(unknown, Vec::<String>::new());
    // Each alert is tested, and documented with what to do.
    let (tests, docs) = (file("monitoring/alerts.test.yml"), file("docs/operate.md"));
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not tested");
        assert!(docs.contains(&format!("| `{alert}` |")), "{alert} is not documented");
    }
}

#[test]
fn every_metric_is_documented() {
    let docs = file("docs/operate.md") + &file("docs/qontak.md");
    let is_documented = |name: &str| {
        let name = name.strip_prefix("qontak_receiver_").unwrap_or(name);
        docs.contains(&format!("`{name}`")) || docs.contains(&format!("`{name}{{"))
    };
    let missing: Vec<_> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !is_documented(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
