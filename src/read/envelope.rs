//! Qontak's envelope around a single object.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Response with one object, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct One<T> {
    /// Always `success`.
    status: &'static str,
    data: T,
}

/// Wraps `data` in the envelope.
pub fn one<T: Serialize>(data: T) -> Json<One<T>> {
    Json(One { status: "success", data })
}
