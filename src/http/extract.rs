//! axum's path extractor, with errors in Qontak's form.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::Error;

/// The `id` in a path. Any text is accepted: an unknown id is a 404 of the handler.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| Error::NotFound)?;
        // Postgres rejects NUL, and no id has one.
        if id.contains('\0') { Err(Error::NotFound) } else { Ok(Self(id)) }
    }
}
