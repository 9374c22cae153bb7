//! Problems: found, shown in `/v1/health`, logged and counted once, and reported by one replica.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinSet;

use super::binary::{Process, post as post_webhook};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, settings};
use super::spool::wait_until;

const SECRET: &str = "a-secret-of-notifications-of-32-characters";

/// What the receiver of notifications got, and how often it fails first.
#[derive(Clone, Default)]
struct Received {
    notifications: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    failures: Arc<Mutex<u32>>,
}

async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut failures = received.failures.lock().unwrap();
    if *failures > 0 {
        *failures -= 1;
        return StatusCode::BAD_GATEWAY;
    }
    received.notifications.lock().unwrap().push((headers, body));
    StatusCode::NO_CONTENT
}

/// Somebody who is notified.
struct Receiver {
    received: Received,
    url: String,
    _serving: JoinSet<()>,
}

impl Receiver {
    async fn start(failures: u32) -> Self {
        let received = Received::default();
        *received.failures.lock().unwrap() = failures;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in/secret", listener.local_addr().unwrap());
        let router = Router::new().route("/in/secret", post(receive)).with_state(received.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { received, url, _serving: serving }
    }

    fn bodies(&self) -> Vec<Value> {
        let notifications = self.received.notifications.lock().unwrap();
        notifications.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    /// Waits until somebody was told of a problem with this code, and returns it.
    async fn wait_for(&self, code: &str, has_ended: bool) -> Value {
        let find = || {
            let mut problems =
                self.bodies().into_iter().flat_map(|it| it["problems"].as_array().unwrap().clone());
            problems.find(|it| it["code"] == code && it["ended_at"].is_null() != has_ended)
        };
        wait_until(async || find().is_some()).await;
        find().unwrap()
    }
}

fn with(db: &PgPool, changed: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__ALARM__INTERVAL".into(), "1s".into());
    settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    settings
}

/// Settings of replicas that notify.
fn notifying(db: &PgPool, receiver: &Receiver) -> BTreeMap<String, String> {
    let changed = [
        ("RECEIVER__NOTIFY__URL", receiver.url.as_str()),
        ("RECEIVER__NOTIFY__SECRET", SECRET),
        ("RECEIVER__NOTIFY__COOL_DOWN", "1day"),
    ];
    with(db, &changed)
}

async fn execute(db: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

/// Four weeks with events of the organisation in each minute, until two hours before now. Their number is
/// below that of which a tenth would be scarce.
async fn fill_history(db: &PgPool) {
    execute(
        db,
        &format!(
            "insert into activity
             select hour, '{ORGANIZATION}', 'wa_cloud', 'receive_message_from_customer', 30,
                 (1::bigint << 60) - 1, hour + interval '59 minutes'
             from generate_series(
                 hour_of(now() - interval '29 days'), hour_of(now() - interval '2 hours'), '1 hour'
             ) as hour;
             insert into observed_hour
             select hour, (1::bigint << 60) - 1
             from generate_series(
                 hour_of(now() - interval '29 days'), hour_of(now()), '1 hour'
             ) as hour
             on conflict (hour) do update set minutes = excluded.minutes"
        ),
    )
    .await;
}

async fn health(service: &Process, key: &str) -> Value {
    let request = reqwest::Client::new().get(format!("{}/v1/health", service.url)).bearer_auth(key);
    request.send().await.unwrap().json::<Value>().await.unwrap()["data"].take()
}

async fn problems(service: &Process, code: &str) -> Vec<Value> {
    let health = health(service, KEY_OF_ALL).await;
    let problems = health["problems"].as_array().unwrap().iter();
    problems.filter(|problem| problem["code"] == code).cloned().collect()
}

async fn metric(service: &Process, line: &str) -> bool {
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    metrics.text().await.unwrap().lines().any(|it| it == line)
}

#[sqlx::test]
async fn silence_is_reported_once_by_two_replicas_until_events_come_again(db: PgPool) {
    fill_history(&db).await;
    let receiver = Receiver::start(0).await;
    let settings = notifying(&db, &receiver);
    let first = Process::start(settings.clone()).await;
    let second = Process::start(settings).await;
    let told = receiver.wait_for("silence", false).await;
    assert_eq!((&told["organization_id"], &told["subject"]), (&json!(ORGANIZATION), &json!("")));
    assert!(told["detail"].as_str().unwrap().starts_with("no event for "), "{told}");
    for service in [&first, &second] {
        let line = "qontak_receiver_problems{code=\"silence\"} 1";
        wait_until(async || metric(service, line).await).await;
        assert_eq!(problems(service, "silence").await.len(), 1);
    }
    for (key, count) in [(KEY_OF_ORGANIZATION, 1), (KEY_OF_ANOTHER, 0)] {
        let health = health(&first, key).await;
        assert_eq!(health["problems"].as_array().unwrap().len(), count, "{health}");
    }

    let client = reqwest::Client::new();
    post_webhook(&client, &first.url, body("01")).await.unwrap();
    receiver.wait_for("silence", true).await;
    wait_until(async || problems(&second, "silence").await.is_empty()).await;
    let mut lines = Vec::new();
    for service in [first, second] {
        service.signal("TERM");
        lines.extend(service.wait_for_exit().await.1);
    }
    for message in ["problem began", "problem ended"] {
        let is_line = |line: &&String| line.contains(message) && line.contains("silence");
        assert_eq!(lines.iter().filter(is_line).count(), 1, "{message}: {lines:#?}");
    }
    let told = receiver.bodies();
    let told = told.iter().flat_map(|it| it["problems"].as_array().unwrap());
    assert_eq!(told.filter(|it| it["code"] == "silence").count(), 2);
}

#[sqlx::test(migrations = false)]
async fn events_are_counted_by_channel_and_kind_and_duplicates_are_not(db: PgPool) {
    let service = Process::start(with(&db, &[])).await;
    let client = reqwest::Client::new();
    for file in ["01", "01", "07", "31"] {
        post_webhook(&client, &service.url, body(file)).await.unwrap();
    }
    let rows = async || -> Vec<(String, String, i64)> {
        let sql =
            "select channel, kind, sum(count)::bigint from activity group by 1, 2 order by 1, 2";
        sqlx::query_as(sql).fetch_all(&db).await.unwrap()
    };
    wait_until(async || rows().await.iter().map(|row| row.2).sum::<i64>() >= 3).await;
    let row = |channel: &str, kind: &str| (channel.to_owned(), kind.to_owned(), 1);
    let expected = [
        row("", "broadcast_log_status"),
        row("wa_cloud", "receive_message_from_agent"),
        row("wa_cloud", "receive_message_from_customer"),
    ];
    assert_eq!(rows().await, expected);
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let name = "qontak_receiver_source_last_event_timestamp_seconds{";
    let sources: Vec<&str> = metrics.lines().filter(|line| line.starts_with(name)).collect();
    assert_eq!(sources.len(), 3, "{metrics}");
    for (channel, kind, _) in &expected {
        let label = format!("channel=\"{channel}\",kind=\"{kind}\"");
        let source = sources.iter().find(|line| line.contains(&label)).unwrap();
        assert!(source.contains("organization=\""), "{source}");
        let value: f64 = source.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(value > 1.7e9, "{source}");
    }
    service.signal("TERM");
    service.wait_for_exit().await;
    let service = Process::start(with(&db, &[("RECEIVER__ALARM__SILENCE", "false")])).await;
    post_webhook(&client, &service.url, body("02")).await.unwrap();
    service.signal("TERM");
    service.wait_for_exit().await;
    assert_eq!(rows().await, expected);
}

#[sqlx::test(migrations = false)]
async fn notifications_are_signed_and_repeated_until_they_are_accepted(db: PgPool) {
    let receiver = Receiver::start(4).await;
    let service = Process::start(notifying(&db, &receiver)).await;
    let client = reqwest::Client::new();
    post_webhook(&client, &service.url, body("71")).await.unwrap();
    let told = receiver.wait_for("unknown_event", false).await;
    assert_eq!(told["subject"], "csat_survey_submitted");
    let notifications = receiver.received.notifications.lock().unwrap().clone();
    let (headers, body) = &notifications[0];
    let signature = headers["x-receiver-signature"].to_str().unwrap();
    let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&[time.as_bytes(), b".", body].concat());
    let expected: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
    wait_until(async || {
        metric(&service, "qontak_receiver_notifications_total{result=\"sent\"} 1").await
    })
    .await;
    assert!(metric(&service, "qontak_receiver_notifications_total{result=\"failed\"} 1").await);
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    assert!(log.iter().any(|line| line.contains("notification not delivered")), "{log:#?}");
    let secrets = log.iter().filter(|line| line.contains("/in/secret") || line.contains(SECRET));
    assert_eq!(secrets.count(), 0, "{log:#?}");
}

#[sqlx::test(migrations = false)]
async fn problem_that_comes_back_within_the_cool_down_is_not_reported_again(db: PgPool) {
    let receiver = Receiver::start(0).await;
    let mut settings = notifying(&db, &receiver);
    settings.insert("RECEIVER__ALARM__QUARANTINED".into(), "1".into());
    settings.insert("RECEIVER__NOTIFY__FORMAT".into(), "json".into());
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let set = async |count: i64| {
        let sql = format!("update ledger set quarantined = {count}");
        execute(&db, &sql).await;
    };
    post_webhook(&client, &service.url, body("76")).await.unwrap();
    let told = receiver.wait_for("quarantine", false).await;
    assert_eq!(told["detail"], "1 events quarantined or malformed");
    set(0).await;
    receiver.wait_for("quarantine", true).await;
    set(1).await;
    wait_until(async || !problems(&service, "quarantine").await.is_empty()).await;
    // A further problem shows that notifications go on.
    post_webhook(&client, &service.url, body("71")).await.unwrap();
    receiver.wait_for("unknown_event", false).await;
    let told = receiver.bodies();
    let told = told.iter().flat_map(|it| it["problems"].as_array().unwrap());
    assert_eq!(told.filter(|it| it["code"] == "quarantine").count(), 2);
}

#[sqlx::test(migrations = false)]
async fn slack_gets_text_and_missing_partitions_are_a_problem(db: PgPool) {
    let receiver = Receiver::start(0).await;
    let mut settings = notifying(&db, &receiver);
    settings.insert("RECEIVER__NOTIFY__FORMAT".into(), "slack".into());
    let service = Process::start(settings).await;
    // Upkeep creates partitions at start and then once an hour.
    let metric_line = "qontak_receiver_task_success_timestamp_seconds{task=\"journal\"} 0";
    wait_until(async || !metric(&service, metric_line).await).await;
    execute(
        &db,
        "do $$ begin execute format(
             'drop table event_%s', to_char(now() at time zone 'UTC' + interval '1 day', 'YYYYMMDD')
         ); end $$",
    )
    .await;
    wait_until(async || !receiver.bodies().is_empty()).await;
    let told = receiver.bodies()[0].take();
    let text = told["text"].as_str().unwrap();
    assert!(text.starts_with("partitions began: "), "{text}");
    assert!(text.contains("run `qontak-receiver migrate`"), "{text}");
    assert_eq!(told.as_object().unwrap().len(), 1, "{told}");
}
