//! Qontak's envelope around a single object.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Response with one object, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct One<T> {
    status: Success,
    data: T,
}

/// Status of every successful response.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Success {
    /// The only value.
    Success,
}

/// Wraps `data` in the envelope.
pub fn one<T: Serialize>(data: T) -> Json<One<T>> {
    Json(One { status: Success::Success, data })
}
