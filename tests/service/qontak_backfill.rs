//! `qontak-receiver backfill`, and the backfill after an outage, against a fake that loses events.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::process::Child;

use super::binary::{DEADLINE, Process, run, start};
use super::harness::{KEY_OF_ALL, TOKEN, settings};
use super::qontak_client::{FakeQontak, environment};

const FROM: [&str; 2] = ["--from", "2025-06-12"];

/// A registered service, and an organisation whose events it receives in part.
struct Setup {
    qontak: FakeQontak,
    settings: BTreeMap<String, String>,
    service: Process,
    db: PgPool,
}

impl Setup {
    async fn start(db: PgPool, changed: &[(&str, &str)]) -> Self {
        let qontak = FakeQontak::start().await;
        let mut settings = settings(&db.connect_options());
        settings.extend(qontak.hmac());
        settings.insert("RECEIVER__BACKFILL__AUTO".into(), "false".into());
        settings.extend(changed.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let service = Process::start(settings.clone()).await;
        let url = format!("{}/webhooks/qontak/{TOKEN}", service.url);
        qontak.change(json!({
            "on": [
                "receive_message_from_customer", "receive_message_from_agent", "status_message",
                "broadcast_log_status", "room_created", "room_resolved", "agent_assigned_to_room",
            ],
            "add": {
                "message_interactions": url, "room_interactions": url,
                "agent_responsibility": url,
            },
        }));
        Self { qontak, settings, service, db }
    }

    /// Lets events happen; a tenth of them is not sent, others twice and out of order.
    async fn lose(&self) {
        for order in [
            json!({ "scenario": "chat", "count": 160 }),
            json!({ "scenario": "broadcast", "count": 60, "recipients": 12 }),
        ] {
            let mut order = order;
            order["drop_percent"] = 10.into();
            order["duplicate_percent"] = 5.into();
            order["shuffle"] = 4.into();
            let sent = self.fake("send", order).await;
            assert!(sent["failed"] == 0 && sent["dropped"].as_u64() > Some(0), "{sent}");
        }
    }

    async fn fake(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/fake/{path}", self.qontak.url);
        let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{body}");
        body
    }

    /// Differences of the service from the state of the organisation.
    async fn wrong(&self) -> Vec<Value> {
        let body = json!({ "api": self.service.url, "key": KEY_OF_ALL });
        let verdict = self.fake("verify", body).await;
        assert!(verdict["messages"].as_u64() > Some(10), "{verdict}");
        verdict["wrong"].as_array().unwrap().clone()
    }

    /// What the fake did not deliver: missing and changed rows by kind.
    async fn lacking(&self) -> BTreeMap<String, (u64, u64)> {
        let url = format!("{}/fake/truth", self.qontak.url);
        let truth: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let count = |value: &Value| value.as_u64().unwrap();
        let kinds = truth.as_object().unwrap().iter();
        kinds
            .map(|(kind, it)| (kind.clone(), (count(&it["missing"]), count(&it["changed"]))))
            .collect()
    }

    /// The same as the service counted it.
    async fn reconciliation(&self) -> BTreeMap<String, (u64, u64)> {
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for row in self.get("/v1/reconciliation?limit=500").await["data"].as_array().unwrap() {
            let sum = sums.entry(row["kind"].as_str().unwrap().to_owned()).or_default();
            sum.0 += row["missing"].as_u64().unwrap();
            sum.1 += row["changed"].as_u64().unwrap();
            assert!(row["fetched"].as_u64() > Some(0), "{row}");
            assert_eq!(row["organization_id"], self.qontak.credentials().organization_id);
        }
        // The fake does not count broadcasts: their recipients are counted.
        sums.remove("broadcast");
        sums
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.service.url);
        let request = reqwest::Client::new().get(url).bearer_auth(KEY_OF_ALL);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn backfill(&self, arguments: &[&str]) -> (i32, String) {
        let output = run(&self.settings, &[&["backfill"], arguments].concat()).await;
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), printed)
    }

    fn start_backfill(&self) -> Child {
        start(&self.settings, &[&["backfill"], &FROM[..]].concat())
    }

    /// Number of calls of the fake whose path ends so.
    fn calls(&self, name: &str) -> u64 {
        self.qontak.show()["requests"][format!("GET {name}")].as_u64().unwrap_or(0)
    }

    /// Number of rows of a table.
    async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.db).await.unwrap()
    }
}

#[sqlx::test(migrations = false)]
async fn backfill_restores_lost_events_and_reconciliation_counts_them(db: PgPool) {
    let setup = Setup::start(db, &[]).await;
    setup.lose().await;
    assert!(!setup.wrong().await.is_empty());
    let lacking = setup.lacking().await;
    for kind in ["message", "broadcast_log", "room"] {
        assert!(lacking[kind].0 + lacking[kind].1 > 0, "{lacking:?}");
    }
    let events = setup.count("event").await;

    let (code, printed) = setup.backfill(&[&FROM[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(setup.count("event").await, events);
    assert_eq!(setup.reconciliation().await, BTreeMap::new());
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (code, printed) = setup.backfill(&FROM).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(setup.wrong().await, [""; 0], "{printed}");
    assert_eq!(setup.reconciliation().await, lacking, "{printed}");
    let of_backfill = setup.get("/v1/events?endpoint=backfill&limit=500").await;
    let stored = of_backfill["data"].as_array().unwrap();
    assert_eq!(stored.len() as i64, setup.count("event").await - events);
    assert!(stored.iter().all(|event| event["outcome"] == "applied"), "{stored:?}");

    // The same again: everything is equal, so there is no event and no row of the stream.
    let before = (setup.count("event").await, setup.count("batch").await);
    let (code, printed) = setup.backfill(&FROM).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!((setup.count("event").await, setup.count("batch").await), before, "{printed}");
    assert_eq!(setup.reconciliation().await, lacking);
    assert_eq!(setup.count("qontak_backfill").await + setup.count("qontak_finding").await, 0);
}

#[sqlx::test(migrations = false)]
async fn killed_backfill_goes_on_and_counts_the_same(db: PgPool) {
    let setup = Setup::start(db, &[]).await;
    setup.lose().await;
    let lacking = setup.lacking().await;
    setup.qontak.change(json!({ "max_rows": 10 }));
    let mut child = setup.start_backfill();
    let wait = async {
        while setup.calls("messages") < 14 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
    child.kill().await.unwrap();
    assert!(!setup.wrong().await.is_empty());
    let sql = "select cursor from qontak_backfill";
    let cursor: Option<String> = sqlx::query_scalar(sql).fetch_one(&setup.db).await.unwrap();
    assert!(cursor.is_some());

    let calls = setup.calls("messages");
    let (code, printed) = setup.backfill(&FROM).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(setup.wrong().await, [""; 0], "{printed}");
    assert_eq!(setup.reconciliation().await, lacking, "{printed}");
    let rooms = setup.count("room").await as u64;
    // The rooms of the first page are not read again.
    let again = setup.calls("messages") - calls;
    assert!(again < rooms, "{again} of {rooms}");
    assert_eq!(setup.count("qontak_backfill").await, 0);
}

#[sqlx::test(migrations = false)]
async fn backfill_ends_whatever_qontak_answers(db: PgPool) {
    let setup = Setup::start(db, &[]).await;
    setup.lose().await;
    // Every page is the first one.
    setup.qontak.change(json!({ "is_page_stuck": true, "max_rows": 10 }));
    let (code, printed) = setup.backfill(&[&FROM[..], &["--rooms"]].concat()).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("room                  10"), "{printed}");
    assert_eq!(setup.calls("messages") + setup.calls("log"), 0);

    // Without lists of messages the last message of each room is stored.
    setup.qontak.change(json!({ "is_page_stuck": false, "max_rows": 100, "has_messages": false }));
    let (code, printed) = setup.backfill(&FROM).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(setup.calls("messages"), 3);
    let wrong = setup.wrong().await;
    let is_of_message = |line: &Value| line.as_str().unwrap().starts_with("message ");
    assert!(wrong.iter().all(is_of_message), "{wrong:?}");

    for (change, code, expected) in [
        (json!({ "clock_offset": 900 }), 3, "the clock differs by"),
        (json!({ "clock_offset": 0, "fault": "html", "times": 4 }), 4, "without JSON"),
    ] {
        setup.qontak.change(change);
        let (found, printed) = setup.backfill(&FROM).await;
        assert_eq!(found, code, "{printed}");
        assert!(printed.contains(expected) && printed.contains("run it again"), "{printed}");
    }
    let mut settings = setup.settings.clone();
    settings.extend(environment(&[("ORGANIZATION_ID", "another-organization")]));
    let output = run(&settings, &[&["backfill"], &FROM[..]].concat()).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[sqlx::test(migrations = false)]
async fn events_lost_in_an_outage_are_backfilled_without_a_command(db: PgPool) {
    let changed = [("RECEIVER__BACKFILL__AUTO", "true"), ("RECEIVER__BACKFILL__GAP", "3s")];
    let setup = Setup::start(db, &changed).await;
    let start = chrono::Utc::now() - chrono::TimeDelta::seconds(30);
    let order = json!({ "count": 80, "start": start, "stop_after": 40 });
    let sent = setup.fake("send", order).await;
    assert_eq!(sent["dropped"], 40, "{sent}");
    let wait = async {
        while !setup.wrong().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the lost events were not backfilled");
    let missing = async {
        loop {
            let metrics = reqwest::get(format!("{}/metrics", setup.service.ops)).await.unwrap();
            let metrics = metrics.text().await.unwrap();
            let line = metrics.lines().find(|line| {
                line.starts_with("qontak_receiver_qontak_missing_total")
                    && line.contains("kind=\"message\"")
            });
            if line.is_some_and(|line| !line.ends_with(" 0")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(DEADLINE, missing).await.expect("the metric does not count them");
    let health = setup.get("/v1/health").await;
    let checks = health["data"]["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["kind"] == "backfill").unwrap();
    assert_eq!((&check["name"], &check["error"]), (&json!("shop"), &Value::Null));
}
