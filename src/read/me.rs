//! The key of the request.

use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::reader::AuthorizedKey;
use crate::config::Scope;
use crate::model::Timestamp;

/// A key and what it permits.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
struct Me {
    /// Name of the key, as given to `key create` or in the settings.
    name: String,
    /// Permissions: `read`, `read_masked`, `export`, `replay`, `write`.
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<&'static str>,
    /// Ids of the organisations that the key may see; null for all.
    organizations: Option<Vec<String>>,
    /// End of its validity; null if it does not expire.
    expires_at: Option<Timestamp>,
}

/// Get the name, scopes, organisations and expiry of the key that is sent
///
/// Any key may request this, whatever its scopes.
#[utoipa::path(
    get, path = "/me", security(("key" = [])), responses((status = OK, body = One<Me>))
)]
pub async fn show(AuthorizedKey { reader }: AuthorizedKey) -> impl IntoResponse {
    let key = reader.key();
    let mut scopes: Vec<&str> = key.scopes.iter().copied().map(Scope::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    one(Me {
        name: key.name.clone(),
        scopes,
        organizations: key.organizations.clone(),
        expires_at: key.expires_at,
    })
}
