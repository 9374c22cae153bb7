//! How long an answer of HTTP/2 waits for its client.
//!
//! TCP knows when nothing at all is taken any more (`prepare` in `server.rs`). But a client of HTTP/2
//! may take nothing of one answer and go on with others; hyper would keep that one, and all that it
//! holds, for ever.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep};

tokio::task_local! {
    /// Since when the answer has something for its client that was not asked for yet.
    static WAITS_SINCE: Cell<Option<Instant>>;
}

/// Runs the streams of HTTP/2, and resets those that wait too long.
#[derive(Clone, Copy)]
pub struct Streams {
    /// How long one may wait.
    pub timeout: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let timeout = self.timeout;
        TokioExecutor::new().execute(WAITS_SINCE.scope(Cell::new(None), async move {
            tokio::select! {
                () = stream => {}
                () = exhaust(timeout) => {}
            }
        }));
    }
}

/// Resolves when this task's stream has waited for so long.
async fn exhaust(timeout: Duration) {
    loop {
        let since = WAITS_SINCE.with(Cell::get).unwrap_or_else(Instant::now);
        let left = timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// The largest part of an answer that is given away at once: also a slow client takes so much in time.
const PART_BYTES: usize = 16 * 1024;

/// The body of an answer, which notes when it waits for its client: from giving a part of it until
/// it is asked for the next one.
///
/// Of an answer whose end is given away already, a part at most is kept as long as its connection.
pub struct Answer {
    body: Body,
    /// What is left of the part that the body has given.
    rest: Bytes,
}

impl Answer {
    /// The answer with this body.
    pub const fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Part>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let part = self.rest.split_to(self.rest.len().min(PART_BYTES));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }
}

type Part = Result<Frame<Bytes>, axum::Error>;

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        let part = self.poll_part(context);
        let since = matches!(part, Poll::Ready(Some(_))).then(Instant::now);
        // In HTTP/1 the whole connection waits, which TCP notices.
        _ = WAITS_SINCE.try_with(|waits| waits.set(since));
        part
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // It is asked before the first part only.
        self.body.size_hint()
    }
}
