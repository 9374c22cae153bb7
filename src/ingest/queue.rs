//! A queue with replies, bounded in bytes.
//!
//! The bound is in bytes, not in jobs, because a body has between 1 KB and 1 MB.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Memory used by an event in addition to its body.
pub const OVERHEAD_BYTES: usize = 1024;

/// How long after the batch before a batch waits for its callers. Tokio's timer has a resolution of 1 ms.
const GATHER_TIMEOUT: Duration = Duration::from_millis(1);

/// A batch that has this many jobs does not wait: the fixed cost of a batch is small for each of them.
const GATHERED_JOBS: usize = 64;

/// Size from which a batch gets no more jobs: while it is written, there are several copies of its bodies in
/// memory. With bodies of the usual size a batch is full by number before.
const MAX_BATCH_BYTES: usize = 4 << 20;

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
    callers: Arc<Callers>,
}

impl<T, R> Job<T, R> {
    /// Space in the queue.
    fn bytes(&self) -> usize {
        self.reply.space.num_permits()
    }
}

impl<R> Reply<R> {
    /// Sends the result. Has no effect if the caller no longer waits.
    pub fn send(self, result: R) {
        self.callers.leave();
        self.gauge.decrement(self.space.num_permits() as f64);
        _ = self.result.send(result);
    }
}

/// Counts the callers that wait for a result.
struct Callers {
    waiting: AtomicUsize,
    /// The most since the last batch was taken: those that waited when a batch ended, its own included.
    peak: AtomicUsize,
    created_at: Instant,
    /// When a caller last got a result, in microseconds since `created_at`.
    answered_after: AtomicU64,
}

impl Callers {
    fn new() -> Self {
        let (waiting, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { waiting, peak, created_at: Instant::now(), answered_after: AtomicU64::new(0) }
    }

    fn enter(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    fn leave(&self) {
        self.peak.fetch_max(self.waiting.fetch_sub(1, Relaxed), Relaxed);
        let answered_after = self.created_at.elapsed().as_micros();
        self.answered_after.store(u64::try_from(answered_after).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many jobs a batch waits for, and until when.
    fn expected(&self) -> (usize, Instant) {
        let answered_after = Duration::from_micros(self.answered_after.load(Relaxed));
        (self.peak.swap(0, Relaxed), self.created_at + answered_after + GATHER_TIMEOUT)
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
    callers: Arc<Callers>,
}

/// The workers' end.
pub struct Receiver<T, R> {
    jobs: mpsc::UnboundedReceiver<Job<T, R>>,
    callers: Arc<Callers>,
}

/// Creates a queue of at most `max_bytes`, whose size is shown by `gauge`.
pub fn queue<T, R>(gauge: Gauge, max_bytes: usize) -> (Sender<T, R>, Receiver<T, R>) {
    let (jobs, receiver) = mpsc::unbounded_channel();
    let space = Arc::new(Semaphore::new(max_bytes));
    let callers = Arc::new(Callers::new());
    let receiver = Receiver { jobs: receiver, callers: callers.clone() };
    (Sender { jobs, space, max_bytes, gauge, callers }, receiver)
}

impl<T, R> Sender<T, R> {
    /// Submits a task that occupies `bytes` and an [overhead](OVERHEAD_BYTES), and waits for its result.
    ///
    /// Dropping the future does not cancel a task that is in the queue.
    pub async fn submit(&self, task: T, bytes: usize, limit: Duration) -> Result<R, QueueError> {
        let deadline = Instant::now() + limit;
        let space = self.space.clone().try_acquire_many_owned(self.permits(bytes));
        let space = space.map_err(|_| QueueError::Full { max_bytes: self.max_bytes })?;
        self.enqueue(task, space, limit, deadline).await
    }

    /// Like [`submit`](Self::submit), but waits for space in the queue as well.
    ///
    /// Dropping the future cancels a task that still waits for space.
    pub async fn submit_when_free(
        &self,
        task: T,
        bytes: usize,
        limit: Duration,
    ) -> Result<R, QueueError> {
        let deadline = Instant::now() + limit;
        let space = self.space.clone().acquire_many_owned(self.permits(bytes));
        let space = timeout_at(deadline, space).await.map_err(|_| QueueError::TimedOut(limit))?;
        let space = space.map_err(|_| QueueError::Closed)?;
        self.enqueue(task, space, limit, deadline).await
    }

    /// Space of a task. One that is larger than the queue takes all of it.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from((bytes + OVERHEAD_BYTES).min(self.max_bytes)).unwrap_or(u32::MAX)
    }

    async fn enqueue(
        &self,
        task: T,
        space: OwnedSemaphorePermit,
        limit: Duration,
        deadline: Instant,
    ) -> Result<R, QueueError> {
        self.gauge.increment(space.num_permits() as f64);
        let (result, receiver) = oneshot::channel();
        self.callers.enter();
        let (gauge, callers) = (self.gauge.clone(), self.callers.clone());
        let reply = Reply { result, space, gauge, callers };
        self.jobs.send(Job { task, reply }).map_err(|_| QueueError::Closed)?;
        match timeout_at(deadline, receiver).await {
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
        let Self { jobs, space, max_bytes, gauge, callers } = self;
        let (jobs, space, max_bytes) = (jobs.clone(), space.clone(), *max_bytes);
        Self { jobs, space, max_bytes, gauge: gauge.clone(), callers: callers.clone() }
    }
}

impl<T, R> Receiver<T, R> {
    /// Waits for the first job and moves all queued jobs into `jobs`, at most `max_jobs`, up to the one that
    /// reaches [`MAX_BATCH_BYTES`]. Returns false if all senders are gone and the queue is empty.
    ///
    /// Callers that send one job after the other would otherwise take turns in two groups, each of them
    /// half a batch. So a batch waits shortly until there are as many jobs as there were callers when
    /// the batch before ended. A lone caller never waits.
    pub async fn take(&mut self, jobs: &mut Vec<Job<T, R>>, max_jobs: usize) -> bool {
        let Some(job) = self.jobs.recv().await else { return false };
        let mut bytes = job.bytes();
        jobs.push(job);
        let (expected, deadline) = self.callers.expected();
        while jobs.len() < expected.min(GATHERED_JOBS).min(max_jobs)
            && bytes < MAX_BATCH_BYTES
            && let Ok(Some(job)) = timeout_at(deadline, self.jobs.recv()).await
        {
            bytes += job.bytes();
            jobs.push(job);
        }
        while jobs.len() < max_jobs
            && bytes < MAX_BATCH_BYTES
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.bytes();
            jobs.push(job);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    fn submit(tasks: &mut JoinSet<()>, sender: &Sender<(), ()>, jobs: usize, bytes: usize) {
        for _ in 0..jobs {
            let sender = sender.clone();
            tasks.spawn(async move {
                _ = sender.submit((), bytes, Duration::from_secs(60)).await;
            });
        }
    }

    /// Numbers of jobs of the batches, with callers that submit their jobs one after the other.
    async fn batches(callers: usize, jobs_of_each: usize) -> Vec<usize> {
        let (sender, mut receiver) = queue(Gauge::noop(), 1 << 20);
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let sender = sender.clone();
            tasks.spawn(async move {
                for _ in 0..jobs_of_each {
                    // One is slower than the other, but not much.
                    for _ in 0..caller * 10 {
                        yield_now().await;
                    }
                    sender.submit((), 0, Duration::from_secs(60)).await.unwrap();
                }
            });
        }
        drop(sender);
        let mut sizes = Vec::new();
        let mut jobs = Vec::new();
        while receiver.take(&mut jobs, 100).await {
            sizes.push(jobs.len());
            jobs.drain(..).for_each(|job| job.reply.send(()));
        }
        while tasks.join_next().await.transpose().unwrap().is_some() {}
        sizes
    }

    #[tokio::test]
    async fn callers_that_are_answered_together_share_the_next_batch() {
        let sizes = batches(2, 100).await;
        assert_eq!(200, sizes.iter().sum::<usize>());
        // A batch may miss a caller on a busy machine.
        assert!(sizes.len() < 150, "{} batches for 100 of two jobs", sizes.len());
    }

    #[tokio::test]
    async fn batch_ends_with_the_job_that_reaches_its_size() {
        let (sender, mut receiver) = queue(Gauge::noop(), 32 << 20);
        let mut tasks = JoinSet::new();
        let bytes = (128 << 10) - OVERHEAD_BYTES;
        submit(&mut tasks, &sender, 80, bytes);
        while sender.space.available_permits() > 22 << 20 {
            yield_now().await;
        }
        drop(sender);
        let (mut sizes, mut jobs) = (Vec::new(), Vec::new());
        while receiver.take(&mut jobs, 100).await {
            sizes.push(jobs.len());
            jobs.drain(..).for_each(|job| job.reply.send(()));
        }
        assert_eq!(sizes, [32, 32, 16]);
    }

    #[tokio::test]
    async fn job_that_finds_no_space_in_time_is_not_queued() {
        let (sender, mut receiver) = queue::<_, ()>(Gauge::noop(), 2 << 20);
        let mut tasks = JoinSet::new();
        // Larger than the whole queue.
        submit(&mut tasks, &sender, 1, 3 << 20);
        while sender.space.available_permits() > 0 {
            yield_now().await;
        }
        let limit = Duration::from_millis(10);
        let full = QueueError::Full { max_bytes: 2 << 20 };
        assert_eq!(sender.submit((), 1, limit).await, Err(full));
        let timed_out = QueueError::TimedOut(limit);
        assert_eq!(sender.submit_when_free((), 1 << 20, limit).await, Err(timed_out));
        let mut jobs = Vec::new();
        receiver.take(&mut jobs, 100).await;
        assert_eq!(jobs.len(), 1);
        assert!(receiver.jobs.try_recv().is_err());
        // Once there is space, it is queued.
        jobs.drain(..).for_each(|job| job.reply.send(()));
        let limit = Duration::from_secs(60);
        let (result, _) = tokio::join!(sender.submit_when_free((), 1 << 20, limit), async {
            receiver.take(&mut jobs, 100).await;
            jobs.drain(..).for_each(|job| job.reply.send(()));
        });
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn a_lone_caller_is_not_kept_waiting() {
        let began = Instant::now();
        assert_eq!(vec![1; 10_000], batches(1, 10_000).await);
        // Batches that wait take 10 to 20 seconds.
        assert!(began.elapsed() < Duration::from_secs(8));
    }
}
