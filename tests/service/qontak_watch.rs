//! The watch of Qontak's webhook settings and status page, in the real binary.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use super::binary::{DEADLINE, Process, run};
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, TOKEN, settings};
use super::qontak_client::{FakeQontak, environment};

/// A registered service and the settings of replicas that watch it.
struct Setup {
    qontak: FakeQontak,
    settings: BTreeMap<String, String>,
    url: String,
    _receiver: Process,
}

impl Setup {
    async fn start(db: &PgPool, changed: &[(&str, &str)]) -> Self {
        let qontak = FakeQontak::start().await;
        let receiver = Process::start(settings(&db.connect_options())).await;
        let url = format!("{}/webhooks/qontak/{TOKEN}", receiver.url);
        let mut settings = settings(&db.connect_options());
        settings.extend(qontak.bearer());
        settings.extend(environment(&[("WEBHOOK_URL", &url)]));
        settings.insert("RECEIVER__WATCH__INTERVAL".into(), "1s".into());
        settings.insert("RECEIVER__WATCH__STATUS_PAGE".into(), qontak.url.clone());
        settings.insert("RECEIVER__LOG__FILTER".into(), "debug".into());
        let changed = changed.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        settings.extend(changed);
        let registered = run(&settings, &["register"]).await;
        assert!(registered.status.success(), "{registered:?}");
        Self { qontak, settings, url, _receiver: receiver }
    }
}

async fn get(url: &str, key: &str) -> String {
    let request = reqwest::Client::new().get(url).bearer_auth(key);
    request.send().await.unwrap().text().await.unwrap()
}

async fn health(service: &Process) -> Value {
    let body = get(&format!("{}/v1/health", service.url), KEY_OF_ALL).await;
    serde_json::from_str::<Value>(&body).unwrap()["data"].take()
}

/// Waits until the health of the service is as expected, and returns it.
async fn wait_for(service: &Process, is_expected: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let health = health(service).await;
            if is_expected(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("health did not become as expected")
}

/// Waits until the metrics contain this line, and returns them.
async fn wait_for_metric(service: &Process, line: &str) -> String {
    let wait = async {
        loop {
            let metrics = get(&format!("{}/metrics", service.ops), "").await;
            if metrics.contains(line) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the metrics did not contain the line")
}

/// Problem of an event; `None` if the event is unknown.
fn problem<'a>(health: &'a Value, event: &str) -> Option<&'a Value> {
    let hooks = health["hooks"].as_array().unwrap();
    hooks.iter().find(|hook| hook["event"] == event).map(|hook| &hook["problem"])
}

#[sqlx::test(migrations = false)]
async fn toggle_that_is_switched_off_is_reported_until_it_is_on_again(db: PgPool) {
    let setup = Setup::start(&db, &[]).await;
    let service = Process::start(setup.settings.clone()).await;
    wait_for(&service, |it| problem(it, "status_message") == Some(&Value::Null)).await;

    let title = "Delayed webhooks";
    setup.qontak.change(json!({ "incidents": [title] }));
    let health = wait_for(&service, |it| it["incidents"][0]["name"] == title).await;
    assert_eq!(health["incidents"][0]["started_at"], "2025-06-12T02:12:00.000Z");

    setup.qontak.change(json!({ "off": ["status_message"] }));
    let is_off = |health: &Value| problem(health, "status_message") == Some(&json!("off"));
    let health = wait_for(&service, is_off).await;
    assert_eq!(problem(&health, "receive_message_from_customer"), Some(&Value::Null));
    let gauge = r#"qontak_hook_enabled{organization="shop",event="status_message"} 0"#;
    let metrics = wait_for_metric(&service, gauge).await;
    let urls = r#"qontak_hook_urls{organization="shop",category="message_interactions"} 1"#;
    assert!(metrics.contains(urls), "{metrics}");
    // It is off and not wanted: an alert on 0 must not fire.
    assert!(!metrics.contains(r#"event="room_created"}"#), "{metrics}");
    let requests = r#"qontak_receiver_qontak_requests_total{organization="shop",route="message_interactions","#;
    assert!(metrics.contains(requests), "{metrics}");

    setup.qontak.change(json!({ "on": ["status_message"] }));
    wait_for(&service, |health| !is_off(health)).await;
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0));
    let lines = |message: &str| {
        log.iter().filter(|line| line.contains(message)).cloned().collect::<Vec<_>>()
    };
    let begins = lines("webhook setting at qontak is wrong");
    assert_eq!(begins.len(), 1, "{begins:?}");
    assert!(begins[0].contains(r#""level":"ERROR""#) && begins[0].contains(title), "{begins:?}");
    let ends = lines("webhook setting at qontak is right again");
    assert!(ends.iter().any(|line| line.contains("status_message")), "{ends:?}");
}

#[sqlx::test(migrations = false)]
async fn url_that_is_gone_or_registered_twice_is_reported(db: PgPool) {
    let setup = Setup::start(&db, &[]).await;
    let service = Process::start(setup.settings.clone()).await;
    let is = |problem_now: &'static str| {
        move |health: &Value| problem(health, "room_resolved") == Some(&json!(problem_now))
    };
    setup.qontak.change(json!({ "add": { "room_interactions": setup.url } }));
    wait_for(&service, is("url_twice")).await;
    setup.qontak.change(json!({ "remove": { "room_interactions": setup.url } }));
    let health = wait_for(&service, is("url_missing")).await;
    assert_eq!(problem(&health, "status_message"), Some(&Value::Null));
}

#[sqlx::test(migrations = false)]
async fn repair_registers_again_without_touching_what_others_use(db: PgPool) {
    let setup = Setup::start(&db, &[("RECEIVER__REGISTER__REPAIR", "true")]).await;
    let other = "https://crm.example/in/token";
    setup.qontak.change(json!({
        "on": ["room_created"],
        "off": ["status_message"],
        "add": { "message_interactions": other },
        "remove": { "message_interactions": setup.url, "room_interactions": setup.url },
    }));
    let service = Process::start(setup.settings.clone()).await;
    let is_right = |health: &Value| {
        let events = ["status_message", "room_resolved"];
        events.iter().all(|event| problem(health, event) == Some(&Value::Null))
    };
    wait_for(&service, is_right).await;
    let state = setup.qontak.show();
    assert_eq!(state["enabled"]["room_created"], true);
    let urls = state["webhooks"]["message_interactions"].as_array().unwrap();
    assert_eq!(urls.len(), 2, "{urls:?}");
}

#[sqlx::test(migrations = false)]
async fn failed_checks_are_reported_and_never_hold_up_the_service(db: PgPool) {
    let setup = Setup::start(&db, &[]).await;
    setup.qontak.change(json!({ "fault": "redirect", "times": 100_000 }));
    let service = Process::start(setup.settings.clone()).await;
    let hooks = |health: &Value| {
        let mut checks = health["checks"].as_array().unwrap().iter();
        checks.find(|check| check["kind"] == "hooks").cloned().unwrap_or_default()
    };
    let has_failed = |health: &Value| hooks(health)["error"].is_string();
    let health = wait_for(&service, has_failed).await;
    let check = hooks(&health);
    assert_eq!(check["name"], "shop");
    assert!(check["error"].as_str().unwrap().contains("redirects"), "{health}");
    assert!(check["failing_since"].is_string(), "{health}");
    assert_eq!(health["hooks"], json!([]));
    let ready = get(&format!("{}/readyz", service.ops), "").await;
    assert!(ready.contains(r#""ready":true"#), "{ready}");
}

#[sqlx::test(migrations = false)]
async fn one_of_two_replicas_checks(db: PgPool) {
    let setup = Setup::start(&db, &[("RECEIVER__WATCH__INTERVAL", "1h")]).await;
    let count = || setup.qontak.show()["requests"]["GET message_interactions"].as_u64().unwrap();
    let before = count();
    let first = Process::start(setup.settings.clone()).await;
    let second = Process::start(setup.settings.clone()).await;
    for service in [&first, &second] {
        wait_for(service, |it| problem(it, "status_message").is_some()).await;
    }
    // The other one has started its own check by then, if it does.
    for service in [first, second] {
        service.signal("TERM");
        assert_eq!(service.wait_for_exit().await.0, Some(0));
    }
    assert_eq!(count() - before, 1);
}

#[sqlx::test(migrations = false)]
async fn credentials_and_tokens_appear_in_no_log_metric_row_or_response(db: PgPool) {
    let setup = Setup::start(&db, &[("RECEIVER__REGISTER__REPAIR", "true")]).await;
    let old = setup.qontak.credentials();
    setup.qontak.change(json!({ "expire": true, "off": ["status_message"] }));
    let service = Process::start(setup.settings.clone()).await;
    wait_for(&service, |it| problem(it, "status_message") == Some(&Value::Null)).await;
    // Errors that repeat what was sent.
    sqlx::query("delete from qontak_token").execute(&db).await.unwrap();
    setup.qontak.change(json!({ "expire": true }));
    let failed = run(&setup.settings, &["check"]).await;
    let failed = format!("{failed:?}");
    assert!(failed.contains("rejected the refresh token"), "{failed}");

    let new = setup.qontak.credentials();
    let health = health(&service).await.to_string();
    let metrics = get(&format!("{}/metrics", service.ops), "").await;
    let rows: Vec<String> = sqlx::query_scalar(
        "select t::text from qontak_token as t
        union all select t::text from qontak_hook as t
        union all select t::text from qontak_check as t",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    assert!(log.iter().any(|line| line.contains("qontak tokens refreshed")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("registered again")), "{log:#?}");
    let everything = [vec![failed, health, metrics], rows, log].concat().join("\n");
    let secrets = [
        old.access_token,
        old.refresh_token,
        old.client_secret,
        new.access_token,
        new.refresh_token,
        TOKEN.to_owned(),
        "fake-".to_owned(),
    ];
    for secret in secrets {
        let hit = everything.lines().find(|line| line.contains(&secret));
        assert_eq!(hit, None, "{secret}");
    }
}

#[sqlx::test(migrations = false)]
async fn health_shows_settings_to_keys_of_all_organisations_only(db: PgPool) {
    let setup = Setup::start(&db, &[]).await;
    setup.qontak.change(json!({ "incidents": ["Delayed webhooks"] }));
    let service = Process::start(setup.settings.clone()).await;
    wait_for(&service, |it| problem(it, "status_message").is_some()).await;
    wait_for(&service, |it| it["incidents"][0].is_object()).await;
    let url = format!("{}/v1/health", service.url);
    let body = get(&url, KEY_OF_ORGANIZATION).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["data"]["hooks"], &body["data"]["checks"]), (&json!([]), &json!([])));
    assert_eq!(body["data"]["incidents"][0]["name"], "Delayed webhooks");
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), r#"{"status":"ok"}"#);
}
