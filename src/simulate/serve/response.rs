//! Errors in Qontak's envelope.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// An error with these messages.
pub fn error(status: StatusCode, messages: &[&str]) -> (StatusCode, Json<Value>) {
    let error = json!({ "code": status.as_u16(), "messages": messages });
    (status, Json(json!({ "status": "error", "error": error })))
}
