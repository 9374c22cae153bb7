//! `qontak-receiver simulate`: realistic traffic, and the verification of the final state.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::binary::{Process, run};
use super::harness::{KEY_OF_ALL, TOKEN, settings};

/// Runs the command without any setting of the service.
async fn simulate(arguments: &[&str]) -> Output {
    run(&BTreeMap::new(), &[&["simulate"], arguments].concat()).await
}

/// Sends to a service, and verifies the rows it returns.
async fn simulate_and_verify(service: &Process, arguments: &[&str]) -> Output {
    let url = format!("{}/webhooks/qontak/{TOKEN}", service.url);
    let fixed = [url.as_str(), "--seed", "7", "--verify", &service.url, "--key", KEY_OF_ALL];
    simulate(&[&fixed, arguments].concat()).await
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Another webhook receiver, which records the bodies and delays its first response.
struct RecordingReceiver {
    url: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    _serving: JoinSet<()>,
}

impl RecordingReceiver {
    async fn start(first_delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let recorded = bodies.clone();
        let take = move |body: Bytes| async move {
            let is_first = {
                let mut recorded = recorded.lock().unwrap();
                recorded.push(body);
                recorded.len() == 1
            };
            if is_first {
                tokio::time::sleep(first_delay).await;
            }
            Json(json!({}))
        };
        let router = Router::new().route("/in", post(take));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, bodies, _serving: serving }
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().unwrap().clone()
    }
}

#[sqlx::test(migrations = false)]
async fn simulated_scenarios_end_in_the_expected_final_state(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let cases = [
        ("chat", "verified 219 messages, 40 rooms, 0 broadcast logs: 0 wrong"),
        ("broadcast", "verified 137 messages, 137 rooms, 171 broadcast logs: 0 wrong"),
        ("storm", "verified 170 messages, 66 rooms, 54 broadcast logs: 0 wrong"),
        ("message", "verified 258 messages, 44 rooms, 0 broadcast logs: 0 wrong"),
    ];
    for (scenario, verdict) in cases {
        let arguments = ["--scenario", scenario, "--count", "600", "--recipients", "40"];
        let output = simulate_and_verify(&service, &arguments).await;
        let stdout = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{stdout}");
        assert!(stdout.contains("sent     600 in "), "{stdout}");
        assert!(stdout.ends_with(&format!("{verdict}\n")), "{stdout}");
        let outcomes: &[&str] = match scenario {
            "storm" => &["applied", "duplicate", "handshake", "recorded", "quarantined", "400  "],
            _ => &["600 applied"],
        };
        for outcome in outcomes {
            assert!(stdout.contains(outcome), "{outcome} in {stdout}");
        }
    }
}

#[sqlx::test(migrations = false)]
async fn simulate_twice_reports_duplicates_as_json(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let arguments = ["--twice", "--json", "--count", "600", "--connections", "1"];
    let output = simulate_and_verify(&service, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The first 301 bodies are new, then new and repeated ones alternate.
    let answers = json!([
        { "status": 200, "what": "applied", "count": 450 },
        { "status": 200, "what": "duplicate", "count": 150 },
    ]);
    assert_eq!(report["answers"], answers);
    assert_eq!(
        (&report["sent"], &report["failed"], &report["seed"]),
        (&json!(600), &json!(0), &json!(7))
    );
    assert_eq!(report["verified"]["wrong"], json!([]));
    let [seconds, per_second, p50, p99] = [
        &report["seconds"],
        &report["events_per_second"],
        &report["latency_ms"]["p50"],
        &report["latency_ms"]["p99"],
    ]
    .map(|number| number.as_f64().unwrap());
    assert!((seconds * per_second - 600.0).abs() < 1.0 && 0.0 < p50 && p50 <= p99, "{report}");
}

#[sqlx::test(migrations = false)]
async fn simulated_broadcast_sends_every_status_of_each_recipient(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let arguments = ["--scenario", "broadcast", "--recipients", "50", "--broadcasts", "2"];
    for more in [&["--twice"][..], &["--rate", "2000"]] {
        let output = simulate_and_verify(&service, &[&arguments, more].concat()).await;
        assert!(output.status.success(), "{}", stdout(&output));
    }
    let counts = "select count(*), count(distinct broadcast_id) from broadcast_log";
    let counts: (i64, i64) = sqlx::query_as(counts).fetch_one(&db).await.unwrap();
    assert_eq!(counts, (100, 2));
    let counts = "select count(*), sum(deliveries)::bigint from event";
    let (events, deliveries): (i64, i64) = sqlx::query_as(counts).fetch_one(&db).await.unwrap();
    // The seed is the same, so the second run repeats the first: three deliveries each.
    assert_eq!(deliveries, 3 * events);

    let url = format!("{}/webhooks/qontak/{TOKEN}", service.url);
    let output = simulate(&[&url, "--broadcasts", "1"]).await;
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--broadcasts: requires --scenario broadcast"), "{stderr}");
}

#[sqlx::test(migrations = false)]
async fn simulate_verify_detects_missing_and_wrong_rows(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let arguments = ["--scenario", "storm", "--count", "400", "--recipients", "40"];
    let output = simulate_and_verify(&service, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let cases = [
        (
            "delete from message where message_id =
                (select min(message_id) from message where status = 'read') returning message_id",
            "message {}: expected read, found nothing",
        ),
        (
            "update message set read_seen_at = null, status = 'delivered' where message_id =
                (select min(message_id) from message where status = 'read'
                    and delivered_seen_at is not null) returning message_id",
            "message {}: expected read, found delivered",
        ),
        (
            "update room set status = 'assigned' where room_id =
                (select min(room_id) from room where status = 'resolved') returning room_id",
            "room {}: expected resolved, found assigned",
        ),
        (
            "update broadcast_log set last_error_code = 131049 where log_id =
                (select min(log_id) from broadcast_log where error_code = 131026)
                returning log_id",
            "log {}: expected error 131026, found error 131049",
        ),
        (
            "update message set room_id = (select max(room_id) from room) where message_id =
                (select min(message_id) from message where status = 'sent') returning message_id",
            "message {}: expected nothing, found sent",
        ),
    ];
    for (corruption, difference) in cases {
        let id: String = sqlx::query_scalar(corruption).fetch_one(&db).await.unwrap();
        // Every event is a duplicate now and repairs nothing.
        let output = simulate_and_verify(&service, &arguments).await;
        let stdout = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        assert!(stdout.contains(&difference.replace("{}", &id)), "{difference}, {id}: {stdout}");
        assert!(!stdout.contains(": 0 wrong"), "{stdout}");
    }
}

#[tokio::test]
async fn simulate_sends_the_same_bytes_for_the_same_seed_only() {
    for scenario in ["chat", "broadcast", "storm", "message"] {
        let send = async |seed| {
            let receiver = RecordingReceiver::start(Duration::ZERO).await;
            let output = simulate(&[
                &receiver.url,
                "--scenario",
                scenario,
                "--seed",
                seed,
                "--count",
                "500",
                // More connections would make the order of arrival random.
                "--connections",
                "1",
            ])
            .await;
            let stdout = stdout(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}");
            assert!(stdout.contains("500 accepted"), "{stdout}");
            receiver.bodies()
        };
        let (one, again, another) = (send("1").await, send("1").await, send("2").await);
        assert!(one == again, "{scenario}");
        assert!(one.iter().all(|body| !another.contains(body) || !is_json(body)), "{scenario}");
        if scenario == "storm" {
            continue;
        }
        // All bodies differ, and have the size of Qontak's.
        let mut different = one.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 500, "{scenario}");
        assert!(one.iter().all(|body| is_json(body)), "{scenario}");
        let size = if scenario == "message" { 1600..1800 } else { 1600..4096 };
        assert!(one.iter().all(|body| size.contains(&body.len())), "{scenario}");
        if scenario == "message" {
            let names = one.iter().map(|body| parsed(body)["data_event"].clone());
            let is_of_message = |name: Value| name.as_str().unwrap().contains("message");
            assert!(names.into_iter().all(is_of_message));
        }
    }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok()
}

#[tokio::test]
async fn simulate_measures_latency_from_the_scheduled_time() {
    let receiver = RecordingReceiver::start(Duration::from_secs(1)).await;
    let arguments = ["--rate", "100", "--count", "100", "--connections", "1"];
    let output = simulate(&[&[receiver.url.as_str()], &arguments[..]].concat()).await;
    let stdout = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    // One response took a second; the 99 others were delayed by it, by half a second on average.
    let (_, p50) = stdout.split_once("p50 ").unwrap();
    let p50: f64 = p50.split_once(" ms").unwrap().0.parse().unwrap();
    assert!((300.0..900.0).contains(&p50), "{stdout}");
}

#[tokio::test]
async fn simulate_reports_an_unreachable_url_in_one_line() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let output = simulate(&[&format!("http://{closed}/in"), "--count", "5"]).await;
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("cannot connect to {closed}")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
}

#[sqlx::test(migrations = false)]
async fn simulate_counts_rejected_webhooks_and_exits_with_1(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let url = format!("{}/webhooks/qontak/an-unknown-token", service.url);
    let output = simulate(&[&url, "--count", "5"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("404      5 refused"), "{}", stdout(&output));
    // Nothing was acknowledged, so nothing is expected.
    let verify = ["--count", "5", "--verify", &service.url, "--key", KEY_OF_ALL];
    let output = simulate(&[&[url.as_str()], &verify[..]].concat()).await;
    let verdict = "verified 0 messages, 0 rooms, 0 broadcast logs: 0 wrong";
    assert!(stdout(&output).contains(verdict), "{}", stdout(&output));
}
