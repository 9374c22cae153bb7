//! `GET /v1/…`: the way out. Keys, pages, and one file per resource.
//!
//! Envelope, names and errors are Qontak's own, so that a client of its API feels at home.

mod broadcast;
mod event;
pub mod key;
mod ledger;
mod message;
mod page;
mod room;

use axum::Json;
use axum::routing::{Router, get, post};
use serde::Serialize;

use crate::app::App;
use crate::http::Error;

/// The routes of the way out.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/rooms", get(room::list))
        .route("/rooms/{id}", get(room::show))
        .route("/rooms/{id}/messages", get(room::messages))
        .route("/messages/{id}", get(message::show))
        .route("/broadcasts", get(broadcast::list))
        .route("/broadcasts/{id}", get(broadcast::show))
        .route("/broadcasts/{id}/logs", get(broadcast::logs))
        .route("/events", get(event::list))
        .route("/events/{id}", get(event::show))
        .route("/events/{id}/body", get(event::body))
        .route("/events/{id}/replay", post(event::replay).fallback(only_post))
        .route("/ledger", get(ledger::list))
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
