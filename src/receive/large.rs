//! The share of large bodies: what they may occupy, so that small ones do not wait behind them.
//!
//! Qontak's bodies have 1 to 4 KB. Large ones would otherwise fill the memory for bodies, and parsing one
//! keeps a worker of the runtime from all other requests for milliseconds. The writer has a
//! queue of its own for them, because events come there from the spool and replays as well.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use http_body_util::BodyExt;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::http::Error;

/// What large bodies share.
#[derive(Debug)]
pub struct LargeBodies {
    /// Bytes of those in memory: a quarter of `http.max_reading_bytes`, or one body of the maximum size.
    bytes: Semaphore,
    /// The one that is parsed.
    parsing: Arc<Semaphore>,
    /// Maximum time that a body waits for both: half of that for the writer, so that there is time left to
    /// write it.
    timeout: Duration,
}

/// A large body, from its reading to its response.
#[derive(Debug)]
pub struct LargeBody<'a> {
    share: &'a LargeBodies,
    _bytes: SemaphorePermit<'a>,
    /// How long it has waited so far.
    pub waited: Duration,
}

impl LargeBodies {
    /// A share of so many bytes. `write_timeout` is the time in which the writer replies.
    pub fn new(bytes: usize, write_timeout: Duration) -> Self {
        Self {
            bytes: Semaphore::new(bytes),
            parsing: Arc::new(Semaphore::new(1)),
            timeout: write_timeout / 2,
        }
    }

    /// Waits until one more large body, of so many bytes, may be in memory.
    pub async fn enter(&self, bytes: usize) -> Result<LargeBody<'_>, Error> {
        let mut waited = Duration::ZERO;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = self.acquire(self.bytes.acquire_many(bytes), &mut waited).await?;
        Ok(LargeBody { share: self, _bytes: bytes, waited })
    }

    /// Reads the rest of a body that is refused, for a while: a sender that is still sending when the
    /// connection is closed may lose the response.
    pub async fn discard<B: HttpBody + Unpin>(&self, mut body: B) {
        let end = async { while let Some(Ok(_)) = body.frame().await {} };
        _ = timeout(self.timeout, end).await;
    }

    /// Waits for a permit, in what is left of the body's time.
    async fn acquire<T>(
        &self,
        permit: impl Future<Output = Result<T, AcquireError>>,
        waited: &mut Duration,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let permit = timeout(self.timeout.saturating_sub(*waited), permit).await;
        *waited += began.elapsed();
        let permit = permit.map_err(|_| Error::Overloaded("large request bodies"))?;
        Ok(permit.expect("the semaphore is never closed"))
    }
}

impl LargeBody<'_> {
    /// Runs a step that takes long: in a thread of its own, one at a time. A step whose request has ended
    /// meanwhile keeps its turn.
    pub async fn run<T: Send + 'static>(
        &mut self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let parsing = self.share.parsing.clone().acquire_owned();
        let parsing = self.share.acquire(parsing, &mut self.waited).await?;
        let step = move || {
            let _parsing = parsing;
            step()
        };
        let result = spawn_blocking(step).await;
        // Like any panic of a handler, it becomes a 500.
        Ok(result.unwrap_or_else(|panic| resume_unwind(panic.into_panic())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    fn bodies(write_timeout: Duration) -> Arc<LargeBodies> {
        Arc::new(LargeBodies::new(10, write_timeout))
    }

    /// Starts a step that waits for what the test sends.
    fn start(share: &Arc<LargeBodies>, tasks: &mut JoinSet<Result<(), Error>>) -> mpsc::Sender<()> {
        let (sender, receiver) = mpsc::channel();
        let share = share.clone();
        tasks.spawn(async move {
            let mut body = share.enter(1).await?;
            body.run(move || receiver.recv().expect("the test sends")).await
        });
        sender
    }

    // The runtime of a test has one thread, which a step in it would block for ever.
    #[tokio::test]
    async fn steps_run_one_after_the_other_beside_the_runtime() {
        let share = bodies(Duration::from_secs(60));
        let mut tasks = JoinSet::new();
        let senders = [(); 3].map(|()| start(&share, &mut tasks));
        for sender in senders {
            while share.parsing.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            assert!(tasks.try_join_next().is_none());
            sender.send(()).unwrap();
            tasks.join_next().await.unwrap().unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn step_that_gets_no_turn_in_time_is_not_run() {
        let share = bodies(Duration::from_millis(10));
        let mut tasks = JoinSet::new();
        let first = start(&share, &mut tasks);
        while share.parsing.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut second = share.enter(1).await.unwrap();
        let result = second.run(|| panic!("it has no turn")).await;
        assert!(matches!(result, Err::<(), _>(Error::Overloaded(_))));
        // The first one keeps its turn without its request.
        tasks.shutdown().await;
        assert_eq!(share.parsing.available_permits(), 0);
        first.send(()).unwrap();
        while share.parsing.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
    }
}
