//! `POST /webhooks/qontak/{token}`: the way in, three steps.

pub mod auth;
pub mod endpoint;
pub mod state;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use metrics::counter;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use self::auth::Authentic;
use self::state::ReceiveState;
use crate::event::Outcome;
use crate::http::Error;
use crate::http::error::{ErrorBody, ErrorResponse};
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::payload::Handshake;
use crate::ingest::writer::Receipt;

/// The routes of the way in.
pub fn routes() -> OpenApiRouter<Arc<ReceiveState>> {
    // Any method: only who knows a token may learn that it must be POST.
    OpenApiRouter::default().routes(routes!(receive).map(|_| any(receive)))
}

/// Takes a webhook of Qontak's.
///
/// Answers 2xx only once the event is committed, or in the spool. A repeated delivery is a 2xx as
/// well: the sender only wants to know whether it may forget the event, and it may.
#[utoipa::path(
    post, path = "/webhooks/qontak/{token}",
    params(("token" = String, Path, description = "A live token of an endpoint.")),
    request_body(content = Value, description = "Any event of Qontak's, or its handshake."),
    responses(
        (status = OK, description = "It is safe.", body = WebhookResponse),
        (status = ACCEPTED, description = "It is safe, but cannot be identified.", body = WebhookResponse),
        (status = BAD_REQUEST, description = "Not JSON. The bytes are kept; a resend may be whole.", body = Answer),
        (status = NOT_FOUND, description = "No such token, or no such path.", body = ErrorResponse),
        (status = METHOD_NOT_ALLOWED, description = "Not a POST.", body = ErrorResponse),
        (status = REQUEST_TIMEOUT, description = "The body took too long.", body = ErrorResponse),
        (status = PAYLOAD_TOO_LARGE, description = "The body is too large.", body = ErrorResponse),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "Clearly not JSON.", body = ErrorResponse),
        (status = SERVICE_UNAVAILABLE, description = "It cannot be kept now: send it again.", body = ErrorResponse),
    )
)]
async fn receive(
    State(state): State<Arc<ReceiveState>>,
    Authentic(webhook): Authentic,
) -> Result<Response, Error> {
    match normalize(webhook) {
        Normalized::Handshake(handshake) => Ok(echo(&handshake)),
        Normalized::Event(event) => Ok(answer(state.ingest.accept(*event).await?)),
    }
}

/// The answer to a handshake.
pub fn echo(handshake: &Handshake) -> Response {
    counter!("handshakes_total").increment(1);
    Json(WebhookResponse::Handshake(handshake)).into_response()
}

/// What a caller is told: what became of its event, or its handshake.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum WebhookResponse<'a> {
    Event(Answer<'a>),
    Handshake(&'a Handshake),
}

/// What a caller is told of its event, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
struct Answer<'a> {
    /// `success`, or `error` if it is to be sent again.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<ErrorBody>,
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
        let error = ErrorBody::new(status, receipt.reasons.clone());
        Answer { status: "error", error: Some(error), data: &receipt }
    };
    let mut response = (status, Json(WebhookResponse::Event(answer))).into_response();
    response.extensions_mut().insert(receipt);
    response
}
