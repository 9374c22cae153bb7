//! `POST /webhooks/qontak/{token}`: authenticate, normalize, store.
//!
//! Nothing else happens between commit and response.

pub mod auth;
pub mod endpoint;
pub mod large;
pub mod state;

use std::time::{Duration, Instant};

use axum::body::{Bytes, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use metrics::counter;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use self::auth::Authentic;
use self::state::ReceiveState;
use crate::event::{Event, Outcome};
use crate::http::Error;
use crate::http::error::{ErrorBody, ErrorResponse};
use crate::http::metrics::{WEBHOOK_ROUTE, record_phases};
use crate::http::trace::{self, Phase};
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::payload::Handshake;
use crate::ingest::writer::{Receipt, WriteError};

/// Documentation of the webhook route.
#[derive(OpenApi)]
#[openapi(paths(respond))]
pub struct Documentation;

/// Whether a path is that of a webhook, with any token.
pub fn is_webhook(path: &str) -> bool {
    path.starts_with(auth::PATH_BEFORE_TOKEN)
}

/// Receive a Qontak webhook
///
/// A 2xx response means that the event is stored durably: committed to Postgres, or fsynced to the
/// spool (the local disk, or a majority of NATS nodes) while Postgres is unavailable. A duplicate delivery is
/// a 2xx too.
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
pub async fn respond<B, F>(
    request: Request<B>,
    state: &ReceiveState,
    store: impl FnOnce(Event, Duration) -> F,
) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    F: Future<Output = Result<Receipt, WriteError>>,
{
    let respond = |request| async move {
        receive(request, state, store).await.unwrap_or_else(Error::into_response)
    };
    let mut response = trace::trace(request, WEBHOOK_ROUTE, respond).await;
    // As a router does.
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

async fn receive<B, F>(
    request: Request<B>,
    state: &ReceiveState,
    store: impl FnOnce(Event, Duration) -> F,
) -> Result<Response, Error>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    F: Future<Output = Result<Receipt, WriteError>>,
{
    let began = Instant::now();
    let Authentic { webhook, mut large } = Authentic::read(request, state).await?;
    let read = Instant::now();
    let normalized = match &mut large {
        None => normalize(webhook),
        Some(large) => large.run(|| normalize(webhook)).await?,
    };
    match normalized {
        Normalized::Handshake(handshake) => Ok(handshake_response(&handshake)),
        Normalized::Event(event) => {
            let parsed = Instant::now();
            let organization_id = Some(event.organization_id.clone()).filter(|id| !id.is_empty());
            trace::note(|facts| facts.organization_id = organization_id);
            let waited = large.as_ref().map_or(Duration::ZERO, |large| large.waited);
            let receipt = store(*event, waited).await?;
            note_phases([began, read, parsed], &receipt);
            Ok(event_response(receipt))
        }
    }
}

/// Measures the phases of a webhook: until its body was read, until it was parsed, and until now.
fn note_phases([began, read, parsed]: [Instant; 3], receipt: &Receipt) {
    let ended = Instant::now();
    let phase = |name, began, ended| Phase { name, began, ended };
    let mut phases = vec![phase("read", began, read), phase("parse", read, parsed)];
    match receipt.transaction {
        Some((start, end)) => phases.extend([
            phase("queue", parsed, start),
            phase("commit", start, end),
            phase("reply", end, ended),
        ]),
        None => phases.push(phase("spool", parsed, ended)),
    }
    record_phases(&phases);
    trace::note(|facts| facts.phases = phases);
}

/// Response to a handshake: echoes it.
fn handshake_response(handshake: &Handshake) -> Response {
    counter!("qontak_receiver_handshakes_total").increment(1);
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
fn event_response(receipt: Receipt) -> Response {
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
