//! Read API, `GET /v1/…`: one file per resource.
//!
//! [`reader`] authenticates a request and validates its parameters; [`page`] and [`export`] return
//! lists. Envelope, field names and errors follow Qontak's API, so that its clients can be reused.

mod broadcast;
pub mod caller;
mod catalog;
mod create;
mod delivery;
pub mod dialect;
mod envelope;
mod event;
pub mod export;
mod facet;
mod file;
mod health;
pub mod hmac;
pub mod key;
mod keys;
mod ledger;
mod mask;
mod me;
mod message;
mod names;
pub mod open;
mod organization;
pub mod page;
pub mod reader;
mod reconciliation;
mod replay;
pub mod replica;
mod room;
mod search;
mod sender;
pub mod state;
mod stats;
mod status;
pub mod stream;
mod trace;
mod validity;
mod waiting;

use std::time::Duration;

use axum::middleware::from_fn;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use self::state::ReadState;
use crate::http::Error;
use crate::http::time_limit::timeout;

/// Routes of the read API; the timeout of a response is `limit`.
pub fn routes(limit: Duration) -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .merge(lists())
        .nest("/exports", lists())
        .routes(routes!(room::show))
        .routes(routes!(sender::show))
        .routes(routes!(message::show))
        .routes(routes!(file::show))
        .routes(routes!(broadcast::show))
        .routes(routes!(event::show))
        .routes(routes!(event::body))
        .routes(routes!(event::replay::replay).map(|route| route.fallback(only_post)))
        .routes(routes!(replay::start).map(|route| route.fallback(only_post)))
        .routes(routes!(replay::show, replay::cancel).map(|route| route.fallback(get_or_delete)))
        .routes(routes!(trace::show))
        .routes(routes!(stats::show))
        .routes(routes!(stream::listen))
        .routes(routes!(facet::show))
        .routes(routes!(me::show))
        .routes(routes!(health::show))
        .routes(routes!(create::show))
        .layer(from_fn(move |request, next| timeout(limit, request, next)))
        // With limits of their own: large bodies are uploaded, and Qontak has 25 s to answer.
        .routes(routes!(create::template).map(|route| route.fallback(get_or_post)))
        .routes(routes!(create::contact_list).map(|route| route.fallback(get_or_post)))
}

/// Lists, each of which can also be exported. [`page::EXPORTS`] tells the two apart.
fn lists() -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .routes(routes!(room::list))
        .routes(routes!(room::messages))
        .routes(routes!(room::events))
        .routes(routes!(message::list))
        .routes(routes!(broadcast::list))
        .routes(routes!(broadcast::logs))
        .routes(routes!(delivery::list))
        .routes(routes!(event::list))
        .routes(routes!(ledger::list))
        .routes(routes!(reconciliation::list))
        .routes(routes!(catalog::agents))
        .routes(routes!(catalog::availability))
        .routes(routes!(catalog::templates))
        .routes(routes!(catalog::history))
        .routes(routes!(catalog::channels))
        .routes(routes!(catalog::divisions))
        .routes(routes!(catalog::contact_lists))
        .routes(routes!(organization::list))
}

async fn get_or_post() -> Error {
    Error::MethodNotAllowed("GET, HEAD, POST")
}

async fn get_or_delete() -> Error {
    Error::MethodNotAllowed("DELETE, GET, HEAD")
}

async fn only_post() -> Error {
    Error::MethodNotAllowed("POST")
}
