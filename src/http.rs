//! The router, and what every request passes.

mod docs;
pub mod error;
pub mod extract;
pub mod manners;
pub mod openapi;
pub mod ops;
pub mod server;
pub mod trace;

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

pub use self::error::Error;
use crate::app::App;
use crate::{read, receive};

/// Both ways, and what tells of them.
pub fn router(app: App) -> Router {
    let readable = openapi::routes().merge(docs::routes()).merge(readable(app.read_timeout));
    let readable = manners::around(readable, &app.cors_origins);
    serving(Router::from(receive::routes()).merge(readable), app)
}

/// The way out. Each route answers within `limit`.
fn readable(limit: Duration) -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .nest("/v1", read::routes(limit))
        .nest("/api/open/v1", read::open::routes(limit))
}

/// These routes, with what every request passes around them.
pub fn serving(routes: Router<App>, app: App) -> Router {
    let nosniff = HeaderValue::from_static("nosniff");
    let private = HeaderValue::from_static("private, no-cache");
    // One stack, for each `layer` of a router costs every request a box. The first is the outermost.
    let layers = ServiceBuilder::new()
        // Outside of the log, so that it has the id; a caller's own id is kept.
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
        .with_state(app)
}

/// Makes ids of 62 random bits: they stand in every log line and in every row of the journal, and a
/// UUID would be twice as long.
#[derive(Clone, Copy)]
struct MakeShortId;

impl MakeRequestId for MakeShortId {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        let (_, random) = Uuid::new_v4().as_u64_pair();
        HeaderValue::from_str(&format!("{random:016x}")).ok().map(RequestId::new)
    }
}
