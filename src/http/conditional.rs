//! What HTTP offers to who reads: what is known already is not sent again, the rest is compressed,
//! and pages of other origins may ask.
//!
//! Webhooks pass none of this: it would cost them, and Qontak makes no use of it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, LINK, RETRY_AFTER, VARY,
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

/// These routes with all of that. Of the origins in `cors_origins` pages may ask.
pub fn around<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    cors_origins: &[HeaderValue],
) -> Router<S> {
    let cors = (!cors_origins.is_empty()).then(|| cors(cors_origins));
    // Fast, for the machine has webhooks to take as well. A refusal gets its request's id later on,
    // and is small.
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
        DefaultPredicate::new()
            .and(|status: StatusCode, _, _: &HeaderMap, _: &Extensions| status.is_success()),
    );
    let layers = ServiceBuilder::new()
        .layer(option_layer(cors))
        .layer(compression)
        .layer(from_fn(unless_known));
    routes
        // Else `router::serving` sets it, around these layers, and a browser's question whether it
        // may ask would get no further.
        .method_not_allowed_fallback(async || Error::MethodNotAllowed("GET, HEAD"))
        .layer(layers)
}

/// Whoever asks sends a key; a browser has none to add by itself, so credentials are not allowed.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            CONTENT_DISPOSITION,
            ETAG,
            LINK,
            RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(Duration::from_secs(3600))
}

/// Gives an answer its `ETag`, and answers 304 to who has it already. What is streamed has none.
///
/// The tag is a weak one, since the same answer is sent compressed as well.
async fn unless_known(request: Request, next: Next) -> Response {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let known: Vec<_> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    let is_whole = response.body().size_hint().exact().is_some();
    if !is_read || response.status() != StatusCode::OK || !is_whole {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Error::Internal.into_response();
    };
    let tag = format!("W/\"{}\"", &BodyHash::of(&body).to_hex()[..32]);
    let is_known = known.iter().any(|tags| names(tags, &tag));
    head.headers.insert(ETAG, HeaderValue::try_from(tag).expect("hex digits and quotes"));
    if is_known {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(CONTENT_TYPE);
        // Said of all that may be compressed, and of this answer it cannot be seen.
        head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        // A body of no known length: else axum would say that the length is 0, which is not that
        // of what is known.
        let nothing = stream::empty::<Result<Bytes, Infallible>>();
        return Response::from_parts(head, Body::from_stream(nothing));
    }
    Response::from_parts(head, Body::from(body))
}

/// Whether a header `If-None-Match` names this tag, be it as a weak or a strong one.
fn names(header: &HeaderValue, tag: &str) -> bool {
    let strong = tag.trim_start_matches("W/");
    let mut tags = header.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/") == strong)
}
