//! Request ids, and one log line per request when it ends.
//!
//! No line contains a path, query or body: they hold tokens and personal data.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::request_id::RequestId;
use tracing::info;

use crate::event::Kind;
use crate::ingest::writer::Receipt;

/// Middleware that logs each request.
pub async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // The pattern, not the path: it can be grouped and contains no data.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request.extensions().get::<RequestId>().cloned();
    let request_id = request_id(&request);
    let response = REQUEST_ID.scope(id, next.run(request)).await;

    let mut route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status().as_u16();
    // A wrong token gets the response of an unknown path, so it is logged as one.
    if status == 404 && route.starts_with("/webhooks") {
        route = "unmatched";
    }
    let duration_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    if let Some(receipt) = response.extensions().get::<Receipt>() {
        info!(
            http.method = %method, http.route = route, http.status = status, duration_ms,
            request.id = request_id,
            event.id = %receipt.event_id.0,
            event.kind = receipt.kind.map(Kind::as_str),
            event.outcome = receipt.outcome(),
            event.duplicate = receipt.duplicate,
            batch.size = receipt.batch_size,
            "request",
        );
    } else {
        info!(
            http.method = %method, http.route = route, http.status = status, duration_ms,
            request.id = request_id,
            "request",
        );
    }
    response
}

/// Id of a request: the caller's `x-request-id`, or a generated one.
pub fn request_id(request: &Request) -> String {
    request.extensions().get().map(text).unwrap_or_default()
}

/// Id of the current request, for code that does not have the request. `None` outside of
/// [`log`], e.g. for a connection above the limit.
pub fn current_request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| id.as_ref().map(text)).ok().flatten()
}

fn text(id: &RequestId) -> String {
    const MAX_CHARS: usize = 128;
    id.header_value().to_str().unwrap_or_default().chars().take(MAX_CHARS).collect()
}

tokio::task_local! {
    static REQUEST_ID: Option<RequestId>;
}
