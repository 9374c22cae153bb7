//! Middleware of Qontak's own routes, where they differ from `/v1`: unknown parameters are ignored,
//! requests may be signed, and errors have Qontak's words, because its clients compare them.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::hmac::is_digest_of;
use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::http::query::IgnoredParameters;

/// Names of parameters that were ignored, separated by commas.
const IGNORED_PARAMETERS: HeaderName = HeaderName::from_static("x-ignored-parameters");

/// Maximum size of a request body, which no route reads.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Which of Qontak's APIs a route belongs to. Extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dialect {
    /// `/api/open/v1`, with bearer tokens.
    Open,
    /// `/qontak/chat/v1`, behind Mekari's gateway, with signatures.
    Gateway,
}

impl Dialect {
    /// Middleware of all routes of this API.
    pub async fn serve(self, request: Request, next: Next) -> Response {
        let ignored = IgnoredParameters::default();
        let response = match check_digest(request).await {
            Ok(mut request) => {
                request.extensions_mut().insert(self);
                request.extensions_mut().insert(ignored.clone());
                next.run(request).await
            }
            Err(error) => error.into_response(),
        };
        let mut response = self.in_words_of_qontak(response);
        if let Some(names) = header_of(ignored.names()) {
            response.headers_mut().insert(IGNORED_PARAMETERS, names);
        }
        response
    }

    /// Replaces the body of errors that clients know by their text. Status and headers stay.
    fn in_words_of_qontak(self, response: Response) -> Response {
        let status = response.status();
        let body = match (status, self) {
            (StatusCode::UNAUTHORIZED, Self::Gateway) => {
                Json(json!({ "message": "Unauthorized" })).into_response()
            }
            (StatusCode::UNAUTHORIZED, Self::Open) => error(status, &["Invalid token"]),
            (StatusCode::NOT_FOUND, _) => error(status, &["Resource not found."]),
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                let seconds = retry_after(response.headers());
                error(status, &["Too many requests", &format!("rate_limit_reset: {seconds}")])
            }
            _ => return response,
        };
        let (mut head, _) = response.into_parts();
        head.headers.remove(CONTENT_LENGTH);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Response::from_parts(head, body.into_body())
    }
}

fn error(status: StatusCode, messages: &[&str]) -> Response {
    let messages = messages.iter().map(|&message| message.to_owned()).collect();
    Json(ErrorResponse::new(status, messages)).into_response()
}

fn retry_after(headers: &HeaderMap) -> &str {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or("1")
}

/// Compares the header `Digest`, if there is one, with the body.
async fn check_digest(request: Request) -> Result<Request, Error> {
    let Some(digest) = request.headers().get("digest").cloned() else { return Ok(request) };
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| Error::BodyTooLarge(MAX_BODY_BYTES))?;
    if !digest.to_str().is_ok_and(|digest| is_digest_of(digest, &body)) {
        return Err(Error::UnknownKey);
    }
    Ok(Request::from_parts(head, Body::from(body)))
}

/// The names as a header; `None` if there are none. Only characters that need no quotes are kept.
fn header_of(names: &[String]) -> Option<HeaderValue> {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_-.[]:".contains(*c);
    let names = names.iter().take(20).map(|name| name.chars().filter(is_plain).collect::<String>());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then(|| HeaderValue::try_from(names.join(", ")).ok())?
}
