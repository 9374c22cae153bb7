//! Error responses in Qontak's envelope.
//!
//! A fault of ours is never a 4xx: the sender would drop the event.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{
    ALLOW, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::response::{IntoResponse, Response};
use metrics::counter;
use serde::Serialize;
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::trace;
use crate::ingest::writer::WriteError;
use crate::store::Failure;
use crate::telemetry::fault::Fault;

static TIMED_OUT: Fault = Fault::warn("query timed out");
static FAILED: Fault = Fault::error("database query failed");

/// Why a request fails. `Display` is the message of the response; causes are only logged.
///
/// The status tells the sender what to do: 4xx means do not repeat it, 503 with `Retry-After` means
/// retry.
#[derive(Debug, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the messages document them")]
pub enum Error {
    #[error("not found")]
    NotFound,
    #[error("{0}")]
    NoFile(String),
    #[error("range not satisfiable; the file has {0} bytes")]
    RangeNotSatisfiable(u64),
    #[error("method not allowed; use {0}")]
    MethodNotAllowed(&'static str),
    #[error("request body timed out after {0:?}")]
    BodyTimeout(Duration),
    #[error("request body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("request body ended early")]
    IncompleteBody,
    #[error("exactly one Host header is required")]
    InvalidHost,
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    #[error(transparent)]
    WriteError(#[from] WriteError),
    #[error("too many {0}, retry later")]
    Overloaded(&'static str),
    #[error("{0}")]
    NotReady(&'static str),
    #[error("query timed out; narrow it, e.g. with a shorter start_date..end_date range")]
    QueryTimeout,
    #[error("API key missing; send `Authorization: Bearer <key>`")]
    Unauthorized,
    #[error("API key is unknown, expired or revoked")]
    UnknownKey,
    #[error("API key lacks the scope `{0}`")]
    Forbidden(&'static str),
    #[error("rate limit of this API key exceeded, retry in {0}s")]
    TooManyRequests(u64),
    #[error("nothing may be created at Qontak; set api.write = true")]
    WritesOff,
    #[error("{0}")]
    Conflict(&'static str),
    #[error("not sent to Qontak: {0}; retry with the same Idempotency-Key")]
    NotSent(String),
    #[error("unknown whether Qontak accepted it: {0}")]
    UnknownResult(String),
    #[error("{}", .0.join("; "))]
    Unprocessable(Vec<String>),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("internal error")]
    Internal,
}

impl Error {
    /// An invalid parameter, and what is allowed.
    pub fn parameter(name: &str, allowed: impl AsRef<str>) -> Self {
        Self::Unprocessable(vec![format!("{name}: {}", allowed.as_ref())])
    }

    /// HTTP status of the response.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoFile(_) => StatusCode::NOT_FOUND,
            Self::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::IncompleteBody | Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthorized | Self::UnknownKey => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::WritesOff => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::UnknownResult(_) => StatusCode::BAD_GATEWAY,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::WriteError(_)
            | Self::Overloaded(_)
            | Self::NotReady(_)
            | Self::NotSent(_)
            | Self::QueryTimeout
            | Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One of [`REFUSALS`](crate::telemetry::catalog::REFUSALS).
    fn reason(&self) -> &'static str {
        match self {
            Self::WriteError(WriteError::QueueFull { .. }) => "queue_full",
            Self::WriteError(WriteError::TimedOut(_)) => "write_timed_out",
            Self::WriteError(WriteError::StorageUnavailable) => "storage_unavailable",
            other => other.into(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotAllowed(allowed) => Some((ALLOW, HeaderValue::from_static(allowed))),
            Self::RangeNotSatisfiable(bytes) => {
                let value = HeaderValue::try_from(format!("bytes */{bytes}"));
                Some((CONTENT_RANGE, value.expect("digits")))
            }
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::UnknownKey => {
                // RFC 6750, section 3.1.
                let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
                Some((WWW_AUTHENTICATE, challenge))
            }
            Self::TooManyRequests(seconds) => Some((RETRY_AFTER, HeaderValue::from(*seconds))),
            Self::Conflict(_) => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            // Seconds. Qontak's limits are of a minute.
            Self::NotSent(_) => Some((RETRY_AFTER, HeaderValue::from_static("60"))),
            // Seconds. Short, because a queue drains fast and a sender may give up.
            Self::WriteError(_) | Self::Overloaded(_) | Self::NotReady(_) | Self::Database(_) => {
                Some((RETRY_AFTER, HeaderValue::from_static("2")))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // Other errors are the caller's, or were logged where they occurred.
        if let Self::Database(cause) = self {
            // SQLSTATE query_canceled: the statement timeout.
            let code = cause.as_database_error().and_then(|cause| cause.code());
            if code.as_deref() == Some("57014") {
                TIMED_OUT.occurred("statement timeout (SQLSTATE 57014)");
                return Self::QueryTimeout.into_response();
            }
            let failure = Failure::from(cause);
            FAILED.occurred(&failure);
            // A row that cannot be decoded, or a query that Postgres rejects for its data: a retry
            // fails as well.
            return match failure {
                Failure::Data(_) => Self::Internal.into_response(),
                _ => Self::WriteError(WriteError::StorageUnavailable).into_response(),
            };
        }
        let status = self.status();
        let reason = Reason(self.reason());
        counter!("qontak_receiver_refused_total", "reason" => reason.0).increment(1);
        let mut response = (status, Json(ErrorResponse::from(&self))).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(reason);
        response
    }
}

/// Why a request was refused, in one word for the log and the metrics: an extension of the response.
#[derive(Clone, Copy, Debug)]
pub struct Reason(pub &'static str);

/// An error in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct ErrorResponse {
    status: Failed,
    error: ErrorBody,
}

impl ErrorResponse {
    /// An error with these messages.
    pub fn new(status: StatusCode, messages: Vec<String>) -> Self {
        Self { status: Failed::Error, error: ErrorBody::new(status, messages) }
    }
}

/// Status of every error.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Failed {
    /// The only value.
    Error,
}

impl From<&Error> for ErrorResponse {
    fn from(error: &Error) -> Self {
        let messages = match error {
            Error::Unprocessable(messages) => messages.clone(),
            other => vec![other.to_string()],
        };
        Self::new(error.status(), messages)
    }
}

/// Status and messages of an error.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// HTTP status of the response.
    code: u16,
    /// One message per problem, in English. For a parameter: its name, and what is allowed.
    messages: Vec<String>,
    /// Request id, as in the header `x-request-id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl ErrorBody {
    /// Error of the current request.
    pub fn new(status: StatusCode, messages: Vec<String>) -> Self {
        Self { code: status.as_u16(), messages, request_id: trace::current_request_id() }
    }
}

/// Response to a request whose handler panicked.
pub fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    // The text may quote data. The panic hook has logged the location.
    drop(cause);
    Error::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalog::REFUSALS;

    #[test]
    fn metrics_have_every_reason() {
        // These two have reasons of their own, or become another error.
        let is_apart = |name: &&&str| ["write_error", "database"].contains(*name);
        let missing = Error::VARIANTS.iter().filter(|name| !is_apart(name));
        assert!(missing.into_iter().all(|name| REFUSALS.contains(name)), "{:?}", Error::VARIANTS);
        for (error, reason) in [
            (WriteError::QueueFull { max_bytes: 1 }, "queue_full"),
            (WriteError::TimedOut(Duration::ZERO), "write_timed_out"),
            (WriteError::StorageUnavailable, "storage_unavailable"),
        ] {
            assert_eq!(Error::from(error).reason(), reason);
            assert!(REFUSALS.contains(&reason));
        }
    }
}
