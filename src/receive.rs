//! `POST /webhooks/qontak/{token}`: authenticate, normalize, store.
//!
//! Nothing else happens between commit and response.

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

/// The webhook route.
pub fn routes() -> OpenApiRouter<Arc<ReceiveState>> {
    // Any method, because only a valid token may get a 405; others get a 404.
    OpenApiRouter::default()
        .routes(routes!(receive).map(|_| any(receive)))
        // The same URL to whoever typed or joined it.
        .route("/webhooks/qontak/{token}/", any(receive))
}

/// Receive a Qontak webhook
///
/// A 2xx response means that the event is stored durably: committed to Postgres, or fsynced to the
/// local spool while Postgres is unavailable. A duplicate delivery is a 2xx too.
#[utoipa::path(
    post, path = "/webhooks/qontak/{token}", operation_id = "receive_webhook",
    params(("token" = String, Path, description = "Token of an endpoint.")),
    request_body(content = Value, description = "Any Qontak event, or the `verify_info` handshake."),
    responses(
        (status = OK, description = "Stored durably.", body = WebhookResponse),
        (status = ACCEPTED, description = "Stored durably but quarantined: the event could not be identified.", body = WebhookResponse),
        (status = BAD_REQUEST, description = "Not valid JSON. The body is stored; send the complete event again.", body = EventResponse),
        (status = NOT_FOUND, description = "Unknown token or path.", body = ErrorResponse),
        (status = METHOD_NOT_ALLOWED, description = "Method is not POST.", body = ErrorResponse),
        (status = REQUEST_TIMEOUT, description = "Request body timed out.", body = ErrorResponse),
        (status = PAYLOAD_TOO_LARGE, description = "Request body is too large.", body = ErrorResponse),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "Content type cannot be JSON, or content encoding is not gzip.", body = ErrorResponse),
        (status = SERVICE_UNAVAILABLE, description = "Temporarily unavailable; retry after `Retry-After` seconds.", body = ErrorResponse),
    )
)]
async fn receive(
    State(state): State<Arc<ReceiveState>>,
    Authentic(webhook): Authentic,
) -> Result<Response, Error> {
    match normalize(webhook) {
        Normalized::Handshake(handshake) => Ok(handshake_response(&handshake)),
        Normalized::Event(event) => Ok(event_response(state.ingest.accept(*event).await?)),
    }
}

/// Response to a handshake: echoes it.
pub fn handshake_response(handshake: &Handshake) -> Response {
    counter!("handshakes_total").increment(1);
    Json(WebhookResponse::Handshake(handshake)).into_response()
}

/// Body of a webhook response: the receipt of an event, or the handshake.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum WebhookResponse<'a> {
    Event(EventResponse<'a>),
    Handshake(&'a Handshake),
}

/// Receipt of an event in Qontak's envelope.
#[derive(Serialize, ToSchema)]
struct EventResponse<'a> {
    status: WebhookStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<ErrorBody>,
    data: &'a Receipt,
}

/// `error` if the sender should send the event again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WebhookStatus {
    Success,
    Error,
}

/// Response with the receipt of an event.
pub fn event_response(receipt: Receipt) -> Response {
    let status = match receipt.outcome {
        // Also for a duplicate: a retry may still be complete, so malformed is never a success.
        Some(Outcome::Malformed) => StatusCode::BAD_REQUEST,
        Some(Outcome::Quarantined) if !receipt.duplicate => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let body = if status.is_success() {
        EventResponse { status: WebhookStatus::Success, error: None, data: &receipt }
    } else {
        let error = ErrorBody::new(status, receipt.reasons.clone());
        EventResponse { status: WebhookStatus::Error, error: Some(error), data: &receipt }
    };
    let mut response = (status, Json(WebhookResponse::Event(body))).into_response();
    response.extensions_mut().insert(receipt);
    response
}
