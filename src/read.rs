//! `GET /v1/…`: the way out. Keys, pages, and one file per resource.
//!
//! Envelope, names and errors are Qontak's own, so that a client of its API feels at home.

mod broadcast;
mod delivery;
mod event;
pub mod export;
pub mod key;
mod ledger;
mod message;
pub mod open;
pub mod page;
mod room;
mod search;
mod sender;
mod stats;
mod status;
pub mod stream;
mod trace;

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::app::App;
use crate::http::Error;
use crate::store;

/// The routes of the way out. Each answers within `limit`.
pub fn routes(limit: Duration) -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(room::list))
        .routes(routes!(room::show))
        .routes(routes!(room::messages))
        .routes(routes!(room::events))
        .routes(routes!(sender::show))
        .routes(routes!(message::list))
        .routes(routes!(message::show))
        .routes(routes!(broadcast::list))
        .routes(routes!(broadcast::show))
        .routes(routes!(broadcast::logs))
        .routes(routes!(delivery::list))
        .routes(routes!(event::list))
        .routes(routes!(event::show))
        .routes(routes!(event::body))
        .routes(routes!(event::replay).map(|route| route.fallback(only_post)))
        .routes(routes!(trace::show))
        .routes(routes!(stats::show))
        .routes(routes!(ledger::list))
        .routes(routes!(stream::listen))
        .layer(from_fn(move |request, next| in_time(limit, request, next)))
}

/// Statements have a limit at the server, which is of no use when its word does not reach us.
async fn in_time(limit: Duration, request: Request, next: Next) -> Result<Response, Error> {
    Ok(store::within(limit, async { Ok(next.run(request).await) }).await?)
}

async fn only_post() -> Error {
    Error::MethodNotAllowed("POST")
}

/// The answer that shows one thing, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
struct One<T> {
    /// Always `success`.
    status: &'static str,
    data: T,
}

fn one<T: Serialize>(data: T) -> Json<One<T>> {
    Json(One { status: "success", data })
}
