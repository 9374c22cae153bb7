//! A queue with replies, bounded in bytes.
//!
//! The bound is in bytes, not in jobs, because a body has between 1 KB and 1 MB.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Memory used by an event in addition to its body.
pub const OVERHEAD_BYTES: usize = 1024;

/// A task and the channel for its result.
pub struct Job<T, R> {
    /// The task.
    pub task: T,
    /// Sends the result to the caller.
    pub reply: Reply<R>,
}

/// Reply channel of a job. Holds the job's space in the queue until it is dropped.
pub struct Reply<R> {
    result: oneshot::Sender<R>,
    space: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl<R> Reply<R> {
    /// Sends the result. Has no effect if the caller no longer waits.
    pub fn send(self, result: R) {
        self.gauge.decrement(self.space.num_permits() as f64);
        _ = self.result.send(result);
    }
}

/// Why a caller got no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The queue holds `max_bytes`.
    Full {
        /// Maximum size of the queue.
        max_bytes: usize,
    },
    /// No result within the timeout. The job may still be done.
    TimedOut(Duration),
    /// The receivers are gone.
    Closed,
}

/// The callers' end.
pub struct Sender<T, R> {
    jobs: mpsc::UnboundedSender<Job<T, R>>,
    space: Arc<Semaphore>,
    max_bytes: usize,
    gauge: Gauge,
}

/// The workers' end; any number of tasks may share it.
pub struct Receiver<T, R>(Arc<Mutex<mpsc::UnboundedReceiver<Job<T, R>>>>);

/// Creates a queue of at most `max_bytes`, whose size is shown by `gauge`.
pub fn queue<T, R>(gauge: Gauge, max_bytes: usize) -> (Sender<T, R>, Receiver<T, R>) {
    let (jobs, receiver) = mpsc::unbounded_channel();
    let space = Arc::new(Semaphore::new(max_bytes));
    (Sender { jobs, space, max_bytes, gauge }, Receiver(Arc::new(Mutex::new(receiver))))
}

impl<T, R> Sender<T, R> {
    /// Submits a task with a body of `bytes` and waits for its result.
    ///
    /// Dropping the future does not cancel the task.
    pub async fn submit(&self, task: T, bytes: usize, limit: Duration) -> Result<R, QueueError> {
        let max_bytes = self.max_bytes;
        let bytes = u32::try_from((bytes + OVERHEAD_BYTES).min(max_bytes)).unwrap_or(u32::MAX);
        let space = self.space.clone().try_acquire_many_owned(bytes);
        let space = space.map_err(|_| QueueError::Full { max_bytes })?;
        self.gauge.increment(f64::from(bytes));
        let (result, receiver) = oneshot::channel();
        let reply = Reply { result, space, gauge: self.gauge.clone() };
        self.jobs.send(Job { task, reply }).map_err(|_| QueueError::Closed)?;
        match timeout(limit, receiver).await {
            Ok(Ok(result)) => Ok(result),
            // The worker panicked, which ends the process.
            Ok(Err(_)) => Err(QueueError::Closed),
            Err(_) => Err(QueueError::TimedOut(limit)),
        }
    }

    /// Closes the queue and waits until every submitted task has its result.
    pub async fn drain(&self) {
        // All space is free once no job holds any.
        let all = u32::try_from(self.max_bytes).unwrap_or(u32::MAX);
        let _all = self.space.acquire_many(all).await;
        self.space.close();
    }
}

impl<T, R> Clone for Sender<T, R> {
    fn clone(&self) -> Self {
        let Self { jobs, space, max_bytes, gauge } = self;
        let (jobs, space, gauge) = (jobs.clone(), space.clone(), gauge.clone());
        Self { jobs, space, max_bytes: *max_bytes, gauge }
    }
}

impl<T, R> Receiver<T, R> {
    /// Waits for the first job, then for `permit`, and then moves all queued jobs, at most
    /// `max_jobs`, into `jobs`. Returns the permit, or `None` if all senders are gone and the queue
    /// is empty.
    pub async fn take<P>(
        &self,
        jobs: &mut Vec<Job<T, R>>,
        max_jobs: usize,
        permit: impl Future<Output = P>,
    ) -> Option<P> {
        // One task at a time waits for jobs; the others wait for this lock.
        let mut queue = self.0.lock().await;
        jobs.push(queue.recv().await?);
        let permit = permit.await;
        while jobs.len() < max_jobs
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        Some(permit)
    }
}

impl<T, R> Clone for Receiver<T, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
