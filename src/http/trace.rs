//! What every request passes: a request id, one log line when it ends, headers, and a 500 instead of
//! a panic.
//!
//! One function instead of a stack of layers, each of which would box the request. No line contains
//! a path, query or body: they hold tokens and personal data.

mod context;
pub mod export;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{self, Method};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use tracing::{error, info, warn};

use self::context::{CURRENT, Context, X_REQUEST_ID, text};
pub use self::context::{Facts, Phase, current_request_id, note};
use super::error::{self, Reason};
use super::metrics;
use super::server::admission::Client;
use crate::config::{self, LogPeer};
use crate::event::Kind;
use crate::ingest::writer::Receipt;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Settings of the log line, which the subscriber has for the whole process too.
static SETTINGS: OnceLock<Settings> = OnceLock::new();

struct Settings {
    peer: LogPeer,
    sample: u32,
    successes: AtomicU32,
}

/// Sets what log lines contain, and how many there are. Without it every request has a line, without
/// its peer.
pub fn configure(log: &config::Log) {
    let settings = Settings { peer: log.peer, sample: log.sample, successes: AtomicU32::new(0) };
    _ = SETTINGS.set(settings);
}

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
    let context = Context::read(request.headers());
    context.facts.borrow_mut().peer = peer(&request);
    let handled = async move {
        let handled = AssertUnwindSafe(async move { handle(request).await }).catch_unwind();
        let response = handled.await.unwrap_or_else(error::panicked);
        (response, note_all())
    };
    let (id, parent) = (context.id.clone(), context.parent);
    let (mut response, facts) = CURRENT.scope(context, handled).await;

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
    export::export(started, &method, route, text(&id), parent, &facts, &response);
    if is_logged(response.status().as_u16()) {
        log(&method, route, text(&id), took, &facts, &response);
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// What the handler of the current request has noted.
fn note_all() -> Facts {
    CURRENT.try_with(|context| context.facts.take()).unwrap_or_default()
}

/// The address to log: that of the connection, or the one that the last proxy has appended to
/// `x-forwarded-for`. `None` by default.
fn peer<B>(request: &http::Request<B>) -> Option<IpAddr> {
    match SETTINGS.get()?.peer {
        LogPeer::Off => None,
        LogPeer::Connection => {
            request.extensions().get::<std::sync::Arc<Client>>().map(|it| it.peer())
        }
        LogPeer::XForwardedFor => {
            let last = request.headers().get_all(X_FORWARDED_FOR).iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        }
    }
}

/// Whether a request gets a line: of successes only each `log.sample`th, so that the rest is never lost.
fn is_logged(status: u16) -> bool {
    let Some(Settings { sample, successes, .. }) = SETTINGS.get() else { return true };
    *sample == 1
        || status >= 400
        || successes.fetch_add(1, Ordering::Relaxed).is_multiple_of(*sample)
}

fn log(
    method: &Method,
    route: &str,
    request_id: &str,
    took: Duration,
    facts: &Facts,
    response: &Response,
) {
    let status = response.status().as_u16();
    let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    let Facts { peer, endpoint, organization_id, key, .. } = facts;
    let peer = peer.map(tracing::field::display);
    let (endpoint, organization, key) =
        (endpoint.as_deref(), organization_id.as_deref(), key.as_deref());
    if let Some(receipt) = response.extensions().get::<Receipt>() {
        info!(
            http.method = method.as_str(), http.route = route, http.status = status, duration_ms,
            request.id = request_id, peer, endpoint, organization,
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
                peer,
                endpoint,
                organization,
                key,
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
