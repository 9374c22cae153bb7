//! HTTP middleware for the read API: conditional requests (ETag/304), compression and CORS.
//!
//! Webhooks do not pass through it: it costs CPU time, and Qontak uses none of it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER, VARY,
};
use axum::http::{Extensions, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::Router;
use futures_util::stream;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};
use tower_http::cors::CorsLayer;

use super::Error;
use crate::event::BodyHash;

/// Adds the middleware to these routes. Browsers may call them from pages of
/// `cors_origins`.
pub fn with_read_middleware<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    cors_origins: &[HeaderValue],
) -> Router<S> {
    let cors = (!cors_origins.is_empty()).then(|| cors(cors_origins));
    // Fastest level: webhooks share the CPU. Errors are too small to compress.
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
        DefaultPredicate::new()
            .and(|status: StatusCode, _, _: &HeaderMap, _: &Extensions| status.is_success())
            // Files, whose tag is strong and whose ranges are of the bytes themselves.
            .and(|_, _, headers: &HeaderMap, _: &Extensions| !headers.contains_key(ACCEPT_RANGES)),
    );
    let layers = ServiceBuilder::new()
        .layer(option_layer(cors))
        .layer(compression)
        .layer(from_fn(conditional_get));
    routes
        // Must be inside the CORS layer: the fallback of `router::with_middleware` is outside and
        // would answer preflight requests with 405.
        .method_not_allowed_fallback(async || Error::MethodNotAllowed("GET, HEAD"))
        .layer(layers)
}

/// Credentials are not allowed: clients send a key in a header, and there are no cookies.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            CONTENT_DISPOSITION,
            ETAG,
            LINK,
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("x-cell-limit"),
            HeaderName::from_static("x-ignored-parameters"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(Duration::from_secs(3600))
}

/// Adds an `ETag` and responds 304 if `If-None-Match` contains it. Streamed responses have none.
///
/// The tag is weak, because the same response is also sent compressed.
async fn conditional_get(request: Request, next: Next) -> Response {
    let is_safe = [Method::GET, Method::HEAD].contains(request.method());
    let if_none_match: Vec<_> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    let is_whole = response.body().size_hint().exact().is_some();
    if !is_safe || response.status() != StatusCode::OK || !is_whole {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Error::Internal.into_response();
    };
    let tag = format!("W/\"{}\"", &BodyHash::of(&body).to_hex()[..32]);
    let is_unchanged = if_none_match.iter().any(|header| contains_tag(header, &tag));
    head.headers.insert(ETAG, HeaderValue::try_from(tag).expect("hex digits and quotes"));
    if is_unchanged {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(CONTENT_TYPE);
        // The compression layer adds it only to responses that it may compress.
        head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        // A body of unknown length: otherwise axum adds `content-length: 0`, which contradicts the
        // cached response.
        let empty = stream::empty::<Result<Bytes, Infallible>>();
        return Response::from_parts(head, Body::from_stream(empty));
    }
    Response::from_parts(head, Body::from(body))
}

/// Whether `If-None-Match` contains this tag, as a weak or a strong one.
fn contains_tag(header: &HeaderValue, tag: &str) -> bool {
    let strong = tag.trim_start_matches("W/");
    let mut tags = header.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/") == strong)
}
