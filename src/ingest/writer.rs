//! Commits events together with their neighbours, and tells each caller what became of its own.
//!
//! There is no timer. A task takes all that is queued, commits it in one transaction and answers;
//! meanwhile the next batch gathers by itself. So a batch is as large as the load makes it, and a
//! lone caller waits for one commit only. Should a transaction take long, the next task begins.
//!
//! [`Writer::write`] is the only way in: whatever brings events uses it.

use std::collections::VecDeque;
use std::iter::repeat_n;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use serde::{Serialize, Serializer};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use super::queue::{self, Caller, QueueError, Receiver, Sender};
use crate::config;
use crate::event::{Event, Kind, Outcome};
use crate::model::EventId;
use crate::store::{Failure, PreviousOutcome, Stored, WriterConnection, Written};

/// How often a batch is tried again that lost a race against another one.
const MAX_RETRIES: u32 = 10;

/// How long a task waits for the one that is in a transaction. Two at once would wait for each
/// other's rooms, and share what is one batch; but one that waits for somebody's lock or for a slow
/// disk must not hold up the others.
const COMMIT_LOCK_TIMEOUT: Duration = Duration::from_millis(50);

/// What became of an event; serialised, what the caller is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Id of the journal row; of the first one for a duplicate.
    pub event_id: EventId,
    /// What became of it; of the first one for a duplicate: `applied`, `recorded`, `quarantined`,
    /// `malformed`. Or `spooled`: it is kept on disk, and this will show once the database is back.
    #[serde(serialize_with = "outcome_or_spooled")]
    #[schema(value_type = String)]
    pub outcome: Option<Outcome>,
    /// Whether the same bytes were there before, as far as is known.
    pub duplicate: bool,
    /// What could not be understood; absent if there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub reasons: Vec<String>,
    /// What it is; `None` when that could not be told. For the log.
    #[serde(skip)]
    pub kind: Option<Kind>,
    /// How many events the commit held. For the log.
    #[serde(skip)]
    pub batch_size: usize,
    /// What a replayed event's row said before.
    #[serde(skip)]
    pub before: Option<PreviousOutcome>,
}

impl Receipt {
    fn new(event: &Event, row: Stored, batch_size: usize) -> Self {
        let duplicate = matches!(row.written, Written::Duplicate);
        let before = match row.written {
            Written::Replay(before) => Some(before),
            _ => None,
        };
        let counted = match before {
            Some(_) => "replayed",
            None if duplicate => "duplicate",
            None => row.outcome.as_str(),
        };
        counter!("events_total", "outcome" => counted).increment(1);
        Self {
            event_id: row.event_id,
            outcome: Some(row.outcome),
            duplicate,
            reasons: event.reasons.clone(),
            kind: event.kind,
            batch_size,
            before,
        }
    }

    /// The receipt of an event that is to wait in the spool.
    pub fn spooled(event: &Event) -> Self {
        // Nothing that follows will make JSON of it: its sender has to know.
        let is_malformed = event.outcome == Outcome::Malformed;
        Self {
            event_id: event.id(),
            outcome: is_malformed.then_some(Outcome::Malformed),
            duplicate: false,
            reasons: event.reasons.clone(),
            kind: event.kind,
            batch_size: 0,
            before: None,
        }
    }

    /// What became of it, in one word.
    pub fn outcome(&self) -> &'static str {
        self.outcome.map_or("spooled", Outcome::as_str)
    }
}

fn outcome_or_spooled<S: Serializer>(
    outcome: &Option<Outcome>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.map_or("spooled", Outcome::as_str))
}

/// An event that is not safe, or not known to be: the sender should send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// More waits for a commit than there may.
    #[error("too many events are waiting, try again later")]
    QueueFull,
    /// The commit took too long. It may still succeed; the resend is a duplicate then.
    #[error("storing took too long, try again later")]
    TooSlow,
    /// The database could not be written.
    #[error("storage is away, try again later")]
    StorageUnavailable,
}

impl From<QueueError> for WriteError {
    fn from(unanswered: QueueError) -> Self {
        match unanswered {
            QueueError::Full => Self::QueueFull,
            QueueError::TooSlow => Self::TooSlow,
            QueueError::Closed => Self::StorageUnavailable,
        }
    }
}

/// What became of an event.
type Answer = Result<Receipt, WriteError>;

/// Takes events from any number of callers.
#[derive(Clone)]
pub struct Writer {
    queue: Sender<Event, Answer>,
    answer_timeout: Duration,
    is_unavailable: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the tasks that commit. They end once every clone of the `Writer` is dropped and
    /// all that was queued is answered. Fails if `database.url` is none.
    pub fn start(
        database: &config::Database,
        settings: &config::Writer,
        tasks: &mut JoinSet<()>,
    ) -> sqlx::Result<Self> {
        let (queue, jobs) = queue::queue("queue_bytes", settings.max_queue_bytes);
        let is_unavailable = Arc::new(AtomicBool::new(false));
        let commit_lock = Arc::new(Mutex::new(()));
        for _ in 0..settings.tasks {
            let committer = Committer {
                commit_lock: commit_lock.clone(),
                link: WriterConnection::new(database)?,
                writer_id: Uuid::now_v7(),
                settings: settings.clone(),
                is_unavailable: is_unavailable.clone(),
            };
            tasks.spawn(committer.run(jobs.clone()));
        }
        Ok(Self { queue, answer_timeout: settings.answer_timeout, is_unavailable })
    }

    /// The same, for those who can wait longer or less long for an answer.
    pub fn with_timeout(self, answer_timeout: Duration) -> Self {
        Self { answer_timeout, ..self }
    }

    /// Returns once the event is committed.
    ///
    /// Whether the caller waits for that does not matter: an event that was taken is committed
    /// unless the database fails.
    pub async fn write(&self, event: Event) -> Answer {
        let bytes = event.webhook.body.len();
        self.queue.submit(event, bytes, self.answer_timeout).await?
    }

    /// Whether the last transaction failed because the database is away. Only another try can
    /// tell that it is back.
    pub fn is_unavailable(&self) -> bool {
        self.is_unavailable.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and returns once all that was taken is answered.
    pub async fn drain(&self) {
        self.queue.drain().await;
    }
}

/// What is committed together.
struct Batch {
    events: Vec<Event>,
    callers: Vec<Caller<Answer>>,
}

impl Batch {
    /// Its first half stays, its second half is returned.
    fn split(&mut self) -> Self {
        let middle = self.events.len() / 2;
        Self { events: self.events.split_off(middle), callers: self.callers.split_off(middle) }
    }

    /// Tells every caller what became of its event.
    fn answer(self, answers: impl IntoIterator<Item = Answer>) {
        self.callers.into_iter().zip(answers).for_each(|(caller, answer)| caller.answer(answer));
    }
}

/// One task that commits, with its own line in the ledger.
struct Committer {
    link: WriterConnection,
    writer_id: Uuid,
    settings: config::Writer,
    is_unavailable: Arc<AtomicBool>,
    commit_lock: Arc<Mutex<()>>,
}

impl Committer {
    async fn run(mut self, queue: Receiver<Event, Answer>) {
        let lock = self.commit_lock.clone();
        let max_batch = self.settings.max_batch;
        let mut jobs = Vec::with_capacity(max_batch);
        let commit_lock = || tokio::time::timeout(COMMIT_LOCK_TIMEOUT, lock.lock());
        while let Some(_guard) = queue.take(&mut jobs, max_batch, commit_lock()).await {
            let (events, callers) = jobs.drain(..).map(|job| (job.task, job.caller)).unzip();
            self.commit(Batch { events, callers }).await;
        }
    }

    /// Commits a batch and answers its callers.
    ///
    /// A batch that Postgres refuses for its data is split by halves, so that one bad event
    /// among a thousand costs ten more commits and its neighbours nothing. The bad one itself is
    /// quarantined: the journal takes any bytes. A batch that waits for somebody's lock is split
    /// as well, while its callers still wait.
    async fn commit(&mut self, batch: Batch) {
        let deadline = Instant::now() + self.settings.answer_timeout;
        let mut parts = VecDeque::from([batch]);
        while let Some(mut part) = parts.pop_front() {
            let size = part.events.len();
            let written = self.write(&part.events).await;
            self.log_availability(written.as_ref().err());
            match written {
                Ok(receipts) => part.answer(receipts.into_iter().map(Ok)),
                Err(failure) if size > 1 && Self::is_worth_splitting(&failure, deadline) => {
                    warn!(batch.size = size, "splitting a batch: {failure}");
                    counter!("batches_split_total").increment(1);
                    // To the back of the line: the half that is fine must not wait until the
                    // other one is taken apart.
                    let second = part.split();
                    parts.extend([part, second]);
                }
                Err(Failure::Data(code)) if !part.events[0].changes.is_empty() => {
                    part.events[0].quarantine(&code);
                    parts.push_front(part);
                }
                // The lock may go while the caller still waits.
                Err(Failure::LockTimeout(_)) if Instant::now() < deadline => parts.push_back(part),
                Err(failure) => {
                    // That the database is away is told once.
                    if !matches!(failure, Failure::Unavailable(_)) {
                        warn!(batch.size = size, "not stored: {failure}");
                    }
                    counter!("events_unwritten_total").increment(size as u64);
                    part.answer(repeat_n(Err(WriteError::StorageUnavailable), size));
                }
            }
        }
    }

    /// Tells once that the database is away, and once that it is back: it is tried again and again.
    fn log_availability(&self, failure: Option<&Failure>) {
        let cause = failure.filter(|failure| matches!(failure, Failure::Unavailable(_)));
        match (self.is_unavailable.swap(cause.is_some(), Ordering::Relaxed), cause) {
            (false, Some(cause)) => error!("the database is away: {cause}"),
            (true, None) => info!("the database is back"),
            _ => {}
        }
    }

    /// Whether fewer events may get through, and somebody may still wait for them.
    fn is_worth_splitting(failure: &Failure, deadline: Instant) -> bool {
        match failure {
            Failure::Data(_) => true,
            Failure::LockTimeout(_) => Instant::now() < deadline,
            _ => false,
        }
    }

    /// Writes events in one transaction, again if it lost a race against another one.
    async fn write(&mut self, events: &[Event]) -> Result<Vec<Receipt>, Failure> {
        let began = Instant::now();
        let mut retries = 0;
        let stored = loop {
            let limit = self.settings.commit_timeout;
            match self.link.write(limit, self.writer_id, events).await {
                Ok(stored) => break stored,
                Err(Failure::Race(code)) if retries < MAX_RETRIES => {
                    retries += 1;
                    counter!("batches_retried_total").increment(1);
                    debug!(batch.size = events.len(), db.code = code, "lost a race, again");
                }
                // The task that makes partitions ahead did not, or the clock jumped.
                Err(Failure::NoPartition) if retries < MAX_RETRIES => {
                    retries += 1;
                    let days = events.iter().map(|event| event.received_at().day());
                    self.link.create_partitions(limit, days).await?;
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
