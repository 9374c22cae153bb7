//! Group commit: writes queued events in batches, one transaction each, and returns a receipt to
//! every caller.
//!
//! A task commits everything queued so far. While it commits, the next batch accumulates, so batch size
//! follows load and a lone caller waits for one commit. If a transaction takes more than 50 ms, the
//! next task goes on. [`super::queue`] says when a batch waits for more events.
//!
//! [`Writer::write`] is the only way to write events: from requests, the spool and replays.

mod availability;
mod committer;
mod drift;
pub mod kinds;
mod receipt;

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::availability::Availability;
use self::committer::Committer;
pub use self::receipt::{Receipt, WriteError};
use super::activity::Activity;
use super::queue::{self, QueueError, Sender};
use crate::config;
use crate::event::Event;
use crate::store::WriterConnection;

impl From<QueueError> for WriteError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { max_bytes } => Self::QueueFull { max_bytes },
            QueueError::TimedOut(limit) => Self::TimedOut(limit),
            QueueError::Closed => Self::StorageUnavailable,
        }
    }
}

/// Accepts events from any number of callers.
#[derive(Clone)]
pub struct Writer {
    queue: Sender<Event, Result<Receipt, WriteError>>,
    timeout: Duration,
    availability: Availability,
}

impl Writer {
    /// Starts the tasks that commit. They end once every clone of the `Writer` is dropped and the
    /// queue is empty.
    pub fn start(
        database: &config::Database,
        settings: &config::Writer,
        activity: &Activity,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let gauge = gauge!("qontak_receiver_queue_bytes");
        let (queue, jobs) = queue::queue(gauge, settings.max_queue_bytes);
        let availability = Availability::default();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..settings.tasks {
            let committer = Committer {
                connection: WriterConnection::new(database),
                writer_id: Uuid::now_v7(),
                settings: settings.clone(),
                availability: availability.clone(),
                activity: activity.clone(),
            };
            tasks.spawn(committer.run(jobs.clone()));
        }
        Self { queue, timeout: settings.answer_timeout, availability }
    }

    /// The same writer with another timeout for its callers.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Time in which it replies.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Writes an event and returns its receipt once it is committed.
    ///
    /// Dropping the future does not cancel the write, unless a large event still waits for its share of the
    /// queue.
    pub async fn write(&self, event: Event) -> Result<Receipt, WriteError> {
        self.write_within(self.timeout, event).await
    }

    /// Writes an event with another timeout.
    pub async fn write_within(&self, limit: Duration, event: Event) -> Result<Receipt, WriteError> {
        // Its changes hold parts of the body once more, at most all of it.
        let copies = if event.changes.is_empty() { 1 } else { 2 };
        let bytes = event.webhook.body.len() * copies;
        self.queue.submit(event, bytes, limit).await?
    }

    /// Whether the last transaction failed because the database was unavailable. Only another
    /// write detects that it is available again.
    pub fn is_unavailable(&self) -> bool {
        self.availability.is_unavailable()
    }

    /// Why the database is unavailable, if a transaction failed for that within the last `age`.
    pub fn recent_failure(&self, age: Duration) -> Option<String> {
        self.availability.recent_failure(age)
    }

    /// Stops accepting events and waits until every queued one is committed or has failed.
    pub async fn drain(&self) {
        self.queue.drain().await;
    }
}
