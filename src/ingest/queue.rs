//! A queue whose callers wait for an answer, bounded in bytes.
//!
//! Bytes, because a body may be 1 KB or 1 MB.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// What an event costs in memory besides its body, in bytes.
pub const OVERHEAD_BYTES: usize = 1024;

/// Something to be done, and who waits for it.
pub struct Job<T, A> {
    /// What is to be done.
    pub task: T,
    /// Who waits.
    pub caller: Caller<A>,
}

/// Who waits for an answer. Its place in the queue is free again once it is dropped.
pub struct Caller<A> {
    answer: oneshot::Sender<A>,
    space: OwnedSemaphorePermit,
    name: &'static str,
}

impl<A> Caller<A> {
    /// Tells it the answer. It may have hung up.
    pub fn answer(self, answer: A) {
        gauge!(self.name).decrement(self.space.num_permits() as f64);
        _ = self.answer.send(answer);
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// More waits than may.
    Full,
    /// It took too long. It may still be done.
    TooSlow,
    /// Nobody takes jobs any more.
    Closed,
}

/// The end that asks.
pub struct Sender<T, A> {
    jobs: mpsc::UnboundedSender<Job<T, A>>,
    space: Arc<Semaphore>,
    max_bytes: usize,
    name: &'static str,
}

/// The end that answers; any number of tasks may share it.
pub struct Receiver<T, A>(Arc<Mutex<mpsc::UnboundedReceiver<Job<T, A>>>>);

/// A queue of at most `max_bytes`; the gauge `name` shows how many wait.
pub fn queue<T, A>(name: &'static str, max_bytes: usize) -> (Sender<T, A>, Receiver<T, A>) {
    let (jobs, receiver) = mpsc::unbounded_channel();
    let space = Arc::new(Semaphore::new(max_bytes));
    (Sender { jobs, space, max_bytes, name }, Receiver(Arc::new(Mutex::new(receiver))))
}

impl<T, A> Sender<T, A> {
    /// Asks for something to be done that holds a body of `bytes`, and returns the answer.
    ///
    /// Whether the caller waits for that does not matter: what was taken is done.
    pub async fn submit(&self, task: T, bytes: usize, timeout: Duration) -> Result<A, QueueError> {
        let bytes = (bytes + OVERHEAD_BYTES).min(self.max_bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let space = self.space.clone().try_acquire_many_owned(bytes);
        let space = space.map_err(|_| QueueError::Full)?;
        gauge!(self.name).increment(f64::from(bytes));
        let (answer, answered) = oneshot::channel();
        let caller = Caller { answer, space, name: self.name };
        self.jobs.send(Job { task, caller }).map_err(|_| QueueError::Closed)?;
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            // The task ended without an answer: it panicked, which ends the process.
            Ok(Err(_)) => Err(QueueError::Closed),
            Err(_) => Err(QueueError::TooSlow),
        }
    }

    /// Takes nothing more, and returns once all that was taken is answered.
    pub async fn drain(&self) {
        // Whoever has all of the space knows that nobody else has any.
        let all = u32::try_from(self.max_bytes).unwrap_or(u32::MAX);
        let _all = self.space.acquire_many(all).await;
        self.space.close();
    }
}

impl<T, A> Clone for Sender<T, A> {
    fn clone(&self) -> Self {
        let Self { jobs, space, max_bytes, name } = self;
        Self { jobs: jobs.clone(), space: space.clone(), max_bytes: *max_bytes, name }
    }
}

impl<T, A> Receiver<T, A> {
    /// Moves all that waits, but at most `limit`, into `jobs`: waits for the first one, and then
    /// for the `turn`, which it returns. `None` once all senders are gone and nothing is left.
    pub async fn take<G>(
        &self,
        jobs: &mut Vec<Job<T, A>>,
        limit: usize,
        turn: impl Future<Output = G>,
    ) -> Option<G> {
        // Whoever holds the lock waits; the others wait for the lock.
        let mut queue = self.0.lock().await;
        jobs.push(queue.recv().await?);
        let turn = turn.await;
        while jobs.len() < limit
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        Some(turn)
    }
}

impl<T, A> Clone for Receiver<T, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
