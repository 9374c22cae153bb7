//! A fake of Qontak's own API, for tests and for trying `register` and the watch by hand.
//!
//! ```text
//! auth.rs          bearer tokens that rotate, and HMAC signatures
//! interaction.rs   webhook settings; posts the handshake when a URL is saved
//! sender.rs        sends webhooks, and loses, repeats and reorders some of them
//! record.rs        data of the organisation, and which webhooks receivers got
//! conversation.rs  rooms and messages
//! broadcast.rs     broadcasts and their recipients
//! catalog.rs       integrations, templates, agents, divisions
//! creation.rs      templates and contact lists that a client creates
//! page.rs          pages with Qontak's quirks
//! status_page.rs   a status page in the format of Statuspage
//! fault.rs         429 in its forms, 500s, HTML, slow and broken responses
//! state.rs         what all of them share, and how it is changed
//! ```
//!
//! `GET /fake` shows the state, `PATCH /fake` changes it, for example `{"off": ["status_message"]}`.
//! `POST /fake/send` lets events happen and sends them, `GET /fake/truth` counts what was lost, and
//! `POST /fake/verify` compares a receiver with the truth. All ids and credentials are functions of the
//! seed.

mod auth;
mod broadcast;
mod catalog;
mod conversation;
mod creation;
mod fault;
mod interaction;
mod page;
mod record;
mod response;
mod sender;
mod state;
mod status_page;

use std::io;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::response::error;
pub use self::state::{Change, Credentials, Fake};

impl Fake {
    /// Serves until the future is dropped.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    fn router(self) -> Router {
        let faults = from_fn_with_state(self.clone(), fault::inject);
        let api = || {
            interaction::routes()
                .merge(catalog::routes())
                .merge(creation::routes())
                .merge(conversation::routes())
                .merge(broadcast::routes())
                .route("/health", get(async || Json(json!({ "status": "ok" }))))
                .fallback(async || error(StatusCode::NOT_FOUND, &["Resource not found."]))
                .layer(from_fn_with_state(self.clone(), auth::check))
                .layer(faults.clone())
        };
        Router::new()
            .nest("/api/open/v1", api())
            .nest("/qontak/chat/v1", api())
            .route("/oauth/token", post(auth::refresh).layer(faults.clone()))
            .route("/api/v2/summary.json", get(status_page::summary))
            .route("/fake", get(show).patch(change))
            .route("/fake/send", post(sender::send))
            .route("/fake/truth", get(sender::truth))
            .route("/fake/verify", post(sender::compare))
            .with_state(self)
    }
}

async fn show(Extract(fake): Extract<Fake>) -> Json<Value> {
    Json(fake.show())
}

async fn change(Extract(fake): Extract<Fake>, Json(change): Json<Change>) -> Json<Value> {
    fake.change(change);
    Json(fake.show())
}
