//! Keeps webhooks on the local disk while the database is away, and hands them to the writer, in
//! order of arrival, when it is back.
//!
//! A webhook is removed once it is committed. After a crash in between it is written again; it
//! keeps its id, by which the journal knows that this very delivery is there already.

pub mod disk;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::disk::{Depth, Disk};
use super::normalize::{Normalized, normalize};
use super::queue::{self, Caller, Receiver, Sender};
use super::writer::{WriteError, Writer};
use crate::event::Webhook;
use crate::model::Timestamp;

/// How long a caller waits for the disk before it is told 503.
pub const SPOOL_TIMEOUT: Duration = Duration::from_millis(400);

/// The most webhooks that one transaction of the disk adds or removes.
const MAX_BATCH: usize = 500;

/// The most bytes that are handed to the writer at once.
const MAX_BATCH_BYTES: u64 = 8 << 20;

/// How long the database is left alone after it was found away: at first, and at most.
const RETRY_INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

type Answer = Result<(), WriteError>;

/// Takes webhooks from any number of callers.
#[derive(Clone)]
pub struct Spool {
    queue: Sender<Webhook, Answer>,
    disk: Arc<Disk>,
    depth: watch::Receiver<Depth>,
    max_bytes: u64,
}

impl Spool {
    /// Starts the task that keeps, with at most `max_queue_bytes` on their way to the disk and
    /// `max_bytes` on it. The task has a clone of its own, so it ends with its `JoinSet`.
    pub fn start(
        disk: Disk,
        max_bytes: u64,
        max_queue_bytes: usize,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (queue, jobs) = queue::queue("spool_queue_bytes", max_queue_bytes);
        let depth = disk.watch();
        let spool = Self { queue, disk: Arc::new(disk), depth, max_bytes };
        spool.measure();
        tasks.spawn(spool.clone().run(jobs));
        spool
    }

    /// Returns once the webhook is on the disk.
    pub async fn append(&self, webhook: Webhook) -> Answer {
        let bytes = webhook.body.len();
        self.queue.submit(webhook, bytes, SPOOL_TIMEOUT).await?
    }

    /// What waits.
    pub fn depth(&self) -> Depth {
        *self.depth.borrow()
    }

    /// Whether one more webhook of the usual size would be appended.
    pub fn has_room(&self) -> bool {
        let depth = self.depth();
        !depth.has_failed && depth.bytes + (16 << 10) <= self.max_bytes
    }

    /// How much may wait, in bytes.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Shows in the metrics what waits, and for how long.
    pub fn measure(&self) {
        let depth = self.depth();
        let age = depth.oldest_at.map_or(0.0, Timestamp::age_seconds);
        gauge!("spool_events").set(depth.events as f64);
        gauge!("spool_bytes").set(depth.bytes as f64);
        gauge!("spool_oldest_seconds").set(age);
    }

    /// Takes nothing more, and returns once all that was taken is answered.
    pub async fn drain(&self) {
        self.queue.drain().await;
    }

    /// Puts webhooks on the disk, all that wait in one transaction.
    async fn run(self, jobs: Receiver<Webhook, Answer>) {
        let mut taken = Vec::with_capacity(MAX_BATCH);
        while jobs.take(&mut taken, MAX_BATCH, ready(())).await.is_some() {
            let (webhooks, callers): (Vec<Webhook>, Vec<Caller<Answer>>) =
                taken.drain(..).map(|job| (job.task, job.caller)).unzip();
            let max_bytes = self.max_bytes;
            let appended =
                self.use_disk(move |disk| disk.append(&webhooks, max_bytes)).await.unwrap_or(0);
            if appended < callers.len() {
                warn!(refused = callers.len() - appended, "the spool takes no more");
            }
            counter!("events_total", "outcome" => "spooled").increment(appended as u64);
            for (i, caller) in callers.into_iter().enumerate() {
                caller.answer(if i < appended {
                    Ok(())
                } else {
                    Err(WriteError::StorageUnavailable)
                });
            }
        }
    }

    /// Hands what waits to the writer, for ever.
    pub async fn hand_over(self, writer: Writer) {
        let mut depth = self.depth.clone();
        let (mut limit, mut interval) = (MAX_BATCH, RETRY_INTERVALS[0]);
        loop {
            if depth.wait_for(|depth| depth.events > 0).await.is_err() {
                return;
            }
            let waiting = self.use_disk(move |disk| disk.first(limit, MAX_BATCH_BYTES)).await;
            let waiting = waiting.unwrap_or_default();
            let size = waiting.len();
            let committed = commit(&writer, waiting).await;
            let moved = committed.len();
            if moved > 0 && self.use_disk(move |disk| disk.remove(&committed)).await.is_some() {
                info!(
                    batch.size = moved,
                    spool.events = self.depth().events,
                    "moved from the spool"
                );
                interval = RETRY_INTERVALS[0];
            } else {
                sleep(interval).await;
                interval = (interval * 2).min(RETRY_INTERVALS[1]);
            }
            // A database that is too slow for all of them in its time may do with fewer. If it
            // takes not even one, that one is to blame, and others may follow it.
            limit = match moved {
                0 if limit == 1 => MAX_BATCH,
                0 => limit / 2,
                _ if moved == size => MAX_BATCH.min(limit * 2),
                _ => limit,
            };
        }
    }

    /// Asks the disk without keeping other tasks waiting. `None` if it fails, which is logged.
    async fn use_disk<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Disk) -> Result<T, redb::Error> + Send + 'static,
    ) -> Option<T> {
        let disk = self.disk.clone();
        let answer = spawn_blocking(move || question(&disk)).await.expect("redb does not panic");
        self.measure();
        answer.inspect_err(|cause| error!("the spool's disk: {cause}")).ok()
    }
}

/// Commits webhooks, together. The keys of those that are in the journal now.
async fn commit(writer: &Writer, webhooks: Vec<(u64, Webhook)>) -> Vec<u64> {
    let mut writing = JoinSet::new();
    for (key, webhook) in webhooks {
        let writer = writer.clone();
        writing.spawn(async move {
            match normalize(webhook) {
                Normalized::Event(event) => writer.write(*event).await.is_ok().then_some(key),
                // This version knows better: nothing to keep.
                Normalized::Handshake(_) => Some(key),
            }
        });
    }
    writing.join_all().await.into_iter().flatten().collect()
}
