//! What every request passes: a request id, one log line when it ends, headers, and a 500 instead of
//! a panic.
//!
//! One function instead of a stack of layers, each of which would box the request. No line contains
//! a path, query or body: they hold tokens and personal data.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{self, Method};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::error::{self, Reason};
use super::metrics;
use crate::event::Kind;
use crate::ingest::writer::Receipt;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware of the routes of a router.
pub async fn middleware(request: Request, next: Next) -> Response {
    // The pattern, not the path: it can be grouped and contains no data.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    trace(request, route, |request| next.run(request)).await
}

/// Handles a request for a route.
pub async fn trace<B, F>(
    request: http::Request<B>,
    mut route: &str,
    handle: impl FnOnce(http::Request<B>) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let started = Instant::now();
    let method = request.method().clone();
    // An id sent by the caller is kept.
    let id = request.headers().get(X_REQUEST_ID).cloned().unwrap_or_else(next_id);
    let handled = async move {
        let handled = AssertUnwindSafe(async move { handle(request).await }).catch_unwind();
        handled.await.unwrap_or_else(error::panicked)
    };
    let mut response = REQUEST_ID.scope(id.clone(), handled).await;

    let headers = response.headers_mut();
    let no_cache = HeaderValue::from_static("private, no-cache");
    headers.entry(CACHE_CONTROL).or_insert(no_cache);
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    // A wrong token gets the response of an unknown path, so it is logged as one.
    if response.status() == 404 && route.starts_with("/webhooks") {
        route = "unmatched";
    }
    let took = started.elapsed();
    metrics::record(route, response.status().as_u16(), took);
    log(&method, route, text(&id), took, &response);
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

fn log(method: &Method, route: &str, request_id: &str, took: Duration, response: &Response) {
    let status = response.status().as_u16();
    let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    if let Some(receipt) = response.extensions().get::<Receipt>() {
        info!(
            http.method = method.as_str(), http.route = route, http.status = status, duration_ms,
            request.id = request_id,
            event.id = %receipt.event_id.0,
            event.kind = receipt.kind.map(Kind::as_str),
            event.outcome = receipt.outcome(),
            event.duplicate = receipt.duplicate,
            batch.size = receipt.batch_size,
            "request",
        );
        return;
    }
    let reason = response.extensions().get::<Reason>().map(|reason| reason.0);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                http.method = method.as_str(),
                http.route = route,
                http.status = status,
                duration_ms,
                request.id = request_id,
                reason,
                "request",
            )
        };
    }
    match status {
        // A bug, or one of ours that a retry may mend; the rest is the caller's.
        500 => line!(error),
        501.. => line!(warn),
        _ => line!(info),
    }
}

/// Id of the current request; `None` outside of [`trace`], e.g. for a connection above the limit.
pub fn current_request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| text(id).to_owned()).ok()
}

/// A new id of 62 random bits: half the size of a UUID, in every log line and journal row.
fn next_id() -> HeaderValue {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    HeaderValue::try_from(format!("{random:016x}")).expect("hexadecimal digits are valid")
}

/// The beginning of an id; nothing of one that is no visible ASCII.
fn text(id: &HeaderValue) -> &str {
    const MAX_BYTES: usize = 128;
    let id = id.to_str().unwrap_or_default();
    &id[..id.len().min(MAX_BYTES)]
}

tokio::task_local! {
    static REQUEST_ID: HeaderValue;
}
