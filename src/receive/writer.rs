//! Commits events together with their neighbours, and tells each caller what became of its own.
//!
//! There is no timer. Each of a few tasks takes all that is queued, commits it in one
//! transaction and answers; meanwhile the next batch gathers by itself. So a batch is as large as
//! the load makes it, and a lone caller waits for one commit only.
//!
//! [`Writer::write`] is the only way in: whatever brings events uses it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::config;
use crate::event::{Changes, Event, EventId, Kind, Outcome};
use crate::store::{self, Failure, Stored};

/// What an event costs in the queue besides its body, in bytes.
const OVERHEAD_BYTES: usize = 1024;

/// How often a batch is tried again that lost a race against another one.
const MAX_RETRIES: u32 = 10;

/// What became of an event; serialised, what the caller is told.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Id of the journal row; of the first one for a duplicate.
    pub event_id: EventId,
    /// What became of it; of the first one for a duplicate.
    pub outcome: Outcome,
    /// Whether the same bytes were there before.
    pub duplicate: bool,
    /// What could not be understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What it is; `None` when that could not be told. For the log.
    #[serde(skip)]
    pub kind: Option<Kind>,
    /// How many events the commit held. For the log.
    #[serde(skip)]
    pub batch_size: usize,
}

impl Receipt {
    fn new(event: &Event, row: Stored, batch_size: usize) -> Self {
        let outcome = if row.duplicate { "duplicate" } else { row.outcome.as_str() };
        counter!("events_total", "outcome" => outcome).increment(1);
        Self {
            event_id: row.event_id,
            outcome: row.outcome,
            duplicate: row.duplicate,
            reasons: event.reasons.clone(),
            kind: event.kind,
            batch_size,
        }
    }
}

/// An event that is not safe, or not known to be: the sender should send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// More waits for a commit than there may.
    #[error("too many events are waiting, try again later")]
    QueueFull,
    /// The commit took too long. It may still succeed; the resend is a duplicate then.
    #[error("storing took too long, try again later")]
    TooSlow,
    /// The database could not be written.
    #[error("storage is away, try again later")]
    StorageAway,
}

/// Takes events from any number of callers.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
    /// What bounds the queue: bytes, because a body may be 1 KB or 1 MB.
    space: Arc<Semaphore>,
    max_queue_bytes: usize,
    answer_timeout: Duration,
}

struct Job {
    event: Event,
    done: oneshot::Sender<Result<Receipt, Unwritten>>,
    space: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts the tasks that commit. They end once every clone of the `Writer` is dropped and
    /// all that was queued is answered.
    pub fn start(pool: &PgPool, settings: &config::Writer, tasks: &mut JoinSet<()>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..settings.tasks {
            let committer = Committer { pool: pool.clone(), writer_id: Uuid::now_v7() };
            tasks.spawn(committer.run(queue.clone(), settings.max_batch));
        }
        Self {
            jobs,
            space: Arc::new(Semaphore::new(settings.max_queue_bytes)),
            max_queue_bytes: settings.max_queue_bytes,
            answer_timeout: settings.answer_timeout,
        }
    }

    /// Returns once the event is committed.
    ///
    /// A caller that stops waiting (it hung up, or its time ran out) changes nothing for the
    /// event: it is committed all the same.
    pub async fn write(&self, event: Event) -> Result<Receipt, Unwritten> {
        let bytes = (event.body.len() + OVERHEAD_BYTES).min(self.max_queue_bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let space = self.space.clone().try_acquire_many_owned(bytes);
        let space = space.map_err(|_| Unwritten::QueueFull)?;
        gauge!("queue_bytes").increment(f64::from(bytes));
        let (done, receipt) = oneshot::channel();
        self.jobs.send(Job { event, done, space }).map_err(|_| Unwritten::StorageAway)?;
        match tokio::time::timeout(self.answer_timeout, receipt).await {
            Ok(Ok(answer)) => answer,
            // The task ended without an answer: it panicked, which ends the process.
            Ok(Err(_)) => Err(Unwritten::StorageAway),
            Err(_) => Err(Unwritten::TooSlow),
        }
    }
}

/// One task that commits, with its own line in the ledger.
struct Committer {
    pool: PgPool,
    writer_id: Uuid,
}

impl Committer {
    async fn run(self, queue: Arc<Mutex<mpsc::UnboundedReceiver<Job>>>, max_batch: usize) {
        let mut jobs = Vec::with_capacity(max_batch);
        loop {
            // Whoever holds the lock waits for the first event; the others wait for the lock.
            let taken = queue.lock().await.recv_many(&mut jobs, max_batch).await;
            if taken == 0 {
                return;
            }
            let mut callers = Vec::with_capacity(taken);
            let mut events = Vec::with_capacity(taken);
            for Job { event, done, space } in jobs.drain(..) {
                callers.push((done, space));
                events.push(event);
            }
            let answers = self.commit(&mut events).await;
            for ((caller, space), answer) in callers.into_iter().zip(answers) {
                gauge!("queue_bytes").decrement(space.num_permits() as f64);
                // The caller may have hung up. Its event is safe all the same.
                _ = caller.send(answer);
            }
        }
    }

    /// Commits a batch, one answer for each of its events.
    ///
    /// A batch that Postgres refuses for its data is split by halves, so that one bad event
    /// among a thousand costs ten more commits and its neighbours nothing. The bad one itself is
    /// quarantined: the journal takes any bytes.
    async fn commit(&self, events: &mut [Event]) -> Vec<Result<Receipt, Unwritten>> {
        let mut answers = vec![Err(Unwritten::StorageAway); events.len()];
        let whole = 0..events.len();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            match self.write(&events[part.clone()]).await {
                Ok(receipts) => {
                    for (answer, receipt) in answers[part].iter_mut().zip(receipts) {
                        *answer = Ok(receipt);
                    }
                }
                Err(Failure::Data(code)) if part.len() > 1 => {
                    warn!(batch.size = part.len(), db.code = code, "batch refused, splitting it");
                    counter!("batches_split_total").increment(1);
                    let Range { start, end } = part;
                    let middle = start.midpoint(end);
                    // The first half is on top, so that events keep their order.
                    parts.extend([middle..end, start..middle]);
                }
                Err(Failure::Data(code)) if !events[part.start].changes.is_empty() => {
                    let event = &mut events[part.start];
                    error!(event.id = %event.id.0, db.code = code, "event refused, quarantined");
                    event.changes = Changes::default();
                    event.outcome = Outcome::Quarantined;
                    event.reasons.insert(0, format!("refused: by the database, code {code}"));
                    parts.push(part);
                }
                Err(failure) => {
                    error!(batch.size = part.len(), "not stored: {failure}");
                    counter!("events_unwritten_total").increment(part.len() as u64);
                }
            }
        }
        answers
    }

    /// Writes events in one transaction, again if it lost a race against another one.
    async fn write(&self, events: &[Event]) -> Result<Vec<Receipt>, Failure> {
        let began = Instant::now();
        let mut retries = 0;
        let stored = loop {
            match store::write(&self.pool, self.writer_id, events).await.map_err(Failure::from) {
                Ok(stored) => break stored,
                Err(Failure::Race(code)) if retries < MAX_RETRIES => {
                    retries += 1;
                    counter!("batches_retried_total").increment(1);
                    debug!(batch.size = events.len(), db.code = code, "lost a race, again");
                }
                // The task that makes partitions ahead did not, or the clock jumped.
                Err(Failure::NoPartition) if retries < MAX_RETRIES => {
                    retries += 1;
                    let days = events.iter().map(|event| event.received_at.day());
                    store::partition::create(&self.pool, days).await.map_err(Failure::from)?;
                }
                Err(failure) => return Err(failure),
            }
        };
        let took = began.elapsed();
        histogram!("commit_seconds").record(took);
        histogram!("batch_size").record(events.len() as f64);
        debug!(batch.size = events.len(), duration_ms = took.as_secs_f64() * 1e3, "committed");
        let receipt = |(event, row)| Receipt::new(event, row, events.len());
        Ok(events.iter().zip(stored).map(receipt).collect())
    }
}
