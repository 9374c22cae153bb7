//! `POST /webhooks/qontak/{token}`: the way in, three steps.

pub mod auth;
pub mod normalize;
pub mod payload;
pub mod writer;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, any};
use metrics::counter;
use serde_json::json;

use self::auth::Authentic;
use self::normalize::{Normalized, normalize};
use self::payload::Handshake;
use self::writer::{Receipt, Writer};
use crate::app::App;
use crate::event::Outcome;
use crate::http::{Error, error};

/// The routes of the way in.
pub fn routes() -> Router<App> {
    // Any method: only who knows a token may learn that it must be POST.
    Router::new().route("/webhooks/qontak/{token}", any(receive))
}

/// Answers 2xx only once the event is committed.
///
/// A repeated delivery is a 2xx as well: the sender only wants to know whether it may forget the
/// event, and it may.
async fn receive(State(writer): State<Writer>, webhook: Authentic) -> Result<Response, Error> {
    match normalize(webhook) {
        Normalized::Handshake(handshake) => Ok(echo(&handshake)),
        Normalized::Event(event) => Ok(answer(writer.write(*event).await?)),
    }
}

fn echo(handshake: &Handshake) -> Response {
    counter!("handshakes_total").increment(1);
    Json(handshake).into_response()
}

fn answer(receipt: Receipt) -> Response {
    let data = json!({
        "event_id": receipt.event_id,
        "outcome": receipt.outcome,
        "duplicate": receipt.duplicate,
    });
    let mut response = match receipt.outcome {
        // However often it comes: a resend may still be whole.
        Outcome::Malformed => {
            let mut body = error::envelope(StatusCode::BAD_REQUEST, &receipt.reasons);
            body["data"] = data;
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Outcome::Quarantined => {
            let status = if receipt.duplicate {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            let mut data = data;
            data["reasons"] = json!(receipt.reasons);
            (status, Json(json!({ "status": "success", "data": data }))).into_response()
        }
        Outcome::Applied | Outcome::Recorded => {
            Json(json!({ "status": "success", "data": data })).into_response()
        }
    };
    response.extensions_mut().insert(receipt);
    response
}
