//! Journal tables that somebody has changed by hand: `check` and the log say what is wrong and which
//! statement corrects it, and webhooks are spooled until then.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::binary::{Process, post, run};
use super::fixtures::body;
use super::harness::settings;
use super::spool::wait_until;

async fn execute(db: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

/// Name of today's partition, and its bounds.
async fn today(db: &PgPool) -> (String, String) {
    let sql = "select relname::text, lower(pg_get_expr(relpartbound, oid))
        from pg_class
        where relname = to_char(now() at time zone 'UTC', '\"event_\"YYYYMMDD')";
    sqlx::query_as(sql).fetch_one(db).await.unwrap()
}

fn with_spool(db: &PgPool, folder: &Path) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.to_str().unwrap().into());
    settings
}

async fn check(settings: &BTreeMap<String, String>) -> String {
    String::from_utf8(run(settings, &["check"]).await.stdout).unwrap()
}

async fn post_one(service: &Process, name: &str) -> Value {
    let url = format!("{}/webhooks/qontak/{}", service.url, super::harness::TOKEN);
    let response = reqwest::Client::new().post(url).body(body(name)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json::<Value>().await.unwrap()["data"]["outcome"].take()
}

/// Waits for the first upkeep of a service, which would create the partitions that a test drops.
async fn wait_for_upkeep(service: &Process) {
    let metric = "qontak_receiver_task_success_timestamp_seconds{task=\"journal\"} ";
    wait_until(async || {
        let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(metric));
        value.is_some_and(|value| value != "0")
    })
    .await;
}

async fn wait_for_events(db: &PgPool, events: i64) {
    wait_until(async || {
        let count = sqlx::query_scalar("select count(*) from event").fetch_one(db).await;
        count.is_ok_and(|count: i64| count == events)
    })
    .await;
}

#[sqlx::test(migrations = false)]
async fn detached_partition_is_named_with_the_statement_that_attaches_it(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let settings = with_spool(&db, folder.path());
    let service = Process::start(settings.clone()).await;
    assert_eq!(post_one(&service, "01").await, "applied");
    let (name, bounds) = today(&db).await;
    execute(&db, &format!("alter table event detach partition {name}")).await;
    assert_eq!(post_one(&service, "02").await, "spooled");
    let attach = format!("alter table event attach partition {name} {bounds}");
    let problem = format!("{name} is not attached to table event; run: {attach}");
    let checked = check(&settings).await;
    assert!(checked.contains(&format!("FAIL  partitions {problem}\n")), "{checked}");
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let logged = log.iter().filter(|line| line.contains(&problem)).count();
    assert!((1..=2).contains(&logged), "{log:?}");

    // It starts in this state too.
    let service = Process::start(settings.clone()).await;
    assert_eq!(post_one(&service, "07").await, "spooled");
    execute(&db, &attach).await;
    wait_for_events(&db, 3).await;
    let checked = check(&settings).await;
    assert!(checked.contains("ok    partitions"), "{checked}");
}

#[sqlx::test(migrations = false)]
async fn changed_columns_of_the_journal_are_named(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let settings = with_spool(&db, folder.path());
    let service = Process::start(settings.clone()).await;
    let (name, _) = today(&db).await;
    let changes = [
        (
            "alter table event rename column reasons to why",
            "column \"reasons\" of relation \"event\" does not exist (42703)".to_owned(),
            "alter table event rename column why to reasons",
        ),
        (
            "alter table event add column note text not null",
            format!(
                "null value in column \"note\" of relation \"{name}\" violates not-null \
                 constraint (23502)"
            ),
            "alter table event alter column note drop not null",
        ),
    ];
    for (i, (change, problem, way_back)) in changes.into_iter().enumerate() {
        execute(&db, "truncate event").await;
        execute(&db, change).await;
        assert_eq!(post_one(&service, ["01", "02"][i]).await, "spooled");
        let readiness = reqwest::get(format!("{}/readyz", service.ops)).await.unwrap();
        let readiness: Value = readiness.json().await.unwrap();
        assert_eq!(readiness["problems"][0], format!("write: {problem}"));
        let checked = check(&settings).await;
        let line = format!("FAIL  write      a test event cannot be stored: {problem}\n");
        assert!(checked.contains(&line), "{checked}");
        execute(&db, way_back).await;
        wait_for_events(&db, 1).await;
        assert!(check(&settings).await.contains("ok    write"));
    }
}

#[sqlx::test(migrations = false)]
async fn default_and_foreign_partitions_are_named_with_the_way_back(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    wait_for_upkeep(&service).await;
    let (name, _) = today(&db).await;
    // Yesterday has no partition, because the service is new.
    let [yesterday, tomorrow] =
        [-1, 1].map(|days| chrono::Utc::now().date_naive() + chrono::TimeDelta::days(days));
    let bounds = format!("for values from ('{yesterday}') to ('{tomorrow}')");
    let detach = |name: &str| format!("alter table event detach partition {name}");
    for (table, bounds, problem) in [
        (
            "event_default",
            "default",
            "is a default partition, its events are not found by their day",
        ),
        ("other", bounds.as_str(), "is a partition that this service did not create"),
    ] {
        execute(&db, &format!("create table {table} (like event including all)")).await;
        execute(&db, &detach(&name)).await;
        execute(&db, &format!("alter table event attach partition {table} {bounds}")).await;
        execute(&db, &format!("drop table {name}")).await;
        // Webhooks are stored there.
        assert_eq!(post_one(&service, if table == "other" { "02" } else { "01" }).await, "applied");
        let ready = reqwest::get(format!("{}/readyz", service.ops)).await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        let ready = ready.text().await.unwrap();
        assert!(ready.contains("one that was created manually receives today's events"), "{ready}");
        let checked = check(&settings).await;
        let line = format!("FAIL  partitions {table} {problem}; run: {}\n", detach(table));
        assert!(checked.contains(&line), "{checked}");
        // Migrating fails with the same words if rows of a missing day are in the default partition.
        if table == "event_default" {
            let output = run(&settings, &["migrate"]).await;
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(problem) && stderr.lines().count() == 1, "{stderr}");
        }
        // The way back of docs/operate.md.
        execute(&db, &detach(table)).await;
        assert!(run(&settings, &["migrate"]).await.status.success());
        execute(&db, &format!("insert into event select * from {table}")).await;
        execute(&db, &format!("drop table {table}")).await;
        let checked = check(&settings).await;
        assert!(checked.contains("ok    partitions"), "{checked}");
    }
    let client = reqwest::Client::new();
    assert_eq!(post(&client, &service.url, body("01")).await.unwrap(), StatusCode::OK);
    wait_for_events(&db, 2).await;
}
