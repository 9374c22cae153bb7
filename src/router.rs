//! All routes of the service, and the middleware that every request passes.

mod docs;
pub mod openapi;
pub mod ops;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::from_fn;
use axum::routing::Router;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::http::{Error, conditional, error, trace};
use crate::read::dialect::Dialect;
use crate::read::state::ReadState;
use crate::receive::state::ReceiveState;
use crate::{read, receive};

/// All routes of the public port: webhooks, the read API and its documentation.
pub fn router(receive: Arc<ReceiveState>, read: ReadState) -> Router {
    let limit = read.read_timeout;
    let read_routes = openapi::routes()
        .merge(docs::routes())
        .merge(read_api(limit))
        .merge(read::open::routes_at_root(limit))
        // The same routes again, so they are documented once.
        .nest("/qontak/chat/v1", Router::from(read::open::routes(Dialect::Gateway, limit)));
    let read_routes = conditional::with_read_middleware(read_routes, &read.cors_origins);
    let webhooks = Router::from(receive::routes()).with_state(receive);
    with_middleware(webhooks.merge(read_routes.with_state(read)))
}

/// The read API. Each response starts within `limit`.
fn read_api(limit: Duration) -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .nest("/v1", read::routes(limit))
        .nest("/api/open/v1", read::open::routes(Dialect::Open, limit))
}

/// Adds the middleware that every request passes.
pub fn with_middleware(routes: Router) -> Router {
    let nosniff = HeaderValue::from_static("nosniff");
    let private = HeaderValue::from_static("private, no-cache");
    // One stack, because each `layer` of a router boxes every request. The first is the outermost.
    let layers = ServiceBuilder::new()
        // Outside of the log, which needs the id. An id sent by the caller is kept.
        .layer(SetRequestIdLayer::x_request_id(MakeShortId))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(trace::log))
        .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, private))
        .layer(SetResponseHeaderLayer::if_not_present(X_CONTENT_TYPE_OPTIONS, nosniff))
        .layer(CatchPanicLayer::custom(error::panicked));
    routes
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed("GET, HEAD"))
        .layer(layers)
}

/// Generates request ids of 62 random bits: half the size of a UUID, in every log line and journal
/// row.
#[derive(Clone, Copy)]
struct MakeShortId;

impl MakeRequestId for MakeShortId {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        let (_, random) = Uuid::new_v4().as_u64_pair();
        HeaderValue::from_str(&format!("{random:016x}")).ok().map(RequestId::new)
    }
}
