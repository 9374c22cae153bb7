//! The writer: rejected events, partitions, duplicates across days, and the ledger.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::{Written, ledger, partition};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::bodies::received;
use super::fixtures::ALL;
use super::harness::{ORGANIZATION, Service, writer_connection};

fn message(id: usize, text: &str) -> String {
    let body = json!({
        "data_event": "receive_message_from_customer", "id": format!("m{id}"), "room_id": "r",
        "organization_id": ORGANIZATION, "text": text, "status": "created",
        "created_at": "2025-06-12T02:15:03.000Z",
    });
    body.to_string()
}

#[sqlx::test]
async fn event_rejected_by_the_database_is_quarantined_without_affecting_its_batch(db: PgPool) {
    // One writer, blocked by a lock, so that all events are in one batch.
    let service = Service::start_with(db.clone(), &[("RECEIVER__WRITER__TASKS", "1")]).await;
    service.execute("alter table message add constraint poison check (text <> 'poison')").await;
    let mut blocking = db.begin().await.unwrap();
    sqlx::raw_sql("lock table event in access exclusive mode")
        .execute(&mut *blocking)
        .await
        .unwrap();
    let unblock = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        blocking.rollback().await.unwrap();
    };
    let bodies: Vec<String> =
        (0..64).map(|i| message(i, if i == 37 { "poison" } else { "fine" })).collect();
    let posting = async {
        let mut posting = tokio::task::JoinSet::new();
        let service = std::sync::Arc::new(service);
        for (i, body) in bodies.into_iter().enumerate() {
            let service = service.clone();
            posting.spawn(async move { (i, service.post(body).await) });
        }
        let responses: BTreeMap<usize, _> = posting.join_all().await.into_iter().collect();
        (service, responses)
    };
    let ((), (service, responses)) = tokio::join!(unblock, posting);
    for (i, response) in &responses {
        let data = &response.json()["data"];
        if *i == 37 {
            assert_eq!(response.status, StatusCode::ACCEPTED);
            assert_eq!(data["outcome"], "quarantined");
            assert_eq!(data["reasons"][0], "refused: rejected by the database (SQLSTATE 23514)");
        } else {
            assert_eq!(data["outcome"], "applied", "{i}");
        }
    }
    assert_eq!(service.count("message").await, 63);
    assert_eq!(service.count("event").await, 64);
}

#[sqlx::test]
async fn missing_journal_partition_is_created_on_demand(db: PgPool) {
    let service = Service::start(db).await;
    let today = sqlx::query_scalar::<_, String>(
        "select to_char(clock_timestamp() at time zone 'UTC', '\"event_\"YYYYMMDD')",
    );
    let today = today.fetch_one(&service.db).await.unwrap();
    service.execute(&format!("drop table {today}")).await;
    assert_eq!(service.post(message(1, "halo")).await.status, StatusCode::OK);
    assert_eq!(service.count(&today).await, 1);
}

#[sqlx::test]
async fn only_journal_partitions_before_the_cutoff_are_dropped(db: PgPool) {
    let service = Service::start(db).await;
    service.post(message(1, "halo")).await;
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let old = [day("2025-06-01"), day("2025-06-02"), day("2025-06-03")];
    partition::create(&mut service.db.acquire().await.unwrap(), old.into_iter()).await.unwrap();
    let dropped = partition::drop_before(&service.db, old[2]).await.unwrap();
    assert_eq!(dropped, old[..2]);
    let days = partition::list(&service.db).await.unwrap();
    assert_eq!(days.len(), 1 + 8);
    assert_eq!(days[0], old[2]);
    assert_eq!(service.count("event").await, 1);
}

#[sqlx::test]
async fn repeat_shortly_after_midnight_is_a_duplicate_of_the_previous_day(db: PgPool) {
    let days = ["2025-06-12", "2025-06-13"].map(|day| day.parse().unwrap());
    partition::create(&mut db.acquire().await.unwrap(), days.into_iter()).await.unwrap();
    let mut connection = writer_connection(&db);
    let mut deliver = async |at: &str| {
        let webhook = received(message(1, "halo"), Timestamp::parse(at).unwrap());
        let Normalized::Event(event) = normalize(webhook) else { panic!("a handshake") };
        let limit = std::time::Duration::from_secs(5);
        connection.write(limit, uuid::Uuid::nil(), &[*event]).await.unwrap().remove(0)
    };
    let first = deliver("2025-06-12T23:59:59Z").await;
    assert!(matches!(first.written, Written::First));
    let repeat = deliver("2025-06-13T00:30:00Z").await;
    assert!(matches!(repeat.written, Written::Duplicate));
    assert_eq!(repeat.event_id, first.event_id);
    // Later the previous day is not checked any more; the event is stored again.
    let late = deliver("2025-06-13T01:30:00Z").await;
    assert!(matches!(late.written, Written::First));
}

#[sqlx::test]
async fn copies_from_both_sides_of_midnight_are_one_event_in_any_order_and_batch(db: PgPool) {
    let days = ["2025-06-12", "2025-06-13"].map(|day| day.parse().unwrap());
    partition::create(&mut db.acquire().await.unwrap(), days.into_iter()).await.unwrap();
    let mut connection = writer_connection(&db);
    let times = ["2025-06-12T23:59:58Z", "2025-06-13T00:00:01Z", "2025-06-12T23:59:59Z"];
    for (number, order) in (0..).zip([[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]]) {
        for batch_size in [1, 3] {
            let text = format!("halo {number} {batch_size}");
            let events = order.map(|i| {
                let webhook = received(message(1, &text), Timestamp::parse(times[i]).unwrap());
                let Normalized::Event(event) = normalize(webhook) else { panic!("a handshake") };
                *event
            });
            let mut stored = Vec::new();
            for batch in events.chunks(batch_size) {
                let limit = std::time::Duration::from_secs(5);
                stored.extend(connection.write(limit, uuid::Uuid::nil(), batch).await.unwrap());
            }
            assert!(matches!(stored[0].written, Written::First), "{order:?} {batch_size}");
            for row in &stored[1..] {
                assert!(matches!(row.written, Written::Duplicate), "{order:?} {batch_size}");
                assert_eq!(row.event_id, stored[0].event_id);
            }
            let rows: Vec<i32> =
                sqlx::query_scalar("select deliveries from event where event_id = $1")
                    .bind(stored[0].event_id.0)
                    .fetch_all(&db)
                    .await
                    .unwrap();
            assert_eq!(rows, [3], "{order:?} {batch_size}");
        }
    }
    let events: i64 =
        sqlx::query_scalar("select count(*) from event").fetch_one(&db).await.unwrap();
    assert_eq!(events, 8);
}

#[sqlx::test]
async fn ledger_compaction_merges_past_hours_without_changing_sums(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service.execute("update ledger set hour = hour - interval '2 days'").await;
    let before = service.data("/v1/ledger").await;
    for _ in 0..2 {
        ledger::compact(&service.db).await.unwrap();
        assert_eq!(service.data("/v1/ledger").await, before);
    }
    assert!(service.count("ledger").await <= 2, "one row per organisation");
}

#[sqlx::test]
async fn same_bytes_on_another_day_are_stored_again_and_change_no_projection(db: PgPool) {
    let service = Service::start(db).await;
    let post_fixtures = async || {
        for fixture in &ALL {
            service.post(fixture.body()).await;
        }
    };
    post_fixtures().await;
    let expected = service.state().await;
    // As if all events were from the previous day.
    service.execute("update event set dedup_key = sha256(dedup_key)").await;
    post_fixtures().await;
    assert_eq!(service.count("event").await, 90);
    assert_eq!(service.state().await, expected);
}

#[sqlx::test]
async fn ledger_adds_up_and_matches_the_journal(db: PgPool) {
    let service = Service::start(db).await;
    for round in 0..3 {
        for fixture in ALL.iter().skip(round) {
            service.post(fixture.body()).await;
        }
    }
    let hours = service.data("/v1/ledger").await;
    let mut sum: BTreeMap<String, i64> = BTreeMap::new();
    for hour in hours.as_array().unwrap() {
        for (name, value) in hour.as_object().unwrap() {
            if let Some(value) = value.as_i64() {
                *sum.entry(name.clone()).or_default() += value;
            }
        }
    }
    let expected = json!({
        "received": 45 + 44 + 43, "applied": 40, "recorded": 1, "quarantined": 3, "malformed": 1,
        "duplicate": 44 + 43,
    });
    assert_eq!(json!(sum), expected);
    let journal: Vec<(String, i64, i64)> = sqlx::query_as(
        "select outcome::text, count(*), sum(deliveries) from event group by outcome order by outcome",
    )
    .fetch_all(&service.db)
    .await
    .unwrap();
    let deliveries: i64 = journal.iter().map(|row| row.2).sum();
    assert_eq!(deliveries, sum["received"]);
    for (outcome, count, _) in journal {
        assert_eq!(count, sum[&outcome], "{outcome}");
    }
}

#[sqlx::test]
async fn body_without_timestamp_can_be_stored_again_later(db: PgPool) {
    let service = Service::start(db).await;
    let post = async || service.post(super::fixtures::body("61")).await.json()["data"].take();
    let first = post().await;
    assert_eq!(post().await["duplicate"], true);
    // As if the first delivery were in the previous deduplication window.
    service.execute("update event set dedup_key = sha256(dedup_key)").await;
    let second: Value = post().await;
    assert_eq!(second["duplicate"], false);
    assert_ne!(first["event_id"], second["event_id"]);
}
