//! The real binary: start, shutdown, health, logs and commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::binary::{Process, post, run};
use super::fixtures::{ALL, body};
use super::harness::{KEY_OF_ALL, KEY_REPLAY_ONLY, Service, TOKEN, settings};
use super::spool::Outage;

/// Starts clients that post events until the service is gone; each returns the ids of its
/// acknowledged events. Returns after 500 acknowledgements.
async fn post_until_gone(service: &Process, name: &'static str) -> JoinSet<Vec<String>> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..30 {
        let (url, acknowledged) = (service.url.clone(), acknowledged.clone());
        clients.spawn(async move {
            let http = reqwest::Client::new();
            let mut ids = Vec::new();
            for i in 0.. {
                let id = format!("{name}-{client}-{i}");
                let body =
                    format!(r#"{{"data_event":"status_message","id":"{id}","room_id":"{name}"}}"#);
                match post(&http, &url, body.into_bytes()).await {
                    Ok(StatusCode::OK) => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        ids.push(id);
                    }
                    // The service is gone: connection refused, or closed before the response.
                    Err(_) => break,
                    Ok(other) => panic!("{other}"),
                }
            }
            ids
        });
    }
    while acknowledged.load(Ordering::Relaxed) < 500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clients
}

/// Message ids of this room in the database.
async fn stored(db: &PgPool, name: &str) -> Vec<String> {
    let sql = "select message_id from message where room_id = $1 order by message_id";
    sqlx::query_scalar(sql).bind(name).fetch_all(db).await.unwrap()
}

#[sqlx::test(migrations = false)]
async fn graceful_shutdown_stores_exactly_the_acknowledged_events(db: PgPool) {
    for signal in ["TERM", "INT"] {
        let service = Process::start(settings(&db.connect_options())).await;
        let clients = post_until_gone(&service, signal).await;
        service.signal(signal);
        let (code, log) = service.wait_for_exit().await;
        assert_eq!(code, Some(0), "{log:?}");
        assert!(log.last().unwrap().contains("stopped"), "{log:?}");
        let mut acknowledged = clients.join_all().await.concat();
        acknowledged.sort();
        // Exactly the acknowledged events: every stored event was acknowledged before the exit.
        assert!(stored(&db, signal).await == acknowledged, "{signal}");
    }
}

#[sqlx::test(migrations = false)]
async fn acknowledged_events_are_stored_after_sigkill(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let clients = post_until_gone(&service, "KILL").await;
    service.signal("KILL");
    assert_eq!(service.wait_for_exit().await.0, None);
    let acknowledged = clients.join_all().await.concat();
    let stored = stored(&db, "KILL").await;
    for id in &acknowledged {
        assert!(stored.binary_search(id).is_ok(), "{id} was acknowledged but is not stored");
    }
    // For each client at most one stored event was not acknowledged.
    assert!(stored.len() <= acknowledged.len() + 30, "{} {}", stored.len(), acknowledged.len());
}

#[sqlx::test(migrations = false)]
async fn unfinished_requests_do_not_prevent_graceful_shutdown(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__HTTP__STOP_TIMEOUT".into(), "6s".into());
    let service = Process::start(settings).await;
    let address = service.url.strip_prefix("http://").unwrap();
    let mut partial_head = TcpStream::connect(address).await.unwrap();
    partial_head.write_all(b"POST /webhooks/qo").await.unwrap();
    let mut partial_body = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /webhooks/qontak/{TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{");
    partial_body.write_all(head.as_bytes()).await.unwrap();
    post(&reqwest::Client::new(), &service.url, ALL[0].body()).await.unwrap();
    service.signal("TERM");
    // Meanwhile readiness tells load balancers to stop sending.
    let readyz = format!("{}/readyz", service.ops);
    let readiness = loop {
        let response = reqwest::get(&readyz).await.unwrap();
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            break response.text().await.unwrap();
        }
    };
    assert!(readiness.contains("stopping"), "{readiness}");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
}

#[sqlx::test(migrations = false)]
async fn replica_starts_on_a_schema_migrated_by_a_newer_version(db: PgPool) {
    let settings = settings(&db.connect_options());
    assert!(run(&settings, &["migrate"]).await.status.success());
    let newer = "insert into _sqlx_migrations
        select 9999, 'newer', now(), true, '', 0";
    sqlx::raw_sql(newer).execute(&db).await.unwrap();
    let service = Process::start(settings).await;
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test(migrations = false)]
async fn table_that_discards_rows_acknowledges_nothing(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let discard = "create function discard() returns trigger language plpgsql
        as 'begin return null; end'";
    sqlx::raw_sql(discard).execute(&db).await.unwrap();
    let client = reqwest::Client::new();
    let room: Vec<u8> = ALL[1].body();
    let log = ALL.iter().find(|one| one.kind == Some("broadcast_log_status")).unwrap().body();
    let message = ALL[0].body();
    let mut blanks = String::new();
    for (table, body) in [
        ("event", &message),
        ("message", &message),
        ("sender", &message),
        ("ledger", &message),
        ("batch", &message),
        ("room", &room),
        ("room_event", &room),
        ("broadcast_log", &log),
    ] {
        // Inserts, and updates of what is stored since.
        for _ in 0..2 {
            // Another event about the same rows.
            blanks.push(' ');
            let body = [body.as_slice(), blanks.as_bytes()].concat();
            let create = format!(
                "create trigger discard before insert or update on {table}
                    for each row execute function discard()"
            );
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&db).await.unwrap();
            let status = post(&client, &service.url, body.clone()).await.unwrap();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{table}");
            let readiness = reqwest::get(format!("{}/readyz?verbose", service.ops)).await.unwrap();
            let readiness = readiness.text().await.unwrap();
            let expected = format!("table {table} discards rows, by a trigger or rule");
            assert!(readiness.contains(&expected), "{readiness}");
            let drop = format!("drop trigger discard on {table}");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&db).await.unwrap();
            let status = post(&client, &service.url, body).await.unwrap();
            assert_eq!(status, StatusCode::OK, "{table}");
        }
    }
}

#[sqlx::test(migrations = false)]
async fn disabled_fsync_is_logged_as_a_warning_at_start(db: PgPool) {
    let fsync: String = sqlx::query_scalar("show fsync").fetch_one(&db).await.unwrap();
    let service = Process::start(settings(&db.connect_options())).await;
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let warned =
        log.iter().any(|line| line.contains("WARN") && line.contains("fsync is off; turn it on"));
    assert_eq!(warned, fsync == "off", "{log:?}");
}

#[sqlx::test(migrations = false)]
async fn livez_readyz_metrics_and_check_report_the_state(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    let get = async |path: &str| {
        let response = reqwest::get(format!("{}{path}", service.ops)).await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    assert_eq!(get("/livez").await.0, StatusCode::OK);
    let (status, body) = get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    post(&reqwest::Client::new(), &service.url, ALL[0].body()).await.unwrap();
    let (_, metrics) = get("/metrics").await;
    assert!(metrics.contains("qontak_receiver_events_total{outcome=\"applied\"} 1"), "{metrics}");

    let listen = service.ops.strip_prefix("http://").unwrap().to_owned();
    settings.insert("RECEIVER__OPS__LISTEN".into(), listen);
    assert!(run(&settings, &["healthcheck"]).await.status.success());
    let checked = run(&settings, &["check"]).await;
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("ok    schema     up to date"), "{checked}");
    assert!(checked.contains("ok    partitions exist for today and 7 more day(s)"), "{checked}");

    let drop: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relname ~ '^event_[0-9]{8}$' order by 1",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    let drop_table = async |name: &str| {
        let sql = sqlx::AssertSqlSafe(format!("drop table {name}"));
        sqlx::raw_sql(sql).execute(&db).await.unwrap();
    };
    drop_table(&drop[1]).await;
    let (status, body) = get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let warning = r#""warnings":["partitions: no partition for tomorrow"]"#;
    assert!(body.contains(warning), "{body}");
    assert!(!run(&settings, &["check"]).await.status.success());
    drop_table(&drop[0]).await;
    let (status, body) = get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""problems":["partitions: no partition for today"]"#), "{body}");
}

#[sqlx::test(migrations = false)]
async fn log_lines_contain_no_body_text_or_token(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__LOG__FILTER".into(), "trace".into());
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), spool.into());
    let service = Process::start(settings.clone()).await;
    let client = reqwest::Client::new();
    let mut secrets: Vec<String> =
        [TOKEN, KEY_OF_ALL, KEY_REPLAY_ONLY, "wrong-token"].map(str::to_owned).into();
    for fixture in &ALL {
        post(&client, &service.url, fixture.body()).await.unwrap();
        if let Ok(body) = serde_json::from_slice(&fixture.body()) {
            collect_secrets(&body, &mut secrets);
        }
    }
    let wrong = format!("{}/webhooks/qontak/wrong-token", service.url);
    client.post(wrong).body("{}").send().await.unwrap();
    let key = super::key::create(&settings, &["--name", "dashboard"]).await;
    for sent in [&key, &key[..60]] {
        client.get(format!("{}/v1/rooms", service.url)).bearer_auth(sent).send().await.unwrap();
    }
    // Neither a part of the key nor its hash.
    secrets.extend([key[3..30].to_owned(), hex(&key)]);
    for path in ["rooms", "rooms?account_uniq_id=6281200010001", "events", "broadcasts", "nothing"]
    {
        let url = format!("{}/v1/{path}", service.url);
        client.get(url).bearer_auth(KEY_OF_ALL).send().await.unwrap();
    }
    // Spooled, then quarantined because the database rejects it, then replayed.
    sqlx::raw_sql("truncate event, message; alter table message add check (text is null)")
        .execute(&db)
        .await
        .unwrap();
    let outage = Outage::start(&db).await;
    for fixture in &ALL {
        post(&client, &service.url, fixture.body()).await.unwrap();
    }
    outage.end().await;
    let events = "select event_id::text from event where reasons[1] like 'refused: %'";
    let refused = async || -> Vec<String> {
        sqlx::query_scalar(events).fetch_all(&db).await.unwrap_or_default()
    };
    while refused().await.len() < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let url = format!("{}/v1/events/{}/replay", service.url, refused().await[0]);
    let response = client.post(url).bearer_auth(KEY_REPLAY_ONLY).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let printed = run(&settings, &["replay", "--all", "--dry-run"]).await.stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("event(s) would be replayed"), "{printed}");
    for secret in secrets.iter().filter(|secret| !is_id(secret)) {
        assert!(!printed.contains(secret.as_str()), "{secret:?} in {printed}");
    }

    assert!(secrets.len() > 60, "{secrets:?}");
    // One log line per request, with the outcome.
    let lines: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> =
        lines.iter().filter(|line| !line["http.status"].is_null()).collect();
    assert_eq!(requests.len(), 2 * ALL.len() + 9);
    let first = requests[0];
    assert_eq!(first["http.route"], "/webhooks/qontak/{token}");
    assert_eq!(first["event.kind"], "receive_message_from_customer");
    assert_eq!(first["event.outcome"], "applied");
    assert_eq!(first["batch.size"], 1);
    assert!(first["event.id"].is_string() && first["request.id"].is_string(), "{first}");
    assert!(first["duration_ms"].is_number(), "{first}");
    // The settings were logged before the first webhook, and media types contain some of its words.
    let (settings, log): (Vec<_>, Vec<_>) =
        log.iter().partition(|line| line.contains("\"message\":\"starting\""));
    assert!(!settings[0].contains(TOKEN), "{settings:?}");
    for secret in &secrets {
        for line in &log {
            assert!(!line.contains(secret.as_str()), "{secret:?} in {line}");
        }
    }
}

/// SHA-256 of a key, in hex.
fn hex(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is an id of Qontak, which contains no personal data.
fn is_id(text: &str) -> bool {
    text.parse::<uuid::Uuid>().is_ok() || text.starts_with("room_")
}

/// Collects the texts of a body that must not be logged: all that are long enough to be recognised
/// in a log line, except enumerations and the id of the event's subject.
fn collect_secrets(value: &Value, secrets: &mut Vec<String>) {
    const NOT_SECRET: [&str; 23] = [
        "id",
        "type",
        "status",
        "sender_type",
        "participant_type",
        "data_event",
        "webhook_event",
        // Log lines name it.
        "organization_id",
        "event_type",
        "service_name",
        "event_name",
        "channel",
        "target_channel",
        "role",
        "format",
        "category",
        "resolved_by_type",
        "message_status",
        "pricing_model",
        "messaging_product",
        "contact_able_type",
        "language",
        "is_campaign",
    ];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text)
                        if text.len() >= 4 && !NOT_SECRET.contains(&name.as_str()) =>
                    {
                        secrets.push(text.replace('\0', ""));
                    }
                    Value::String(_) => {}
                    other => collect_secrets(other, secrets),
                }
            }
        }
        Value::Array(elements) => {
            elements.iter().for_each(|element| collect_secrets(element, secrets))
        }
        _ => {}
    }
}

#[sqlx::test(migrations = false)]
async fn concurrent_migrations_from_two_replicas_succeed(db: PgPool) {
    let settings = settings(&db.connect_options());
    let (one, other) = tokio::join!(run(&settings, &["migrate"]), run(&settings, &["migrate"]));
    for output in [one, other] {
        assert!(output.status.success(), "{output:?}");
    }
    let mut unmigrated = settings.clone();
    unmigrated.insert("RECEIVER__DATABASE__MIGRATE".into(), "false".into());
    let service = Process::start(unmigrated).await;
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test]
async fn journal_compresses_bodies_and_returns_the_original_bytes(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let truncated = body("01").into_iter().take(700).collect::<Vec<u8>>();
    let zstd_magic_number = b"\x28\xb5\x2f\xfd not zstd".to_vec();
    for sent in [body("01"), body("72"), truncated, zstd_magic_number] {
        let response = service.post(sent.clone()).await;
        let id = response.json()["data"]["event_id"].as_str().unwrap().to_owned();
        let print = async || {
            let output = run(&settings(&db.connect_options()), &["body", &id]).await;
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        assert_eq!(print().await, sent);
        let sql = "select length(body), body_bytes from event where event_id = $1::uuid";
        let (stored, length): (i32, i32) =
            sqlx::query_as(sql).bind(&id).fetch_one(&db).await.unwrap();
        assert_eq!(length as usize, sent.len());
        assert!(sent.len() < 100 || stored < length * 2 / 3, "{stored} of {length} bytes");

        // A row without a dictionary has a plain body.
        let sql = "update event set body = $1, dictionary = null, body_bytes = null
            where event_id = $2::uuid";
        sqlx::query(sql).bind(&sent).bind(&id).execute(&db).await.unwrap();
        assert_eq!(print().await, sent);
    }
    let unknown = "01973f2a-0000-7000-8000-000000000000";
    let output = run(&settings(&db.connect_options()), &["body", unknown]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "qontak-receiver: event not found in the journal\n");
}
