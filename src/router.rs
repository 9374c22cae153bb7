//! All routes of the service, and the middleware that every request passes.

mod docs;
pub mod openapi;
pub mod ops;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::http::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::Router;
use tower::Service;
use utoipa_axum::router::OpenApiRouter;

use crate::console::state::ConsoleState;
use crate::http::{Error, conditional, trace};
use crate::read::dialect::Dialect;
use crate::read::state::ReadState;
use crate::receive::state::ReceiveState;
use crate::{console, read, receive};

/// The service of the public port: webhooks, the read API and its documentation; or, if the API has a
/// port of its own, one of the two.
///
/// Webhooks pass neither the router nor its layers, which would cost a sixth of the service's CPU
/// per event.
#[derive(Clone)]
pub struct PublicPort {
    receive: Option<Arc<ReceiveState>>,
    routes: Router,
}

impl PublicPort {
    /// All routes; those of the console if it is enabled.
    pub fn new(receive: Arc<ReceiveState>, read: ReadState, console: Option<ConsoleState>) -> Self {
        let limit = read.read_timeout;
        let routes = openapi::routes()
            .merge(docs::routes())
            .merge(console.map_or_else(Router::new, console::routes))
            .merge(read_api(limit))
            .merge(read::open::routes_at_root(limit))
            // The same routes again, so they are documented once.
            .nest("/qontak/chat/v1", Router::from(read::open::routes(Dialect::Gateway, limit)));
        // Inside the conditional requests, whose tags are those of the masked response.
        let masked = from_fn_with_state(read.clone(), read::caller::middleware);
        let routes = routes.layer(masked);
        let routes = conditional::with_read_middleware(routes, &read.cors_origins);
        Self { receive: Some(receive), routes: with_middleware(routes.with_state(read)) }
    }

    /// The part for a port that has webhooks only.
    pub fn only_webhooks(&self) -> Self {
        Self { receive: self.receive.clone(), routes: with_middleware(Router::new()) }
    }

    /// The part for a port without webhooks.
    pub fn without_webhooks(self) -> Self {
        Self { receive: None, ..self }
    }
}

impl<B> Service<Request<B>> for PublicPort
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither webhooks nor a `Router` limit the number of requests here.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_webhook = receive::is_webhook(request.uri().path());
        let Some(state) = self.receive.as_ref().filter(|_| is_webhook) else {
            return Box::pin(self.routes.call(request));
        };
        let state = state.clone();
        Box::pin(async move {
            let store = |event, waited| state.ingest.accept(event, waited);
            Ok(receive::respond(request, &state, store).await)
        })
    }
}

/// The read API. Each response starts within `limit`.
fn read_api(limit: Duration) -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .nest("/v1", read::routes(limit))
        .nest("/api/open/v1", read::open::routes(Dialect::Open, limit))
}

/// Adds the middleware that every request passes.
pub fn with_middleware(routes: Router) -> Router {
    routes
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed("GET, HEAD"))
        .layer(from_fn(trace::middleware))
}
