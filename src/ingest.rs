//! Ingest: makes webhooks durable. Knows no HTTP: requests, the spool and replays share it.
//!
//! [`normalize`] turns a [`Webhook`](crate::event::Webhook) into an [`Event`]. [`Ingest::accept`]
//! commits it through the [`writer`], or appends it to the [`spool`] while the database is
//! unavailable.

pub mod activity;
mod json;
pub mod normalize;
pub mod payload;
mod queue;
pub mod replay;
pub mod spool;
pub mod writer;

use std::time::Duration;

use sqlx::PgPool;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use self::activity::Activity;
use self::spool::Spool;
use self::spool::disk::Disk;
use self::writer::{Receipt, WriteError, Writer};
use crate::config::{Config, SPOOL_TIMEOUT};
use crate::event::Event;

/// Commit timeout of events handed over from the spool. No sender waits for them.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(60);

/// Stores events: in the database, or in the spool while the database is unavailable.
#[derive(Clone)]
pub struct Ingest {
    /// Commits events to the database.
    pub writer: Writer,
    /// Holds webhooks while the database is unavailable; `None` if no spool is configured.
    pub spool: Option<Spool>,
    /// Counts of events that the alarms take.
    pub activity: Activity,
    hand_over: Option<AbortHandle>,
    /// Time in which every caller gets its receipt.
    timeout: Duration,
}

impl Ingest {
    /// Starts the writer's tasks and, with a disk, the spool and its hand-over to the writer. The
    /// hand-over uses `db` for ids of duplicates.
    /// Fails if `database.url` cannot be parsed.
    pub fn start(
        config: &Config,
        db: PgPool,
        disk: Option<Disk>,
        tasks: &mut JoinSet<()>,
    ) -> sqlx::Result<Self> {
        let activity = Activity::new(config.alarm.silence);
        let writer = Writer::start(&config.database, &config.writer, activity.clone(), tasks)?;
        let timeout = config.writer.answer_timeout;
        let Some(disk) = disk else {
            return Ok(Self { writer, spool: None, activity, hand_over: None, timeout });
        };
        let (max_bytes, max_queue_bytes) = (config.spool.max_bytes, config.writer.max_queue_bytes);
        let spool = Spool::start(disk, max_bytes, max_queue_bytes, tasks);
        let hand_over = spool.clone().hand_over(writer.clone().with_timeout(HAND_OVER_TIMEOUT), db);
        let hand_over = tasks.spawn(hand_over);
        // Writer and spool together must reply within `answer_timeout`.
        let writer = writer.with_timeout(timeout.saturating_sub(SPOOL_TIMEOUT));
        Ok(Self { writer, spool: Some(spool), activity, hand_over: Some(hand_over), timeout })
    }

    /// Stores an event and returns its receipt once it is durable.
    ///
    /// Events go to the writer. If the write fails, or the database is known to be down, the
    /// webhook is appended to the spool.
    pub async fn accept(&self, event: Event) -> Result<Receipt, WriteError> {
        let Some(spool) = &self.spool else {
            return self.writer.write(event).await;
        };
        let webhook = event.webhook.clone();
        let receipt = Receipt::spooled(&event);
        if self.writer.is_unavailable() {
            // Nobody waits for the database, so the spool has all the time that the caller has.
            match spool.append(webhook, self.timeout).await {
                Ok(()) => Ok(receipt),
                // With an unreadable spool the hand-over cannot probe the database, so this write
                // does.
                Err(_) if spool.depth().has_failed => self.writer.write(event).await,
                Err(cause) => Err(cause),
            }
        } else if let Ok(receipt) = self.writer.write(event).await {
            Ok(receipt)
        } else {
            spool.append(webhook, SPOOL_TIMEOUT).await.map(|()| receipt)
        }
    }

    /// Stops accepting events and waits until all queued ones are stored. Stops the hand-over; its
    /// events stay in the spool. Without a spool, fails if queued events were not stored within
    /// `limit`.
    pub async fn drain(&self, limit: Duration) -> Result<(), Elapsed> {
        if let Some(hand_over) = &self.hand_over {
            hand_over.abort();
        }
        let committed = timeout(limit, self.writer.drain()).await;
        let Some(spool) = &self.spool else {
            return committed;
        };
        // Events that the writer did not commit are appended to the spool by their callers, within
        // this time.
        _ = timeout(self.timeout, spool.drain()).await;
        Ok(())
    }
}
