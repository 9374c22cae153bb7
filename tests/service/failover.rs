//! Several servers in `DATABASE_URL`, real ones: the service uses the primary and follows a promotion.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::binary::{self, Process};
use super::crash::Cluster;
use super::harness::{KEY_OF_ALL, settings};
use super::spool::wait_until;

fn both(one: &Cluster, other: &Cluster) -> BTreeMap<String, String> {
    let host = |cluster: &Cluster| {
        let options: PgConnectOptions = cluster.url.parse().unwrap();
        format!("{}:{}", options.get_host(), options.get_port())
    };
    let url = format!(
        "postgres://postgres@{},{}/receiver?target_session_attrs=read-write",
        host(one),
        host(other)
    );
    let mut settings = settings(&one.url.parse().unwrap());
    settings.insert("DATABASE_URL".into(), url);
    settings
}

async fn execute(cluster: &Cluster, sql: &'static str) {
    let mut connection = PgConnection::connect(&cluster.url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

async fn check(settings: &BTreeMap<String, String>) -> String {
    let output = binary::run(settings, &["check"]).await;
    String::from_utf8(output.stdout).unwrap()
}

fn message(id: &str) -> Vec<u8> {
    json!({"data_event": "status_message", "id": id}).to_string().into_bytes()
}

#[tokio::test]
async fn promotion_is_followed_without_a_restart_and_nothing_is_lost() {
    let primary = Cluster::make().await;
    let standby = primary.standby().await;
    // A 2xx means that both servers have the event.
    execute(&primary, "alter system set synchronous_standby_names = '*'").await;
    execute(&primary, "select pg_reload_conf()").await;
    let spool = tempfile::tempdir().unwrap();
    let mut settings = both(&standby, &primary);
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), spool.path().to_str().unwrap().into());
    let service = Process::start(settings.clone()).await;
    let client = reqwest::Client::new();
    let get = async |id: &str| {
        let request = client.get(format!("{}/v1/messages/{id}", service.url));
        request.bearer_auth(KEY_OF_ALL).send().await.unwrap().status()
    };
    let mut acknowledged = Vec::new();
    let mut post = async |id: String| {
        let status = binary::post(&client, &service.url, message(&id)).await.unwrap();
        if status == StatusCode::OK {
            acknowledged.push(id);
        }
        status
    };
    assert_eq!(post("before".into()).await, StatusCode::OK);
    assert_eq!(get("before").await, StatusCode::OK);
    assert!(check(&settings).await.contains("is standby, 127.0.0.1:"));

    primary.kill();
    for number in 0..20 {
        post(format!("during-{number}")).await;
    }
    execute(&standby, "select pg_promote()").await;
    for number in 0..20 {
        post(format!("after-{number}")).await;
    }
    assert!(acknowledged.len() > 20, "{acknowledged:?}");
    for id in &acknowledged {
        wait_until(async || get(id).await == StatusCode::OK).await;
    }
    let checked = check(&settings).await;
    assert!(checked.contains("warn  servers"), "{checked}");
    assert!(checked.contains("is unavailable; start what is unavailable"), "{checked}");
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0));
    let changes = log.iter().filter(|line| line.contains("another server has become the primary"));
    assert_eq!(changes.count(), 1, "{log:#?}");
}

#[tokio::test]
async fn spooled_webhook_stays_until_the_standby_has_its_event() {
    let primary = Cluster::make().await;
    let standby = primary.standby().await;
    execute(&primary, "alter system set synchronous_standby_names = '*'").await;
    execute(&primary, "select pg_reload_conf()").await;
    let spool = tempfile::tempdir().unwrap();
    let mut settings = settings_of(&primary);
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), spool.path().to_str().unwrap().into());
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let post = async |id: &str| binary::post(&client, &service.url, message(id)).await.unwrap();
    let spooled = async || {
        let response = client.get(format!("{}/readyz?verbose", service.ops)).send().await.unwrap();
        response.json::<serde_json::Value>().await.unwrap()["spool"]["events"].as_u64().unwrap()
    };
    assert_eq!(post("before").await, StatusCode::OK);
    standby.stop().await;
    assert_eq!(post("spooled").await, StatusCode::OK);
    assert_eq!(spooled().await, 1);
    // Its commit waits for the standby, until its session is ended. Then it is on the primary only.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'";
    let count = "select count(*) from message";
    let mut server = PgConnection::connect(&primary.url).await.unwrap();
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut server).await.unwrap() < 2 {
        sqlx::raw_sql(end).execute(&mut server).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(spooled().await, 1);
    standby.start().await;
    wait_until(async || spooled().await == 0).await;
    let mut server = PgConnection::connect(&standby.url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut server).await.unwrap(), 2);
}

#[tokio::test]
async fn connections_to_a_server_that_becomes_a_standby_are_given_up() {
    let first = Cluster::make().await;
    let second = Cluster::make().await;
    // A read-only server stands for a standby: neither accepts writes.
    execute(&second, "alter system set default_transaction_read_only = on").await;
    execute(&second, "select pg_reload_conf()").await;
    let settings = both(&first, &second);
    let service = Process::start(settings.clone()).await;
    let client = reqwest::Client::new();
    let post = async |id: &str| binary::post(&client, &service.url, message(id)).await.unwrap();
    assert_eq!(post("first").await, StatusCode::OK);

    execute(&second, "alter system set default_transaction_read_only = off").await;
    execute(&second, "select pg_reload_conf()").await;
    let checked = check(&settings).await;
    assert!(checked.contains("only one may accept writes"), "{checked}");
    let migrated = binary::run(&settings_of(&second), &["migrate"]).await;
    assert!(migrated.status.success());
    execute(&first, "alter system set default_transaction_read_only = on").await;
    execute(&first, "select pg_reload_conf()").await;
    let count = async || {
        let mut connection = PgConnection::connect(&second.url).await.unwrap();
        sqlx::query_scalar::<_, i64>("select count(*) from message")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    };
    wait_until(async || post("second").await == StatusCode::OK && count().await == 1).await;
    let shown = client.get(format!("{}/v1/messages/second", service.url)).bearer_auth(KEY_OF_ALL);
    assert_eq!(shown.send().await.unwrap().status(), StatusCode::OK);
}

fn settings_of(cluster: &Cluster) -> BTreeMap<String, String> {
    settings(&cluster.url.parse().unwrap())
}
