//! Group commit: writes queued events in batches, one transaction each, and returns a receipt to
//! every caller.
//!
//! A task commits everything queued so far. While it commits, the next batch accumulates, so batch size
//! follows load and a lone caller waits for one commit. If a transaction takes more than 50 ms, the
//! next task goes on. [`super::queue`] says when a batch waits for more events. Large events have a
//! queue and a task of their own, so that no batch of others waits for them.
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

/// Size from which a body is large. Qontak's bodies have 1 to 4 KB.
pub const LARGE_BODY_BYTES: usize = 64 << 10;

/// Size from which an event is large: a large body, and as much for what was read from it. So requests whose
/// events wait for space in the queue of large ones are those of large bodies, of which `receive/large.rs`
/// admits few.
const LARGE_EVENT_BYTES: usize = 2 * LARGE_BODY_BYTES;

/// Maximum size of the queue of large events, at most a quarter of that of the others. It bounds the memory
/// of their batches, too.
const MAX_LARGE_QUEUE_BYTES: usize = 2 << 20;

/// Connections of the writer's tasks: one for each of `writer.tasks`, and one for large events.
pub const fn connections(settings: &config::Writer) -> u32 {
    settings.tasks.saturating_add(1)
}

/// Events and what becomes of them.
type Queue = Sender<Event, Result<Receipt, WriteError>>;

/// Accepts events from any number of callers.
#[derive(Clone)]
pub struct Writer {
    queue: Queue,
    large: Queue,
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
        let availability = Availability::default();
        let mut start = |max_bytes, committers| {
            let (queue, jobs) = queue::queue(gauge!("qontak_receiver_queue_bytes"), max_bytes);
            let jobs = Arc::new(Mutex::new(jobs));
            for _ in 0..committers {
                let committer = Committer {
                    connection: WriterConnection::new(database),
                    writer_id: Uuid::now_v7(),
                    settings: settings.clone(),
                    availability: availability.clone(),
                    activity: activity.clone(),
                };
                tasks.spawn(committer.run(jobs.clone()));
            }
            queue
        };
        let max_bytes = settings.max_queue_bytes;
        let queue = start(max_bytes, settings.tasks);
        let large = start(MAX_LARGE_QUEUE_BYTES.min(max_bytes / 4).max(1), 1);
        Self { queue, large, timeout: settings.answer_timeout, availability }
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
    /// Dropping the future does not cancel the write, unless a large event still waits for space in its
    /// queue.
    pub async fn write(&self, event: Event) -> Result<Receipt, WriteError> {
        self.write_within(self.timeout, event).await
    }

    /// Writes an event with another timeout.
    pub async fn write_within(&self, limit: Duration, event: Event) -> Result<Receipt, WriteError> {
        // Its changes hold parts of the body once more, at most all of it.
        let copies = if event.changes.is_empty() { 1 } else { 2 };
        let bytes = event.webhook.body.len() * copies;
        if bytes > LARGE_EVENT_BYTES {
            self.large.submit_when_free(event, bytes, limit).await?
        } else {
            self.queue.submit(event, bytes, limit).await?
        }
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
        tokio::join!(self.queue.drain(), self.large.drain());
    }
}
