//! Timeout of read requests.
//!
//! The statement timeout of the server does not replace it: a dead connection never delivers its
//! error.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::Error;
use crate::store;

/// Middleware that fails a request whose response does not start within `limit`.
pub async fn timeout(limit: Duration, request: Request, next: Next) -> Result<Response, Error> {
    Ok(store::within(limit, async { Ok(next.run(request).await) }).await?)
}
