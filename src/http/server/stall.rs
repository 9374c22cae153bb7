//! Timeout of HTTP/2 streams whose client does not read the response.
//!
//! `TCP_USER_TIMEOUT` (`prepare` in `server.rs`) covers a client that reads nothing at all. An
//! HTTP/2 client can stall one stream and read others; hyper would keep that stream forever.

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
    /// Time since which the response has data that the client has not read.
    static STALLED_SINCE: Cell<Option<Instant>>;
}

/// Runs HTTP/2 streams, and resets those that stall for too long.
#[derive(Clone, Copy)]
pub struct StreamExecutor {
    /// Maximum time a stream may stall.
    pub timeout: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let timeout = self.timeout;
        TokioExecutor::new().execute(STALLED_SINCE.scope(Cell::new(None), async move {
            tokio::select! {
                () = stream => {}
                () = stalled(timeout) => {}
            }
        }));
    }
}

/// Resolves when the stream of this task has stalled for `timeout`.
async fn stalled(timeout: Duration) {
    loop {
        let since = STALLED_SINCE.with(Cell::get).unwrap_or_else(Instant::now);
        let left = timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// Maximum size of a frame: small enough for a slow client to read within the timeout.
const PART_BYTES: usize = 16 * 1024;

/// Response body that records when it stalls: between a frame and hyper's poll for the next one.
///
/// The timeout does not cover the last frame: hyper keeps at most that one while the connection is
/// open.
pub struct ResponseBody {
    body: Body,
    /// Rest of the current frame.
    rest: Bytes,
}

impl ResponseBody {
    /// Wraps the body of a response.
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

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        let part = self.poll_part(context);
        let since = matches!(part, Poll::Ready(Some(_))).then(Instant::now);
        // Not set in HTTP/1, where the whole connection stalls and `TCP_USER_TIMEOUT` applies.
        _ = STALLED_SINCE.try_with(|waits| waits.set(since));
        part
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // hyper calls it before the first frame only.
        self.body.size_hint()
    }
}
