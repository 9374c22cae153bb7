//! The ceiling: the same server, the same door, the same reading, and then nothing.

use std::future::pending;

use axum::response::Response;
use axum::routing::{Router, any};
use qontak_receiver::app::App;
use qontak_receiver::config::Config;
use qontak_receiver::receive::auth::Authentic;
use qontak_receiver::receive::normalize::{Normalized, normalize};
use qontak_receiver::receive::writer::Receipt;
use qontak_receiver::receive::{answer, echo};
use qontak_receiver::{http, store, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves until it is killed.
pub async fn serve() -> anyhow::Result<()> {
    let config = Config::load(None)?;
    telemetry::start(&config.log)?;
    // Nobody asks it, so it never connects.
    let db = store::connect(&config.database, 1)?;
    let app = App::start(&config, db.clone(), &db, None, &mut JoinSet::new());
    let routes = Router::new().route("/webhooks/qontak/{token}", any(read_and_drop));
    let listener = TcpListener::bind(config.http.listen).await?;
    http::server::serve(listener, http::serving(routes, app), &config.http, pending()).await;
    Ok(())
}

async fn read_and_drop(Authentic(webhook): Authentic) -> Response {
    match normalize(webhook) {
        Normalized::Handshake(handshake) => echo(&handshake),
        Normalized::Event(event) => answer(Receipt {
            event_id: event.id(),
            outcome: Some(event.outcome),
            duplicate: false,
            kind: event.kind,
            reasons: event.reasons,
            batch_size: 0,
            before: None,
        }),
    }
}
