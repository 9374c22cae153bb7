//! `POST /webhooks/qontak/{token}`: the way in, three steps.

pub mod auth;
pub mod normalize;
pub mod payload;
mod queue;
pub mod spool;
pub mod writer;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, any};
use metrics::counter;
use serde::Serialize;

use self::auth::Authentic;
use self::normalize::{Normalized, normalize};
use self::payload::Handshake;
use self::writer::{Receipt, Unwritten};
use crate::app::App;
use crate::event::{Event, Outcome};
use crate::http::{Error, error};

/// The routes of the way in.
pub fn routes() -> Router<App> {
    // Any method: only who knows a token may learn that it must be POST.
    Router::new().route("/webhooks/qontak/{token}", any(receive))
}

/// Answers 2xx only once the event is committed, or in the spool.
///
/// A repeated delivery is a 2xx as well: the sender only wants to know whether it may forget the
/// event, and it may.
async fn receive(State(app): State<App>, Authentic(webhook): Authentic) -> Result<Response, Error> {
    match normalize(webhook) {
        Normalized::Handshake(handshake) => Ok(echo(&handshake)),
        Normalized::Event(event) => Ok(answer(store(&app, *event).await?)),
    }
}

/// Commits an event. If that cannot be done now, and there is a spool, keeps it there.
async fn store(app: &App, event: Event) -> Result<Receipt, Unwritten> {
    let Some(spool) = &app.spool else {
        return app.writer.write(event).await;
    };
    let (webhook, receipt) = (event.webhook.clone(), Receipt::spooled(&event));
    // Nobody has to wait for what is known to be away; unless the spool cannot be read either, and
    // then nobody else would find out that the database is back.
    if app.writer.is_away() {
        match spool.keep(webhook).await {
            Ok(()) => Ok(receipt),
            Err(_) if spool.depth().has_failed => app.writer.write(event).await,
            Err(cause) => Err(cause),
        }
    } else if let Ok(receipt) = app.writer.write(event).await {
        Ok(receipt)
    } else {
        spool.keep(webhook).await.map(|()| receipt)
    }
}

/// The answer to a handshake.
pub fn echo(handshake: &Handshake) -> Response {
    counter!("handshakes_total").increment(1);
    Json(handshake).into_response()
}

/// What a caller is told of its event, in Qontak's envelope.
#[derive(Serialize)]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<error::Body<'a>>,
    data: &'a Receipt,
}

/// The answer that tells a caller what became of its event.
pub fn answer(receipt: Receipt) -> Response {
    let status = match receipt.outcome {
        // However often it comes: a resend may still be whole.
        Some(Outcome::Malformed) => StatusCode::BAD_REQUEST,
        Some(Outcome::Quarantined) if !receipt.duplicate => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let answer = if status.is_success() {
        Answer { status: "success", error: None, data: &receipt }
    } else {
        let error = error::Body::new(status, &receipt.reasons);
        Answer { status: "error", error: Some(error), data: &receipt }
    };
    let mut response = (status, Json(answer)).into_response();
    response.extensions_mut().insert(receipt);
    response
}
