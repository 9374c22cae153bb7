//! Compares the acknowledged events with the database.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};

use super::clients::Report;
use super::deployment::Deployment;
use super::spool_damage::Damaged;

/// What is kept of compared events, for a run of any length.
#[derive(Default)]
pub struct Comparison {
    pub lost: Vec<String>,
    pub duplicated: Vec<String>,
    pub problems: Vec<String>,
    /// Webhooks whose spooled bodies the test has damaged, and that are quarantined.
    pub quarantined: usize,
}

impl Comparison {
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.problems.is_empty()
    }

    /// Compares what was acknowledged since the last comparison, and empties the tables. Nothing may be in
    /// a spool.
    pub async fn add(&mut self, deployment: &mut Deployment, report: &Report) {
        let mut db = PgConnection::connect(&deployment.cluster.url).await.unwrap();
        // Copies on both sides of midnight may be two rows only if the replicas could not see each other's.
        let journal: Vec<(String, bool)> = sqlx::query_as(
            "select
                subject_id,
                count(*) > count(distinct day)
                    or max(received_at) - min(received_at) > interval '10 s'
             from event
             where outcome = 'applied'
             group by subject_id",
        )
        .fetch_all(&mut db)
        .await
        .unwrap();
        let duplicated = journal.iter().filter(|row| row.1).map(|row| row.0.clone());
        self.duplicated.extend(duplicated);
        let journal: BTreeSet<String> = journal.into_iter().map(|row| row.0).collect();
        let messages: Vec<String> =
            sqlx::query_scalar("select message_id from message").fetch_all(&mut db).await.unwrap();
        let messages: BTreeSet<String> = messages.into_iter().collect();
        if journal != messages {
            self.problems.push("journal and messages contain different events".to_owned());
        }
        // All messages have the same text.
        let texts: i64 = sqlx::query_scalar("select count(distinct text) from message")
            .fetch_one(&mut db)
            .await
            .unwrap();
        if texts > 1 {
            self.problems.push("a damaged body was applied".to_owned());
        }
        self.compare_ledger(&mut db).await;
        self.compare_clock(&mut db, deployment).await;
        let missing: BTreeSet<String> = report.acknowledged.difference(&journal).cloned().collect();
        self.compare_missing(&mut db, deployment, missing).await;
        sqlx::raw_sql(crate::harness::TRUNCATE_ALL).execute(&mut db).await.unwrap();
        sqlx::raw_sql("truncate event_alias").execute(&mut db).await.unwrap();
        deployment.forget();
    }

    /// A damaged webhook is not lost if it is quarantined, or its record cannot be read.
    async fn compare_missing(
        &mut self,
        db: &mut PgConnection,
        deployment: &Deployment,
        missing: BTreeSet<String>,
    ) {
        let quarantined: Vec<String> = sqlx::query_scalar(
            "select coalesce(reasons[1], '') from event where outcome <> 'applied'",
        )
        .fetch_all(db)
        .await
        .unwrap();
        let others = quarantined.iter().filter(|reason| !reason.starts_with("damaged:"));
        self.problems.extend(others.map(|reason| format!("not applied: {reason}")));
        self.quarantined += quarantined.len();
        let nothing = Damaged::default();
        let damaged = deployment.more.as_ref().map_or(&nothing, |more| &more.damaged);
        let bodies = missing.intersection(&damaged.bodies).count();
        if bodies > quarantined.len() || quarantined.len() > damaged.bodies.len() {
            self.problems.push(format!(
                "{} bodies were damaged, {bodies} are missing, {} are quarantined",
                damaged.bodies.len(),
                quarantined.len()
            ));
        }
        let is_lost = |id: &String| !damaged.bodies.contains(id) && !damaged.records.contains(id);
        self.lost.extend(missing.into_iter().filter(is_lost));
    }

    /// Whether the clock of both server and replicas was moved.
    async fn compare_clock(&mut self, db: &mut PgConnection, deployment: &Deployment) {
        let Some(more) = &deployment.more else { return };
        let (server, last): (DateTime<Utc>, Option<DateTime<Utc>>) =
            sqlx::query_as("select now(), max(received_at) from event")
                .fetch_one(db)
                .await
                .unwrap();
        let expected = more.machine.now();
        let is_near = |time: DateTime<Utc>| (expected - time).abs() < TimeDelta::minutes(10);
        if !is_near(server) || !last.is_some_and(is_near) {
            self.problems.push(format!("the clock is {server} and {last:?}, not {expected}"));
        }
    }

    async fn compare_ledger(&mut self, db: &mut PgConnection) {
        let (received, accounted, written): (i64, i64, i64) = sqlx::query_as(
            "select
                coalesce(sum(received), 0)::bigint,
                coalesce(sum(applied + quarantined + duplicate), 0)::bigint,
                coalesce(sum(applied + quarantined), 0)::bigint
             from ledger",
        )
        .fetch_one(&mut *db)
        .await
        .unwrap();
        let (events, deliveries): (i64, i64) =
            sqlx::query_as("select count(*), coalesce(sum(deliveries), 0)::bigint from event")
                .fetch_one(db)
                .await
                .unwrap();
        if (received, received, written) != (accounted, deliveries, events) {
            self.problems.push(format!(
                "the ledger does not add up: received {received}, accounted {accounted}, \
                 deliveries {deliveries}, written {written}, events {events}"
            ));
        }
    }
}
