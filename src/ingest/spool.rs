//! Spool: stores webhooks on the local disk or on a NATS cluster while the database is unavailable, and
//! hands them to the writer when it is available again; from the disk in order of arrival.
//!
//! A webhook is removed after its commit. If the process is killed in between, it is written again
//! with the same id, by which the journal recognises it.

mod contents;
pub mod depth;
pub mod disk;
pub mod folder;
pub mod medium;
pub mod nats;
mod record;
pub mod segment;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use self::depth::Depth;
use self::disk::Disk;
use self::medium::Medium;
use super::normalize::{Normalized, normalize};
use super::queue::{self, Receiver, Reply, Sender};
use super::writer::{WriteError, Writer};
use crate::event::Webhook;
use crate::model::{EventId, Timestamp};
use crate::store::event::alias;
use crate::store::{self, Failure};
use crate::telemetry::fault::Fault;

/// Maximum number of webhooks in a transaction of the medium.
const MAX_BATCH: usize = 500;

/// Maximum size of the webhooks handed to the writer at once.
const MAX_BATCH_BYTES: u64 = 8 << 20;

/// Backoff of the hand-over while the database is unavailable: first and longest interval.
const RETRY_INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Shortest interval between two log lines about committed webhooks. With `spool.first` there are many commits
/// per second for as long as the service runs.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of inserting aliases.
const ALIAS_TIMEOUT: Duration = Duration::from_secs(5);

static ALIASES: Fault = Fault::error("ids of spooled duplicates not stored");
static TAKE_OVER: Fault = Fault::error("spool folder not taken over");
static FULL: Fault = Fault::error("spool full, rejecting webhooks");

/// Accepts webhooks from any number of callers.
#[derive(Clone)]
pub struct Spool {
    queue: Sender<Webhook, Result<(), WriteError>>,
    medium: Medium,
    depth: watch::Receiver<Depth>,
    max_bytes: u64,
}

impl Spool {
    /// Starts the task that appends to the medium, with at most `max_queue_bytes` in its queue and
    /// `max_bytes` in the medium. The task owns a clone of the spool, so it ends with its `JoinSet`.
    pub fn start(
        medium: Medium,
        max_bytes: u64,
        max_queue_bytes: usize,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let name = medium.name();
        let gauge = gauge!("qontak_receiver_spool_queue_bytes", "medium" => name);
        let (queue, jobs) = queue::queue(gauge, max_queue_bytes);
        let depth = medium.watch();
        let spool = Self { queue, medium, depth, max_bytes };
        spool.measure();
        tasks.spawn(spool.clone().run(jobs));
        match &spool.medium {
            Medium::Disk(disk) if disk.is_shared() => {
                let disk = disk.clone();
                // A thread, because it waits for the lock for as long as the other process lives, and
                // the runtime would wait for a blocking task when it stops.
                thread::spawn(move || take_over(&disk));
            }
            Medium::Disk(_) => {}
            Medium::Nats(nats) => nats.start(tasks),
        }
        spool
    }

    /// Name of its medium: `disk` or `nats`.
    pub const fn medium(&self) -> &'static str {
        self.medium.name()
    }

    /// Appends a webhook and returns once it is durable, or after `limit`.
    pub async fn append(&self, webhook: Webhook, limit: Duration) -> Result<(), WriteError> {
        let bytes = webhook.body.len();
        self.queue.submit(webhook, bytes, limit).await?
    }

    /// Number and size of the spooled webhooks.
    pub fn depth(&self) -> Depth {
        *self.depth.borrow()
    }

    /// Whether the medium works and has room for another webhook of usual size (16 KiB).
    pub fn has_room(&self) -> bool {
        let depth = self.depth();
        !depth.has_failed && depth.bytes + (16 << 10) <= self.max_bytes
    }

    /// Maximum size of the spooled webhooks.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Updates the metrics of the spool.
    pub fn measure(&self) {
        let (depth, name) = (self.depth(), self.medium());
        let age = depth.oldest_at.map_or(0.0, Timestamp::age_seconds);
        let has_failed = f64::from(u8::from(depth.has_failed));
        gauge!("qontak_receiver_spool_events", "medium" => name).set(depth.events as f64);
        gauge!("qontak_receiver_spool_bytes", "medium" => name).set(depth.bytes as f64);
        gauge!("qontak_receiver_spool_oldest_seconds", "medium" => name).set(age);
        gauge!("qontak_receiver_spool_failed", "medium" => name).set(has_failed);
    }

    /// Measures what no webhook changes: free space of the disk, or what all replicas have in NATS.
    pub async fn measure_medium(&self) {
        match &self.medium {
            Medium::Disk(disk) => {
                let disk = disk.clone();
                if let Ok(Ok(free)) = spawn_blocking(move || disk.free_bytes()).await {
                    gauge!("qontak_receiver_spool_free_bytes", "medium" => "disk").set(free as f64);
                }
            }
            Medium::Nats(_) => self.test().await,
        }
    }

    /// Whether another process uses the folder too.
    pub fn is_shared(&self) -> bool {
        matches!(&self.medium, Medium::Disk(disk) if disk.is_shared())
    }

    /// Gives webhooks back that were taken from a medium that other replicas use too. The hand-over has
    /// ended.
    pub async fn release(&self) {
        if let Medium::Nats(nats) = &self.medium {
            nats.release().await;
        }
    }

    /// Tests whether the medium can be written. Otherwise it would be known to have failed, or to work
    /// again, only when the next webhook is spooled, perhaps in months.
    pub async fn test(&self) {
        self.observe(self.medium.test()).await;
    }

    /// Stops accepting webhooks and waits until every queued one is appended or has failed. Files that are
    /// missing are copied while they are still open.
    pub async fn drain(&self) {
        self.queue.drain().await;
        self.observe(self.medium.rescue()).await;
    }

    /// Appends queued webhooks to the medium, all of them in one transaction.
    async fn run(self, mut queue: Receiver<Webhook, Result<(), WriteError>>) {
        let mut jobs = Vec::with_capacity(MAX_BATCH);
        while queue.take(&mut jobs, MAX_BATCH).await {
            let (webhooks, replies): (Vec<Webhook>, Vec<Reply<_>>) =
                jobs.drain(..).map(|job| (job.task, job.reply)).unzip();
            let max_bytes = self.max_bytes;
            let started_at = Instant::now();
            let appended = self.observe(self.medium.append(webhooks, max_bytes)).await;
            let name = self.medium();
            histogram!("qontak_receiver_spool_commit_seconds", "medium" => name)
                .record(started_at.elapsed());
            if let Some(rejected) = appended.map(|appended| replies.len() - appended)
                && rejected > 0
            {
                let bytes = self.depth().bytes;
                FULL.occurred(format_args!(
                    "{name}: {rejected} rejected, {bytes} of {max_bytes} bytes used"
                ));
            }
            let appended = appended.unwrap_or(0);
            counter!("qontak_receiver_spooled_total", "medium" => name).increment(appended as u64);
            for (i, reply) in replies.into_iter().enumerate() {
                reply.send(if i < appended { Ok(()) } else { Err(WriteError::StorageUnavailable) });
            }
        }
    }

    /// Hands spooled webhooks to the writer and removes those that are committed. Never returns.
    pub async fn hand_over(self, writer: Writer, db: PgPool) {
        let writer = writer.with_timeout(self.medium.hand_over_timeout());
        let (mut limit, mut interval) = (MAX_BATCH, RETRY_INTERVALS[0]);
        // Webhooks committed since the last line about them.
        let (mut committed, mut logged_at) = (0, None::<Instant>);
        loop {
            if committed > 0 && timeout(LOG_INTERVAL, self.medium.wait()).await.is_err() {
                self.log_committed(&mut committed, &mut logged_at);
            }
            self.medium.wait().await;
            let batch = self.observe(self.medium.first(limit, MAX_BATCH_BYTES)).await;
            let batch = batch.unwrap_or_default();
            let size = batch.len();
            let Committed { keys, aliases } = commit(&writer, batch).await;
            let moved = keys.len();
            // Before the removal: the ids were answered, and nothing else knows them.
            insert_aliases(&db, &aliases).await;
            if moved > 0 && self.observe(self.medium.remove(keys)).await.is_some() {
                committed += moved;
                if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                    self.log_committed(&mut committed, &mut logged_at);
                }
                interval = RETRY_INTERVALS[0];
            } else {
                sleep(interval).await;
                interval = (interval * 2).min(RETRY_INTERVALS[1]);
            }
            // A slow database may commit a smaller batch within its timeout. If even one
            // event fails, a full batch is tried again: the events after it may be committed.
            limit = match moved {
                0 if limit == 1 => MAX_BATCH,
                0 => limit / 2,
                _ if moved == size => MAX_BATCH.min(limit * 2),
                _ => limit,
            };
        }
    }

    /// Logs how many webhooks were committed since the last line, and how many wait.
    fn log_committed(&self, committed: &mut usize, logged_at: &mut Option<Instant>) {
        let events = std::mem::take(committed);
        let (left, name) = (self.depth().events, self.medium());
        info!(events, spool.events = left, medium = name, "spooled events committed");
        *logged_at = Some(Instant::now());
    }

    /// Runs an operation of the medium. Returns `None` if it fails; logs the first failure and the first
    /// success after it.
    async fn observe<T>(&self, operation: impl Future<Output = io::Result<T>>) -> Option<T> {
        let (had_failed, medium) = (self.depth().has_failed, self.medium());
        let result = operation.await;
        self.measure();
        match &result {
            Err(error) if !had_failed => error!(%error, medium, "spool failed"),
            Ok(_) if had_failed && !self.depth().has_failed => info!(medium, "spool works again"),
            _ => {}
        }
        result.ok()
    }
}

/// Takes over the webhooks of the process that has used the folder before, when it ends.
fn take_over(disk: &Disk) {
    while let Err(error) = disk.take_over() {
        TAKE_OVER.occurred(error);
        thread::sleep(RETRY_INTERVALS[1]);
    }
    info!(spooled = disk.depth().events, "spool folder taken over");
}

/// Result of committing webhooks.
#[derive(Default)]
struct Committed {
    /// Keys of the webhooks to remove from the spool.
    keys: Vec<u64>,
    /// Ids of duplicates, with those of the events in the journal.
    aliases: Vec<(EventId, EventId)>,
}

/// Commits webhooks in one batch.
async fn commit(writer: &Writer, webhooks: Vec<(u64, Webhook)>) -> Committed {
    let mut writes = JoinSet::new();
    for (key, webhook) in webhooks {
        let writer = writer.clone();
        writes.spawn(async move {
            match normalize(webhook) {
                Normalized::Event(event) => {
                    let answered = event.id();
                    let receipt = writer.write(*event).await.ok()?;
                    Some((key, Some((answered, receipt.event_id))))
                }
                // Spooled by a version that did not recognise the handshake: nothing to store.
                Normalized::Handshake(_) => Some((key, None)),
            }
        });
    }
    let mut committed = Committed::default();
    for (key, ids) in writes.join_all().await.into_iter().flatten() {
        committed.keys.push(key);
        committed.aliases.extend(ids.filter(|(answered, stored)| answered != stored));
    }
    committed
}

/// Inserts aliases, however long the database is unavailable.
async fn insert_aliases(db: &PgPool, aliases: &[(EventId, EventId)]) {
    while !aliases.is_empty() {
        match store::within(ALIAS_TIMEOUT, alias::insert(db, aliases)).await {
            Ok(()) => return,
            Err(cause) => ALIASES.occurred(Failure::from(cause)),
        }
        sleep(RETRY_INTERVALS[1]).await;
    }
}
