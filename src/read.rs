//! `GET /v1/…`: the way out. Keys, pages, and one file per resource.
//!
//! Envelope, names and errors are Qontak's own, so that a client of its API feels at home.

mod broadcast;
mod event;
mod export;
pub mod key;
mod ledger;
mod message;
mod page;
mod room;
mod sender;
mod status;
mod trace;

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{Router, get, post};
use serde::Serialize;

use crate::app::App;
use crate::http::Error;
use crate::store;

/// The routes of the way out. Each answers within `limit`.
pub fn routes(limit: Duration) -> Router<App> {
    Router::new()
        .route("/rooms", get(room::list))
        .route("/rooms/{id}", get(room::show))
        .route("/rooms/{id}/messages", get(room::messages))
        .route("/messages", get(message::list))
        .route("/rooms/{id}/events", get(room::events))
        .route("/senders/{id}", get(sender::show))
        .route("/messages/{id}", get(message::show))
        .route("/broadcasts", get(broadcast::list))
        .route("/broadcasts/{id}", get(broadcast::show))
        .route("/broadcasts/{id}/logs", get(broadcast::logs))
        .route("/events", get(event::list))
        .route("/events/{id}", get(event::show))
        .route("/events/{id}/body", get(event::body))
        .route("/events/{id}/replay", post(event::replay).fallback(only_post))
        .route("/trace/{id}", get(trace::show))
        .route("/ledger", get(ledger::list))
        .layer(from_fn(move |request, next| in_time(limit, request, next)))
}

/// Statements have a limit at the server, which is of no use when its word does not reach us.
async fn in_time(limit: Duration, request: Request, next: Next) -> Result<Response, Error> {
    Ok(store::within(limit, async { Ok(next.run(request).await) }).await?)
}

async fn only_post() -> Error {
    Error::MethodNotAllowed("POST")
}

/// Qontak's envelope.
#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<page::Meta>,
}

/// The answer that shows one thing.
fn one<T: Serialize>(data: T) -> Json<impl Serialize> {
    Json(Envelope { status: "success", data, meta: None })
}
