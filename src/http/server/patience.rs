//! How long an answer of HTTP/2 waits for its client.
//!
//! TCP knows when nothing at all is taken any more (`prepare` in `server.rs`). But a client of HTTP/2
//! may take nothing of one answer and go on with others; hyper would keep that one, and all that it
//! holds, for ever.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
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
    pub patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let patience = self.patience;
        TokioExecutor::new().execute(WAITS_SINCE.scope(Cell::new(None), async move {
            tokio::select! {
                () = stream => {}
                () = exhaust(patience) => {}
            }
        }));
    }
}

/// Resolves when this task's stream has waited for so long.
async fn exhaust(patience: Duration) {
    loop {
        let since = WAITS_SINCE.with(Cell::get).unwrap_or_else(Instant::now);
        let left = patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// The body of an answer, which notes when it waits for its client: from giving a part of it until
/// it is asked for the next one.
pub struct Answer(pub Body);

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(context);
        let since = matches!(frame, Poll::Ready(Some(_))).then(Instant::now);
        // In HTTP/1 the whole connection waits, which TCP notices.
        _ = WAITS_SINCE.try_with(|waits| waits.set(since));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
