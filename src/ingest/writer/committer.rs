//! A writer task: commits batches, retries and splits them.

use std::collections::VecDeque;
use std::iter::repeat_n;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;
use uuid::Uuid;

use super::availability::Availability;
use super::receipt::{Receipt, WriteError};
use crate::config;
use crate::event::Event;
use crate::ingest::activity::Activity;
use crate::ingest::queue::{Receiver, Reply};
use crate::store::{Failure, WriterConnection};
use crate::telemetry::fault::Fault;

static QUARANTINED: Fault = Fault::error("event rejected by the database, quarantined");
static SPLIT: Fault = Fault::warn("batch rejected, splitting");
static NOT_STORED: Fault = Fault::error("batch not stored");

/// Maximum retries of a batch after serialization failures.
const MAX_RETRIES: u32 = 10;

/// How long a task keeps the queue while it commits. Concurrent writers would contend for the same room
/// rows and split one batch into two, and the session of one task has all plans and caches warm. But a
/// transaction that waits for a lock or a slow disk must not block the others.
const MAX_TURN: Duration = Duration::from_millis(50);

/// Events of one transaction, with the reply channels of their callers.
struct Batch {
    events: Vec<Event>,
    replies: Vec<Reply<Result<Receipt, WriteError>>>,
    /// SQLSTATE for which its only event is to be quarantined.
    rejected: Option<String>,
}

impl Batch {
    /// Keeps the first half and returns the second.
    fn split(&mut self) -> Self {
        let middle = self.events.len() / 2;
        Self {
            events: self.events.split_off(middle),
            replies: self.replies.split_off(middle),
            rejected: None,
        }
    }

    /// Sends each caller its result.
    fn reply(self, results: impl IntoIterator<Item = Result<Receipt, WriteError>>) {
        for (reply, result) in self.replies.into_iter().zip(results) {
            reply.send(result);
        }
    }
}

/// One writer task, with its own connection and its own rows in the ledger.
pub struct Committer {
    pub connection: WriterConnection,
    pub writer_id: Uuid,
    pub settings: config::Writer,
    pub availability: Availability,
    pub activity: Activity,
}

impl Committer {
    /// Commits batches until the queue is closed and empty.
    pub async fn run(mut self, queue: Arc<Mutex<Receiver<Event, Result<Receipt, WriteError>>>>) {
        let max_batch = self.settings.max_batch;
        let mut jobs = Vec::with_capacity(max_batch);
        loop {
            let mut turn = queue.lock().await;
            loop {
                if !turn.take(&mut jobs, max_batch).await {
                    return;
                }
                let (events, replies) = jobs.drain(..).map(|job| (job.task, job.reply)).unzip();
                let mut commit = pin!(self.commit(Batch { events, replies, rejected: None }));
                if timeout(MAX_TURN, &mut commit).await.is_err() {
                    drop(turn);
                    commit.await;
                    break;
                }
            }
        }
    }

    /// Commits a batch and replies to its callers.
    ///
    /// A batch rejected for its data is split by halves until the bad event stands alone, which
    /// takes about twenty transactions for a thousand events. That event is quarantined: the
    /// journal accepts any bytes. A batch that waits for a lock is split as well, until its callers
    /// time out.
    async fn commit(&mut self, batch: Batch) {
        let deadline = Instant::now() + self.settings.answer_timeout;
        let mut parts = VecDeque::from([batch]);
        while let Some(mut part) = parts.pop_front() {
            let events = part.events.len();
            let written = self.write(&part.events).await;
            self.availability.record(match &written {
                Err(Failure::Unavailable(error)) => Some(error),
                _ => None,
            });
            match written {
                Ok(receipts) => {
                    if let Some(code) = &part.rejected {
                        let id = part.events[0].id().0;
                        QUARANTINED.occurred(format_args!("event {id}, SQLSTATE {code}"));
                    }
                    part.reply(receipts.into_iter().map(Ok));
                }
                Err(failure) if events > 1 && should_split(&failure, deadline) => {
                    SPLIT.occurred(&failure);
                    counter!("qontak_receiver_batches_split_total").increment(1);
                    // Appended at the end, so that a good half is committed before the bad half is
                    // split further.
                    let second = part.split();
                    parts.extend([part, second]);
                }
                Err(Failure::Data(code)) if !part.events[0].changes.is_empty() => {
                    part.events[0].quarantine(&code);
                    part.rejected = Some(code);
                    parts.push_front(part);
                }
                Err(Failure::LockTimeout(_)) if Instant::now() < deadline => parts.push_back(part),
                Err(failure) => {
                    // An outage is logged once, by `Availability`.
                    if !matches!(failure, Failure::Unavailable(_)) {
                        NOT_STORED.occurred(&failure);
                    }
                    counter!("qontak_receiver_events_unwritten_total").increment(events as u64);
                    part.reply(repeat_n(Err(WriteError::StorageUnavailable), events));
                }
            }
        }
    }

    /// Writes events in one transaction. Retries after a serialization failure, and after creating
    /// a missing partition.
    async fn write(&mut self, events: &[Event]) -> Result<Vec<Receipt>, Failure> {
        let began = Instant::now();
        let limit = self.settings.commit_timeout;
        let mut retries = 0;
        let stored = loop {
            match self.connection.write(limit, self.writer_id, events).await {
                Ok(stored) => break stored,
                Err(Failure::Race(code)) if retries < MAX_RETRIES => {
                    retries += 1;
                    counter!("qontak_receiver_batches_retried_total").increment(1);
                    debug!(
                        events = events.len(),
                        db.code = code,
                        "serialization failure, retrying"
                    );
                }
                // Upkeep did not create it in advance, or the clock jumped.
                Err(Failure::NoPartition) if retries < MAX_RETRIES => {
                    retries += 1;
                    let days = events.iter().map(|event| event.received_at().day());
                    self.connection.create_partitions(limit, days).await?;
                }
                Err(failure) => return Err(failure),
            }
        };
        let ended = Instant::now();
        let took = ended.duration_since(began);
        histogram!("qontak_receiver_commit_seconds").record(took);
        histogram!("qontak_receiver_batch_size").record(events.len() as f64);
        debug!(events = events.len(), duration_ms = took.as_secs_f64() * 1e3, "batch committed");
        let times = (began, ended);
        let receipt = |(event, row)| Receipt::new(event, row, events.len(), times, &self.activity);
        Ok(events.iter().zip(stored).map(receipt).collect())
    }
}

/// Whether a smaller batch may succeed while its callers still wait.
fn should_split(failure: &Failure, deadline: Instant) -> bool {
    match failure {
        Failure::Data(_) => true,
        Failure::LockTimeout(_) => Instant::now() < deadline,
        _ => false,
    }
}
