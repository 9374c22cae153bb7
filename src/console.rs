//! `/console`: server-rendered pages for supervisors, marketers and the person on call.
//!
//! A page is a function of responses of the read API, which [`api`] calls in process with the key of
//! the visitor. So whatever the API enforces (organisations, scopes, validation, time limits) holds
//! here too, and there is no second set of queries. Each handler renders the whole page; htmx takes
//! the part of it that it needs. So every page can be read without JavaScript.
//!
//! maud, not askama: a component is a Rust function, its arguments are checked by the compiler, and
//! everything is escaped unless `PreEscaped` says otherwise.

mod api;
mod assets;
mod broadcast;
mod chart;
mod conversation;
mod cookies;
mod csv;
mod delivery;
mod demo;
mod document;
mod event;
mod filter;
mod format;
mod forward;
mod icon;
mod language;
mod layout;
mod ledger;
mod overview;
mod pages;
mod parameters;
mod people;
mod preferences;
mod session;
mod signed_out;
pub mod state;
mod table;
mod trace;
mod translated;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};

use self::state::ConsoleState;

/// All routes of the console.
pub fn routes<S: Clone + Send + Sync + 'static>(state: ConsoleState) -> Router<S> {
    Router::new()
        .route("/console", get(overview::show))
        .route("/console/", get(async || Redirect::permanent("/console")))
        .route("/console/conversations", get(conversation::list))
        .route("/console/conversations/{id}", get(conversation::show))
        .route("/console/broadcasts", get(broadcast::list))
        .route("/console/broadcasts/{id}", get(broadcast::show))
        .route("/console/deliveries", get(delivery::show))
        .route("/console/events", get(event::list))
        .route("/console/events/replay", post(event::replay))
        .route("/console/replays", post(event::bulk::start))
        .route("/console/replays/{id}", get(event::bulk::show))
        .route("/console/replays/{id}/cancel", post(event::bulk::cancel))
        .route("/console/events/{id}", get(event::show))
        .route("/console/events/{id}/body", get(event::body))
        .route("/console/ledger", get(ledger::show))
        .route("/console/agents", get(people::agents))
        .route("/console/agents/export", get(people::export))
        .route("/console/templates", get(people::templates))
        .route("/console/trace", get(trace::show))
        .route("/console/trace/export", get(trace::export))
        .route("/console/demo", post(demo::play))
        .route("/console/sign-in", get(session::form).post(session::sign_in))
        .route("/console/sign-out", post(session::sign_out))
        .route("/console/preferences", post(preferences::save))
        .route("/console/stream", get(forward::stream))
        .route("/console/files/{id}", get(forward::file))
        .route("/console/exports/{*list}", get(forward::export))
        .route("/console/{*page}", get(layout::missing))
        .route("/console/assets/{version}/{file}", get(assets::file))
        .with_state(state)
}
