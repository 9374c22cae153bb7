//! NATS as a medium of the spool: real nodes, which are killed, frozen and wiped.

mod check;
mod delivery;
mod failures;
pub mod nodes;
mod power_cut;
mod security;

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use metrics_exporter_prometheus::PrometheusBuilder;
use qontak_receiver::ingest::spool::disk::Disk;
use serde_json::json;
use sqlx::PgPool;
use tokio::time::timeout;

use self::nodes::Nodes;
use super::binary::{Process, post};
use super::fixtures::{ALL, body};
use super::harness::{Service, TRUNCATE_ALL, settings};
use super::spool::{Outage, SHORT_TIMEOUTS, outcome, wait_for_events, wait_until, webhook_at};

pub type Settings = Vec<(&'static str, String)>;

/// Starts a service in this process, without a folder.
async fn start(db: &PgPool, nats: &Settings, changed: &[(&'static str, &str)]) -> Service {
    start_on(db, None, nats, changed).await
}

async fn start_on(
    db: &PgPool,
    disk: Option<Disk>,
    nats: &Settings,
    changed: &[(&'static str, &str)],
) -> Service {
    let nats = nats.iter().map(|(name, value)| (*name, value.as_str()));
    let settings: Vec<_> = SHORT_TIMEOUTS.into_iter().chain(nats).chain(changed.to_vec()).collect();
    Service::start_on(db.clone(), disk, &settings).await
}

/// Settings of a process.
fn of_process(db: &PgPool, nats: &Settings) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    let nats = nats.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    settings.extend(nats);
    settings.extend(SHORT_TIMEOUTS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings
}

fn message(i: impl std::fmt::Display) -> String {
    json!({"data_event": "status_message", "id": format!("m{i}")}).to_string()
}

/// Name of the first stream.
fn first_stream(nats: &Settings) -> String {
    format!("{}-0", nats[2].1)
}

async fn connect(nats: &Settings) -> Context {
    let servers: Vec<&str> = nats[0].1.split(',').collect();
    jetstream::new(async_nats::connect(servers).await.unwrap())
}

/// Number of messages in all streams.
pub async fn messages_in(nats: &Settings) -> u64 {
    try_messages_in(nats).await.unwrap()
}

/// Number of messages in all streams; `None` while one has no leader.
pub async fn try_messages_in(nats: &Settings) -> Option<u64> {
    let context = connect(nats).await;
    let mut messages = 0;
    for i in 0..3 {
        let stream = context.get_stream(format!("{}-{i}", nats[2].1)).await.ok()?;
        messages += stream.cached_info().state.messages;
    }
    Some(messages)
}

/// Events of the journal, their deliveries, and deliveries of the ledger.
async fn counts(db: &PgPool) -> (i64, i64, i64) {
    sqlx::query_as(
        "select count(*), coalesce(sum(deliveries), 0)::bigint,
            (select coalesce(sum(received), 0)::bigint from ledger)
         from event",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

#[sqlx::test]
async fn webhooks_wait_in_nats_during_an_outage_and_are_committed_after_it(db: PgPool) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    // Two spools leave the writer 4.2 s of it.
    let patient = [("RECEIVER__WRITER__ANSWER_TIMEOUT", "5s")];
    let service = start_on(&db, Some(disk), &nats, &patient).await;
    assert_eq!(outcome(&service.post(body("01")).await), "applied");
    let outage = Outage::start(&db).await;
    for fixture in &ALL {
        let response = service.post(fixture.body()).await;
        let expected = match fixture.outcome {
            "handshake" => json!(null),
            "malformed" => json!("malformed"),
            _ => json!("spooled"),
        };
        assert_eq!(outcome(&response), expected, "{}", fixture.file);
    }
    let spools = &service.app.ingest.spools;
    let waiting = ALL.iter().filter(|fixture| fixture.outcome != "handshake").count() as u64;
    spools[0].test().await;
    let depths = (spools[0].depth().events, spools[1].depth().events);
    assert_eq!(depths, (waiting, 0), "all wait in NATS, none on the disk");
    let rendered = metrics.render();
    let series = format!("qontak_receiver_spooled_total{{medium=\"nats\"}} {waiting}\n");
    assert!(rendered.contains(&series), "{rendered}");
    outage.end().await;
    wait_for_events(&service, 45).await;
    wait_until(async || messages_in(&nats).await == 0).await;
    let spooled_state = service.state().await;

    service.execute(TRUNCATE_ALL).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    assert_eq!(spooled_state, service.state().await);
}

#[sqlx::test]
async fn with_nats_first_a_response_does_not_wait_for_postgres(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[("RECEIVER__SPOOL__FIRST", "true")]).await;
    assert_eq!(outcome(&service.post(body("01")).await), "spooled");
    wait_for_events(&service, 1).await;
    // The writer does not know of the outage, and is not asked.
    let outage = Outage::start(&db).await;
    let response = service.post(body("02")).await;
    assert_eq!(outcome(&response), "spooled");
    assert!(!service.app.ingest.writer.is_unavailable());
    outage.end().await;
    wait_for_events(&service, 2).await;
    let id = response.json()["data"]["event_id"].take();
    let event = service.data(&format!("/v1/events/{}", id.as_str().unwrap())).await;
    assert_eq!((&event["outcome"], &event["deliveries"]), (&json!("applied"), &json!(1)));
}

#[sqlx::test(migrations = false)]
async fn two_replicas_share_what_waits(db: PgPool) {
    let nodes = Nodes::shared().await;
    let mut settings = of_process(&db, &nodes.settings());
    settings.insert("RECEIVER__SPOOL__FIRST".into(), "true".into());
    let replicas = [Process::start(settings.clone()).await, Process::start(settings).await];
    let client = reqwest::Client::new();
    for i in 0..200 {
        // All webhooks go to one of them.
        let status = post(&client, &replicas[0].url, message(i).into_bytes()).await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    wait_until(async || counts(&db).await == (200, 200, 200)).await;
    for replica in replicas {
        replica.signal("TERM");
        let (code, log) = replica.wait_for_exit().await;
        assert_eq!(code, Some(0), "{log:?}");
        let committed = log.iter().any(|line| line.contains("spooled events committed"));
        assert!(committed, "{log:?}");
    }
}

/// Takes messages in hand during an outage, and ends by a signal. Returns the settings.
async fn end_with_messages_in_hand(
    db: &PgPool,
    nodes: &Nodes,
    name: &str,
) -> BTreeMap<String, String> {
    let mut settings = of_process(db, &nodes.settings());
    let database = settings.remove("DATABASE_URL").unwrap();
    let unreachable = ("DATABASE_URL".to_owned(), "postgres://127.0.0.1:1/unreachable".to_owned());
    let mut of_first = settings.clone();
    of_first.extend([unreachable]);
    let first = Process::start(of_first).await;
    let client = reqwest::Client::new();
    for i in 0..50 {
        let status = post(&client, &first.url, message(i).into_bytes()).await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    // Its task has read them meanwhile: another one gets them only if they are given back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.signal(name);
    first.wait_for_exit().await;
    settings.insert("DATABASE_URL".into(), database);
    settings
}

#[sqlx::test(migrations = false)]
async fn replica_killed_with_messages_in_hand_has_no_second_effect(db: PgPool) {
    let nodes = Nodes::shared().await;
    let settings = end_with_messages_in_hand(&db, &nodes, "KILL").await;
    let service = Process::start(settings).await;
    wait_until(async || counts(&db).await.0 == 50).await;
    assert_eq!(counts(&db).await, (50, 50, 50));
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test(migrations = false)]
async fn stopped_replica_gives_back_what_it_has_in_hand(db: PgPool) {
    let nodes = Nodes::shared().await;
    let settings = end_with_messages_in_hand(&db, &nodes, "TERM").await;
    let service = Process::start(settings).await;
    // Without that, another replica would get them after 30 seconds.
    let committed = wait_until(async || counts(&db).await == (50, 50, 50));
    timeout(Duration::from_secs(20), committed).await.unwrap();
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
}

#[sqlx::test]
async fn messages_of_another_program_are_quarantined_and_stop_nothing(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[("RECEIVER__SPOOL__FIRST", "true")]).await;
    let context = connect(&nats).await;
    // The last one would be applied if it were parsed: nothing proves that Qontak has sent it.
    let of_others = [&b""[..], b"\xff\0of another program", &body("01")];
    for bytes in of_others {
        let subject = format!("{}.1", first_stream(&nats));
        context.publish(subject, bytes.to_vec().into()).await.unwrap().await.unwrap();
    }
    for i in 0..9 {
        assert_eq!(outcome(&service.post(message(i)).await), "spooled");
    }
    wait_for_events(&service, 12).await;
    let quarantined = service.data("/v1/events?outcome=quarantined").await;
    let quarantined = quarantined.as_array().unwrap();
    assert_eq!(quarantined.len(), 3, "{quarantined:?}");
    for event in quarantined {
        assert!(event["reasons"][0].as_str().unwrap().starts_with("damaged: "), "{event}");
    }
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for event in quarantined {
        let path = format!("/v1/events/{}/body", event["event_id"].as_str().unwrap());
        bodies.push(service.get(&path).await.bytes);
    }
    bodies.sort_unstable_by_key(Vec::len);
    assert_eq!(bodies, of_others.map(<[u8]>::to_vec));
    wait_until(async || messages_in(&nats).await == 0).await;
}

#[sqlx::test]
async fn full_streams_are_503_and_forget_nothing(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[("RECEIVER__SPOOL__MAX_BYTES", "196608")]).await;
    let outage = Outage::start(&db).await;
    let text = "x".repeat(8000);
    let body = |i| {
        json!({"data_event": "status_message", "id": format!("m{i}"), "text": text}).to_string()
    };
    let mut accepted = 0;
    let rejected = loop {
        let response = service.post(body(accepted)).await;
        if response.status != StatusCode::OK {
            break response;
        }
        accepted += 1;
    };
    assert!((15..25).contains(&accepted), "{accepted} of 8 KB in 192 KiB");
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers[RETRY_AFTER], "2");
    outage.end().await;
    wait_for_events(&service, accepted).await;
    wait_until(async || outcome(&service.post(body(1000)).await) == "applied").await;
    assert_eq!(counts(&db).await.0, accepted + 1);
}

#[sqlx::test]
async fn more_than_one_request_holds_is_drained(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[]).await;
    let outage = Outage::start(&db).await;
    // More than is taken in hand at once.
    let text = "x".repeat(900_000);
    for i in 0..40 {
        let body = json!({"data_event": "status_message", "id": format!("m{i}"), "text": text});
        let accepted = async || service.post(body.to_string()).await.status == StatusCode::OK;
        wait_until(accepted).await;
    }
    outage.end().await;
    wait_for_events(&service, 40).await;
    wait_until(async || messages_in(&nats).await == 0).await;
    assert_eq!(counts(&db).await.0, 40);
}

#[sqlx::test]
async fn event_that_cannot_be_written_is_not_counted_again_with_its_neighbours(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[]).await;
    // This version cannot decode the row, so its next delivery cannot be written.
    service.execute("alter type event_outcome add value 'of a newer version'").await;
    assert_eq!(outcome(&service.post(message("unreadable")).await), "applied");
    assert_eq!(outcome(&service.post(message("duplicate")).await), "applied");
    let unreadable =
        "update event set outcome = 'of a newer version' where subject_id = 'munreadable'";
    service.execute(unreadable).await;
    let spool = &service.app.ingest.spools[0];
    // In one message, as a group commit makes it.
    let spooled = ["unreadable", "duplicate", "new"].map(|id| {
        let webhook = webhook_at(&chrono::Utc::now().to_rfc3339(), message(id));
        spool.append(webhook, Duration::from_secs(5))
    });
    for appended in futures_util::future::join_all(spooled).await {
        appended.unwrap();
    }
    wait_for_events(&service, 3).await;
    // Longer than a message stays in hand.
    tokio::time::sleep(Duration::from_secs(14)).await;
    // Three first deliveries, and one duplicate. Its neighbours were not counted again.
    assert_eq!(counts(&db).await, (3, 4, 4));
    spool.test().await;
    assert!(spool.depth().events > 0);
    service.execute("update event set outcome = 'applied'").await;
    wait_until(async || messages_in(&nats).await == 0).await;
    let (events, deliveries, received) = counts(&db).await;
    // On a slow machine its message may be in two streams, and is then counted twice.
    assert!(events == 3 && deliveries >= 5 && deliveries == received, "{deliveries} {received}");
}
