//! Random events in any order, with repeats and concurrent writers, end in the same state.

mod events;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use qontak_receiver::event::Event;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::Failure;
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::events::event;
use super::bodies::received;
use super::harness::{Service, writer_connection};

/// Event with its two deliveries in the repeated runs.
#[derive(Clone, Debug)]
struct Step {
    body: String,
    deliveries: [Delivery; 2],
}

/// Position of a delivery, which of two writers writes it, and whether it ends a batch.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    position: u16,
    writer: usize,
    ends_batch: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delivery = (any::<u16>(), 0..2_usize, prop::bool::weighted(0.3))
        .prop_map(|(position, writer, ends_batch)| Delivery { position, writer, ends_batch });
    let step = (event(), [delivery.clone(), delivery])
        .prop_map(|(body, deliveries)| Step { body: body.to_string(), deliveries });
    prop::collection::vec(step, 1..30)
}

/// All deliveries, by position.
fn deliveries(steps: &[Step]) -> Vec<(String, Delivery)> {
    let mut deliveries: Vec<_> = steps
        .iter()
        .flat_map(|step| step.deliveries.map(|delivery| (step.body.clone(), delivery)))
        .collect();
    deliveries.sort_by_key(|(_, delivery)| delivery.position);
    deliveries
}

/// Ranks of the statuses of all messages and logs at the last check.
#[derive(Default)]
struct Statuses(BTreeMap<String, usize>);

impl Statuses {
    /// Reads the statuses; none may be lower than at the last check.
    async fn check(&mut self, db: &PgPool) {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select message_id, coalesce(status, '') from message
             union all select log_id, coalesce(status, '') from broadcast_log",
        )
        .fetch_all(db)
        .await
        .unwrap();
        // From the lowest to the highest status.
        let ranks = ["", "created", "pending", "sent", "failed", "delivered", "read"];
        let rank = |status: &str| ranks.iter().position(|rank| *rank == status).unwrap();
        let now = rows.into_iter().map(|(id, status)| (id, rank(&status))).collect();
        for (id, before) in std::mem::replace(&mut self.0, now) {
            assert!(self.0[&id] >= before, "the status of {id} went backwards");
        }
    }
}

/// Writes batches one after the other, concurrently with another writer.
async fn write(db: PgPool, batches: Vec<Vec<Event>>) {
    let writer_id = Uuid::now_v7();
    let (mut connection, mut statuses) = (writer_connection(&db), Statuses::default());
    for events in batches {
        loop {
            let written = connection.write(Duration::from_secs(10), writer_id, &events).await;
            match written {
                Ok(_) => break,
                Err(Failure::Race(_) | Failure::LockTimeout(_)) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        statuses.check(&db).await;
    }
}

/// Batches of each of the two writers.
fn batches(deliveries: &[(String, Delivery)]) -> [Vec<Vec<Event>>; 2] {
    let received_at = Timestamp::now();
    let event = |body: &str| match normalize(received(body.to_owned(), received_at)) {
        Normalized::Event(event) => *event,
        Normalized::Handshake(_) => unreachable!("no handshake is generated"),
    };
    [0, 1].map(|writer| {
        let own: Vec<_> =
            deliveries.iter().filter(|(_, delivery)| delivery.writer == writer).collect();
        own.split_inclusive(|(_, delivery)| delivery.ends_batch)
            .map(|batch| batch.iter().map(|(body, _)| event(body)).collect())
            .collect()
    })
}

/// Posts until the event is acknowledged.
async fn post_until_acknowledged(service: &Service, body: &str) {
    for _ in 0..20 {
        let status = service.post(body.to_owned()).await.status;
        if status.is_success() {
            return;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    }
    panic!("not acknowledged after 20 attempts");
}

/// Checks that the projections are equal to these; shows only the differences.
async fn assert_state(
    service: &Service,
    expected: &BTreeMap<&'static str, Vec<Value>>,
    order: &str,
) {
    assert_counts(&service.db).await;
    for (table, rows) in service.state().await {
        let only_in = |rows: &[Value], others: &[Value]| -> Vec<String> {
            rows.iter().filter(|row| !others.contains(row)).map(Value::to_string).collect()
        };
        let now = only_in(&rows, &expected[table]);
        let in_order = only_in(&expected[table], &rows);
        assert_eq!(now, in_order, "{table}: {order} (left) and in order (right)");
    }
}

/// Checks that `broadcast_count` matches the rows of `broadcast_log`.
async fn assert_counts(db: &PgPool) {
    let miscounted: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', broadcast_id, statuses, counted.count, 'instead of', logs.count)
         from (
             select organization, broadcast_id, statuses, count(*)
             from broadcast_log
             where broadcast_id is not null
             group by 1, 2, 3
         ) as logs
         full join (
             select organization, broadcast_id, statuses, sum(count) as count
             from broadcast_count
             group by 1, 2, 3
             having sum(count) <> 0
         ) as counted using (organization, broadcast_id, statuses)
         where counted.count is distinct from logs.count",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert_eq!(miscounted, Vec::<String>::new());
}

/// Applies the events in order, then in three other ways; the final state must be the same.
async fn check(service: &Arc<Service>, steps: &[Step]) {
    let truncate = "truncate event, room, room_event, message, sender, broadcast, broadcast_log";
    service.execute(truncate).await;
    for step in steps {
        post_until_acknowledged(service, &step.body).await;
    }
    let expected = service.state().await;
    let deliveries = deliveries(steps);

    // One after the other, with a check of the statuses after each.
    service.execute(truncate).await;
    let mut statuses = Statuses::default();
    for (body, _) in &deliveries {
        post_until_acknowledged(service, body).await;
        statuses.check(&service.db).await;
    }
    assert_state(service, &expected, "one after the other").await;

    // In batches of two concurrent writers.
    service.execute(truncate).await;
    let mut writing = JoinSet::new();
    for batches in batches(&deliveries) {
        writing.spawn(write(service.db.clone(), batches));
    }
    writing.join_all().await;
    assert_state(service, &expected, "in batches of two writers").await;

    // All at once; the service forms the batches.
    service.execute(truncate).await;
    let mut posting = JoinSet::new();
    for (body, _) in deliveries {
        let service = service.clone();
        posting.spawn(async move { post_until_acknowledged(&service, &body).await });
    }
    posting.join_all().await;
    assert_state(service, &expected, "all at once").await;
}

#[sqlx::test]
async fn random_events_in_any_order_end_in_the_same_state_and_statuses_only_advance(db: PgPool) {
    let config =
        Config { cases: 40, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    check_property(db, &[], config, steps, async |service: &Arc<Service>, steps| {
        check(service, &steps).await;
    })
    .await;
}

/// Checks a property of a service with these settings changed.
pub async fn check_property<S: Strategy>(
    db: PgPool,
    changed: &'static [(&str, &str)],
    config: Config,
    strategy: impl FnOnce() -> S + Send + 'static,
    check: impl AsyncFn(&Arc<Service>, S::Value) + Send + 'static,
) {
    // proptest is not async, so it gets its own thread and runtime.
    let options = db.connect_options();
    let properties = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let service = runtime.block_on(async {
            let db = PgPool::connect_with((*options).clone()).await.unwrap();
            Arc::new(Service::start_with(db, changed).await)
        });
        let result = TestRunner::new(config).run(&strategy(), |value| {
            runtime.block_on(check(&service, value));
            Ok(())
        });
        result.map_err(|failure| failure.to_string())
    });
    let result = tokio::task::spawn_blocking(|| properties.join()).await.unwrap();
    if let Err(failure) = result.unwrap() {
        panic!("{failure}");
    }
}
