//! Timeout of read requests.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::Error;
use crate::store;

/// Middleware that fails a request whose response does not begin within `limit`. The statement
/// timeout of the server does not help when its error never arrives.
pub async fn in_time(limit: Duration, request: Request, next: Next) -> Result<Response, Error> {
    Ok(store::within(limit, async { Ok(next.run(request).await) }).await?)
}
