//! Works on the replays of table `replay`: one at a time, page by page.
//!
//! Progress is stored after each page. A replica that stops lets another one go on; one that is killed is
//! replaced after a minute. The page that it was working on is then replayed again, without effect.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tracing::{info, warn};

use super::replay_page;
use crate::ingest::writer::Writer;
use crate::store::replay::{self, Task};
use crate::store::{self, Failure};
use crate::telemetry::fault::Fault;

static INTERRUPTED: Fault = Fault::warn("search for replays interrupted");

/// Interval at which new replays are looked for: one look-up in a small table.
const INTERVAL: Duration = Duration::from_secs(2);

/// Timeout of a statement about progress.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of one event's commit. Longer than for webhooks, since no sender waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Works until `stopping`.
pub async fn run(db: PgPool, writer: Writer, mut stopping: Receiver<bool>) {
    let writer = writer.with_timeout(ANSWER_TIMEOUT);
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let task = match store::within(TIMEOUT, replay::take(&db)).await {
            Ok(Some(task)) => task,
            Ok(None) => continue,
            Err(cause) => {
                INTERRUPTED.occurred(Failure::from(cause));
                continue;
            }
        };
        let id = task.replay_id;
        info!(replay.id = %id, "replay running");
        let done = tokio::select! {
            done = work(&db, &writer, task) => Some(done),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        match done {
            Some(Ok(())) => info!(replay.id = %id, "replay ended"),
            Some(Err(cause)) => {
                warn!(replay.id = %id, error = %Failure::from(cause), "replay interrupted");
            }
            None => {
                _ = store::within(TIMEOUT, replay::release(&db, id)).await;
                return;
            }
        }
    }
}

/// Replays page by page. Fails only if progress cannot be stored; then a replica goes on later.
async fn work(db: &PgPool, writer: &Writer, task: Task) -> sqlx::Result<()> {
    let Task { replay_id, selection, mut after } = task;
    loop {
        let page = match replay_page(db, writer, &selection, after).await {
            Ok(Some(page)) => page,
            Ok(None) => return replay::finish(db, replay_id, None).await,
            Err(cause) => {
                return replay::finish(db, replay_id, Some(&cause.to_string())).await;
            }
        };
        let changed = page.replayed.iter().filter(|it| it.before != it.outcome).count() as i64;
        let events = page.events as i64;
        let advance = replay::advance(db, replay_id, page.last, events, changed);
        if !store::within(TIMEOUT, advance).await? {
            return Ok(());
        }
        after = Some(page.last);
    }
}
