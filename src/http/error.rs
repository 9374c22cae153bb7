//! Every refusal, in Qontak's own form.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use metrics::counter;
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

use super::trace;
use crate::ingest::writer::WriteError;
use crate::store::Failure;

/// Why a request is refused. `Display` is what the caller is told; causes are for the log alone.
///
/// The status says what the sender should do: 4xx do not repeat it like this, 503 again later, if it
/// says when (`Retry-After`).
/// A fault of ours is never a 4xx, for that would lose the event.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("not found")]
    NotFound,
    #[error("method not allowed, use {0}")]
    MethodNotAllowed(&'static str),
    #[error("the body was not complete after {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body was cut off")]
    BodyCutOff,
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    #[error(transparent)]
    WriteError(#[from] WriteError),
    #[error("too many {0}, try again later")]
    Overloaded(&'static str),
    #[error("{0}")]
    NotReady(&'static str),
    #[error(
        "this question took too long: ask for less, such as a shorter time from start_date to \
         end_date"
    )]
    QueryTimeout,
    #[error("a key is needed: Authorization: Bearer <key>")]
    Unauthorized,
    #[error("this key is unknown, expired or revoked")]
    UnknownKey,
    #[error("this key lacks the scope `{0}`")]
    Forbidden(&'static str),
    #[error("too many requests with this key, try again in {0} s")]
    TooManyRequests(u64),
    #[error("{}", .0.join("; "))]
    Unprocessable(Vec<String>),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("internal error")]
    Internal,
}

impl Error {
    /// A parameter that cannot be used, and what is allowed.
    pub fn parameter(name: &str, allowed: impl AsRef<str>) -> Self {
        Self::Unprocessable(vec![format!("{name}: {}", allowed.as_ref())])
    }

    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyCutOff => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthorized | Self::UnknownKey => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::WriteError(_)
            | Self::Overloaded(_)
            | Self::NotReady(_)
            | Self::QueryTimeout
            | Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotAllowed(allowed) => Some((ALLOW, HeaderValue::from_static(allowed))),
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::UnknownKey => {
                // As RFC 6750, section 3.1, wants it.
                let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
                Some((WWW_AUTHENTICATE, challenge))
            }
            Self::TooManyRequests(seconds) => Some((RETRY_AFTER, HeaderValue::from(*seconds))),
            // Seconds. Soon, because a queue empties fast and a sender may give up.
            Self::WriteError(_) | Self::Overloaded(_) | Self::NotReady(_) | Self::Database(_) => {
                Some((RETRY_AFTER, HeaderValue::from_static("2")))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // The others are the caller's doing, or were logged where they happened.
        if let Self::Database(cause) = self {
            // SQLSTATE query_canceled: the statement timeout.
            let code = cause.as_database_error().and_then(|cause| cause.code());
            if code.as_deref() == Some("57014") {
                warn!("database: the statement timeout ended a question");
                return Self::QueryTimeout.into_response();
            }
            error!("database: {}", Failure::from(cause));
            return Self::WriteError(WriteError::StorageUnavailable).into_response();
        }
        let status = self.status();
        counter!("refused_total", "status" => status.as_u16().to_string()).increment(1);
        let mut response = (status, Json(ErrorResponse::from(&self))).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Qontak's envelope around a refusal.
#[derive(Serialize, ToSchema)]
pub struct ErrorResponse {
    /// Always `error`.
    status: &'static str,
    error: ErrorBody,
}

impl From<&Error> for ErrorResponse {
    fn from(error: &Error) -> Self {
        let messages = match error {
            Error::Unprocessable(messages) => messages.clone(),
            other => vec![other.to_string()],
        };
        Self { status: "error", error: ErrorBody::new(error.status(), messages) }
    }
}

/// What is refused, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Reasons)]
pub struct ErrorBody {
    /// The status of the answer.
    code: u16,
    /// Each thing that is wrong, in English; for a parameter its name and what is allowed.
    messages: Vec<String>,
    /// As in the header `x-request-id`, and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl ErrorBody {
    /// A refusal with this status, for these reasons.
    pub fn new(status: StatusCode, messages: Vec<String>) -> Self {
        Self { code: status.as_u16(), messages, request_id: trace::current_request_id() }
    }
}

/// The answer to a request whose handler panicked.
pub fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    // Its text may quote data; its place was logged by the panic hook.
    drop(cause);
    Error::Internal.into_response()
}
