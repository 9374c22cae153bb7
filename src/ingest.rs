//! Ingest: makes webhooks durable. Knows no HTTP: requests, the spool and replays share it.
//!
//! [`normalize`] turns a [`Webhook`] into an [`Event`]. [`Ingest::accept`]
//! commits it through the [`writer`], or appends it to a [`spool`] while the database is unavailable.

pub mod activity;
mod json;
pub mod normalize;
pub mod payload;
mod queue;
pub mod replay;
pub mod spool;
pub mod writer;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use self::activity::Activity;
use self::spool::Spool;
use self::spool::medium::Medium;
use self::writer::{Receipt, WriteError, Writer};
use crate::config::{Config, SPOOL_TIMEOUT};
use crate::event::{Event, Webhook};

/// Minimum time of a write after the spools have failed.
const PROBE_TIMEOUT: Duration = Duration::from_millis(50);

/// Stores events: in the database, or in the spool while the database is unavailable.
#[derive(Clone)]
pub struct Ingest {
    /// Commits events to the database.
    pub writer: Writer,
    /// Hold webhooks while the database is unavailable, in the order in which they are tried; none if
    /// no spool is configured.
    pub spools: Vec<Spool>,
    /// Counts of events that the alarms take.
    pub activity: Activity,
    hand_overs: Vec<AbortHandle>,
    /// Whether events go to the spools before the writer.
    spools_first: bool,
    /// Time in which every caller gets its receipt.
    timeout: Duration,
}

impl Ingest {
    /// Starts the writer's tasks and, for each medium, a spool and its hand-over to the writer. The
    /// hand-over uses `db` for ids of duplicates.
    pub fn start(
        config: &Config,
        db: &PgPool,
        media: Vec<Medium>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let activity = Activity::new(config.alarm.silence);
        let writer = Writer::start(&config.database, &config.writer, &activity, tasks);
        let timeout = config.writer.answer_timeout;
        let (max_bytes, max_queue_bytes) = (config.spool.max_bytes, config.writer.max_queue_bytes);
        let (mut spools, mut hand_overs) = (Vec::new(), Vec::new());
        for medium in media {
            let spool = Spool::start(medium, max_bytes, max_queue_bytes, tasks);
            let hand_over = spool.clone().hand_over(writer.clone(), db.clone());
            hand_overs.push(tasks.spawn(hand_over));
            spools.push(spool);
        }
        // Writer and spools together must reply within `answer_timeout`.
        let writer = writer.with_timeout(timeout.saturating_sub(share(spools.len())));
        let spools_first = config.spool.first && !spools.is_empty();
        Self { writer, spools, activity, hand_overs, spools_first, timeout }
    }

    /// Stores an event and returns its receipt once it is durable.
    ///
    /// Events go to the writer. If the write fails, or the database is known to be down, the
    /// webhook is appended to the first spool that takes it. With `spool.first` the spools are tried
    /// before the writer. `waited` is the part of the caller's time that is over.
    pub async fn accept(&self, event: Event, waited: Duration) -> Result<Receipt, WriteError> {
        let limit = self.writer.timeout().saturating_sub(waited);
        if self.spools.is_empty() {
            return self.writer.write_within(limit, event).await;
        }
        let began = Instant::now().checked_sub(waited).unwrap_or_else(Instant::now);
        let webhook = event.webhook.clone();
        let receipt = Receipt::spooled(&event);
        if self.spools_first {
            match self.append(webhook, began).await {
                Ok(()) => Ok(receipt),
                Err(_) => self.write_in_time(event, began).await,
            }
        } else if self.writer.is_unavailable() {
            // Nobody waits for the database, so the spools have all the time that the caller has.
            match self.append(webhook, began).await {
                Ok(()) => Ok(receipt),
                // With unreadable spools the hand-over cannot probe the database, so this write does.
                Err(_) if self.spools.iter().all(|spool| spool.depth().has_failed) => {
                    self.write_in_time(event, began).await
                }
                Err(cause) => Err(cause),
            }
        } else if let Ok(receipt) = self.writer.write_within(limit, event).await {
            Ok(receipt)
        } else {
            self.append(webhook, began).await.map(|()| receipt)
        }
    }

    /// Writes an event that no spool took, in what is left of the caller's time. With none left it still
    /// shows whether the database is available.
    async fn write_in_time(&self, event: Event, began: Instant) -> Result<Receipt, WriteError> {
        let left = self.timeout.saturating_sub(began.elapsed()).max(PROBE_TIMEOUT);
        self.writer.write_within(left, event).await
    }

    /// Appends a webhook to the first spool that takes it. A spool has what is left of the caller's time,
    /// without the shares of the spools after it, and its own share at least.
    async fn append(&self, webhook: Webhook, began: Instant) -> Result<(), WriteError> {
        let mut result = Err(WriteError::StorageUnavailable);
        for (i, spool) in self.spools.iter().enumerate() {
            let left = self.timeout.saturating_sub(began.elapsed());
            let limit = left.saturating_sub(share(self.spools.len() - i - 1));
            result = spool.append(webhook.clone(), limit.max(SPOOL_TIMEOUT)).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Stops accepting events and waits until all queued ones are stored. Stops the hand-overs; their
    /// events stay in the spools. Without a spool, fails if queued events were not stored within
    /// `limit`.
    pub async fn drain(&self, limit: Duration) -> Result<(), Elapsed> {
        self.hand_overs.iter().for_each(AbortHandle::abort);
        let committed = timeout(limit, self.writer.drain()).await;
        if self.spools.is_empty() {
            return committed;
        }
        // Events that the writer did not commit are appended to a spool by their callers, within
        // this time.
        _ = timeout(self.timeout, async {
            join_all(self.spools.iter().map(Spool::drain)).await;
        })
        .await;
        for spool in &self.spools {
            spool.release().await;
        }
        Ok(())
    }

    /// Number of spooled webhooks.
    pub fn spooled(&self) -> u64 {
        self.spools.iter().map(|spool| spool.depth().events).sum()
    }
}

/// Time that is reserved for this number of spools.
fn share(spools: usize) -> Duration {
    SPOOL_TIMEOUT * u32::try_from(spools).expect("there are two media")
}
