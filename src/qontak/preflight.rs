//! Test of a webhook URL before it is registered: it must answer as Qontak expects.

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Error;
use super::transport::Transport;
use crate::config::WebhookUrl;

/// Why a URL cannot be registered.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document them")]
pub enum PreflightError {
    #[error("webhook URL: {0}")]
    Request(#[from] Error),
    #[error("webhook URL: redirects ({0}), which Qontak does not follow; use the final URL")]
    Redirected(StatusCode),
    #[error("webhook URL: answered 404; the path or its token is not one of this service")]
    NotFound,
    #[error("webhook URL: answered the handshake with {0} instead of 200")]
    Status(StatusCode),
    #[error("webhook URL: did not repeat verify_info; another program answers there")]
    NotRepeated,
}

/// Sends Qontak's handshake to the URL, as Qontak does when a URL is saved.
pub async fn check(transport: &Transport, url: &WebhookUrl) -> Result<(), PreflightError> {
    let info = Uuid::new_v4().to_string();
    let body = json!({ "verify_info": info }).to_string().into_bytes();
    let answer = transport.send(Method::POST, url.expose(), HeaderMap::new(), Some(body)).await?;
    match answer.status {
        StatusCode::OK => {}
        status if status.is_redirection() => return Err(PreflightError::Redirected(status)),
        StatusCode::NOT_FOUND => return Err(PreflightError::NotFound),
        status => return Err(PreflightError::Status(status)),
    }
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    if body["verify_info"] == info.as_str() { Ok(()) } else { Err(PreflightError::NotRepeated) }
}
