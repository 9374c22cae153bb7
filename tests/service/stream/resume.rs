//! Resuming the stream: no gaps, no duplicates, and a reset beyond retention.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use qontak_receiver::model::EventId;
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::batch;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::subscriber::{
    Block, Subscriber, assert_matches_document, message, request, wait_for_polls,
};
use crate::binary::{self, DEADLINE, Process};
use crate::harness::{KEY_OF_ALL, Service, settings};

#[sqlx::test]
async fn stream_does_not_skip_events_that_commit_late(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut live = Subscriber::start(&service, "").await;
    service.post(message("first")).await;
    assert_eq!(live.subjects(1).await, ["first"]);
    // Written by a replica whose transaction takes long.
    let mut late = db.begin().await.unwrap();
    let id = EventId::next(Timestamp::now()).0;
    for sql in [
        "insert into batch (event_ids) values (array[$1])",
        "insert into event (day, event_id, received_at, endpoint, kind, organization,
             subject_id, outcome, reasons, dedup_key, deliveries, body, parser_version, request_id)
         select day, $1, received_at, endpoint, kind, organization,
             'late', outcome, reasons, 'late', deliveries, body, parser_version, request_id
         from event",
    ] {
        sqlx::query(sql).bind(id).execute(&mut *late).await.unwrap();
    }
    service.post(message("soon")).await;
    wait_for_polls().await;
    let mut resumed = Subscriber::start(&service, "").await;
    late.commit().await.unwrap();
    assert_eq!(live.subjects(2).await, ["late", "soon"]);
    assert_eq!(resumed.subjects(2).await, ["late", "soon"]);
}

#[sqlx::test]
async fn stream_resumes_on_any_replica_without_gaps_or_duplicates(db: PgPool) {
    const EVENTS: usize = 600;
    // A short tail in memory, so that resuming reads the database as well.
    let settings = [("RECEIVER__STREAM__MAX_BEHIND", "20")];
    let replicas = [
        Arc::new(Service::start_with(db.clone(), &settings).await),
        Arc::new(Service::start_with(db.clone(), &settings).await),
    ];
    let mut subscriber = Subscriber::start(&replicas[0], "").await;
    let mut writing = JoinSet::new();
    for (r, replica) in replicas.iter().enumerate() {
        for client in 0..5 {
            let replica = replica.clone();
            writing.spawn(async move {
                for i in 0..EVENTS / 10 {
                    let response = replica.post(message(&format!("{r}-{client}-{i:02}"))).await;
                    assert_eq!(response.status, StatusCode::OK);
                }
            });
        }
    }
    let mut received = Vec::new();
    let mut round = 0;
    while received.len() < EVENTS {
        let count = (1 + round * 7 % 40).min(EVENTS - received.len());
        received.extend(subscriber.subjects(count).await);
        round += 1;
        subscriber = subscriber.resume(&replicas[round % 2], "").await;
    }
    writing.join_all().await;
    let distinct: BTreeSet<&String> = received.iter().collect();
    assert_eq!(distinct.len(), EVENTS);
    // Nothing else is received before a new event.
    replicas[0].post(message("last")).await;
    assert_eq!(subscriber.subjects(1).await, ["last"]);
}

#[sqlx::test]
async fn slow_stream_subscriber_is_disconnected_and_can_resume(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__MAX_BEHIND", "10")]).await;
    let (mut slow, mut fast) =
        (Subscriber::start(&service, "").await, Subscriber::start(&service, "").await);
    let ids: Vec<String> = (0..20).map(|i| format!("{i:02}")).collect();
    // One subscriber stops reading after the first event, the other one reads all.
    for (i, id) in ids.iter().enumerate() {
        service.post(message(id)).await;
        assert_eq!(fast.subjects(1).await, ids[i..=i]);
        if i == 0 {
            assert_eq!(slow.subjects(1).await, ids[..1]);
        }
    }
    assert!(matches!(slow.next().await, Some(Block::Comment(why)) if why.contains("too slow")));
    assert_eq!(slow.next().await, None);
    let mut slow = slow.resume(&service, "").await;
    assert_eq!(slow.subjects(19).await, ids[1..]);
}

#[sqlx::test]
async fn stream_heartbeat_advances_the_last_event_id(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__HEARTBEAT", "50ms")]).await;
    let mut subscriber = Subscriber::start(&service, "?room_id=quiet").await;
    let first_id = subscriber.last_event_id.clone();
    service.post(message("elsewhere")).await;
    while subscriber.last_event_id == first_id {
        assert_eq!(subscriber.next().await, Some(Block::Comment("heartbeat".into())));
    }
    service.post(message("quiet").replace(r#""r""#, r#""quiet""#)).await;
    let mut subscriber = subscriber.resume(&service, "?room_id=quiet").await;
    assert_eq!(subscriber.subjects(1).await, ["quiet"]);
}

#[sqlx::test]
async fn stream_rejects_invalid_last_event_ids_and_parameters(db: PgPool) {
    let service = Service::start(db).await;
    const ALLOWED: &str = "must be an id that this stream gave";
    for id in [
        "1",
        "1.0",
        "1-1.1.0;drop table batch",
        "1-1.-1.0",
        "1-1.99999999999999999999.0",
        &"9".repeat(9999),
    ] {
        let response = service.send(request(KEY_OF_ALL, "", Some(id))).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{id}");
        let messages = json!([format!("Last-Event-ID: {ALLOWED}")]);
        assert_eq!(response.json()["error"]["messages"], messages);
    }
    let cases = [
        ("last_event_id=1", format!("last_event_id: {ALLOWED}")),
        ("last_event_id=a%00", "last_event_id: must not contain NUL".to_owned()),
        (
            "room=r",
            "room: unknown parameter; known are room_id, kind, last_event_id, organization_id"
                .to_owned(),
        ),
    ];
    for (query, message) in cases {
        let response = service.get(&format!("/v1/stream?{query}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]));
    }
}

#[sqlx::test]
async fn stream_resets_clients_beyond_retention(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut subscriber = Subscriber::start(&service, "").await;
    let mut ids = vec![subscriber.last_event_id.clone()];
    for id in ["a", "b", "c"] {
        service.post(message(id)).await;
        subscriber.event().await;
        ids.push(subscriber.last_event_id.clone());
    }
    service
        .execute(
            "update batch set at = at - interval '2 days' where xid <> (
        select xid from batch order by xid desc limit 1)",
        )
        .await;
    batch::delete_expired(&db, Duration::from_secs(86400)).await.unwrap();
    // The oldest batch that is left marks the start of retention.
    assert_eq!(service.count("batch").await, 2);
    let (history, position) = ids[2].split_once('.').unwrap();
    let (system, timeline) = history.split_once('-').unwrap();
    let far = format!("{history}.{}.0", 10_u64.pow(18) - 1);
    let promoted = format!("{system}-{}.{position}", timeline.parse::<i32>().unwrap() + 1);
    let other_server = format!("1-{timeline}.{position}");
    for (id, is_retained) in [
        (&ids[0], false),
        (&ids[1], false),
        (&ids[2], true),
        (&far, false),
        (&promoted, false),
        (&other_server, false),
    ] {
        let mut subscriber = Subscriber::start_with(&service, KEY_OF_ALL, "", Some(id)).await;
        let first = subscriber.next().await.unwrap();
        if is_retained {
            assert_eq!(first, Block::Control);
            assert_eq!(subscriber.subjects(1).await, ["c"]);
        } else {
            let Block::Event(name, data) = first else { panic!("{id}: {first:?}") };
            assert_eq!(name, "reset");
            assert_matches_document(&data);
            let mut subscriber = subscriber.resume(&service, "").await;
            let new = format!("after {id}");
            service.post(message(&new)).await;
            assert_eq!(subscriber.subjects(1).await, [new]);
        }
        service
            .execute(
                "delete from batch where xid > (
            select xid from batch order by xid offset 1 limit 1)",
            )
            .await;
    }
}

#[sqlx::test]
async fn batches_restored_from_another_server_are_deleted_at_start(db: PgPool) {
    let insert = "insert into batch (xid, event_ids) values ('0', '{}'), ('1000000000000', '{}')";
    sqlx::raw_sql(insert).execute(&db).await.unwrap();
    let service = Process::start(settings(&db.connect_options())).await;
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
    let sql = "select count(*) from batch where xid >= '1000000000000'";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&db).await.unwrap(), 0);
}

/// A pool of new sessions, in which `pg_snapshot_xmin` returns `fake.xid.fixed` if it is not null. Not a
/// number of ids less: the other tests use ids of the same server.
async fn with_fake_transaction_ids(db: &PgPool) -> PgPool {
    let sql = "create schema fake;
        create table fake.xid (fixed xid8);
        insert into fake.xid values (null);
        create function fake.pg_snapshot_xmin(pg_snapshot) returns xid8 language sql as
            'select coalesce(fixed, pg_catalog.pg_snapshot_xmin($1)) from fake.xid';
        do $$ begin
            execute format('alter database %I set search_path = fake, pg_catalog, public', current_database());
        end $$";
    sqlx::raw_sql(sql).execute(db).await.unwrap();
    PgPool::connect_with((*db.connect_options()).clone()).await.unwrap()
}

#[sqlx::test]
async fn stream_resets_subscribers_when_transaction_ids_go_back(db: PgPool) {
    let service = Service::start(with_fake_transaction_ids(&db).await).await;
    let mut subscribers =
        [Subscriber::start(&service, "").await, Subscriber::start(&service, "").await];
    service.post(message("a")).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.subjects(1).await, ["a"]);
    }
    let back = "update fake.xid set fixed = (select xid from batch order by xid desc limit 1)";
    sqlx::raw_sql(back).execute(&db).await.unwrap();
    for subscriber in &mut subscribers {
        let Some(Block::Event(name, data)) = subscriber.next().await else { panic!("no reset") };
        assert_eq!(name, "reset");
        assert_matches_document(&data);
    }
    // The subscriber goes on from there.
    sqlx::raw_sql("update fake.xid set fixed = null").execute(&db).await.unwrap();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.subjects(1).await, ["a"]);
    }
}

#[sqlx::test]
async fn transaction_that_holds_the_stream_back_is_named(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    let stream = client.get(format!("{}/v1/stream", service.url)).bearer_auth(KEY_OF_ALL);
    let _stream = stream.send().await.unwrap();
    let mut idle = db.begin().await.unwrap();
    let sql = "set application_name = 'nightly report'; select pg_current_xact_id()";
    sqlx::raw_sql(sql).execute(&mut *idle).await.unwrap();
    let status = binary::post(&client, &service.url, message("waiting").into_bytes()).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
    wait_for_lag(&service, |lag| lag >= 5.0).await;
    idle.rollback().await.unwrap();
    wait_for_lag(&service, |lag| lag == 0.0).await;
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("held back")).collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    assert!(warnings[0].contains("nightly report"), "{}", warnings[0]);
}

async fn wait_for_lag(service: &Process, is_reached: fn(f64) -> bool) {
    let reached = async {
        loop {
            let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
            let metrics = metrics.text().await.unwrap();
            let mut lines = metrics.lines();
            let lag =
                lines.find_map(|line| line.strip_prefix("qontak_receiver_stream_lag_seconds "));
            if lag.is_some_and(|lag| is_reached(lag.parse().unwrap())) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(DEADLINE, reached).await.expect("the lag was not shown");
}
