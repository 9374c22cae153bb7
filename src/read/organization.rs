//! Organisations that occur in the data.

use axum::extract::State;
use axum::response::Response;
use sqlx::PgPool;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use crate::http::Error;
use crate::store::organization::{self, OrganizationRow, Place};
use crate::store::walk::Walk;

/// List the organisations of which events were received, by id
///
/// Only those that the key may see. The parameter `organization_id` of the other routes takes their
/// ids.
#[utoipa::path(
    get, path = "/organizations", params(OrganizationQuery, PageQuery),
    responses((status = OK, body = List<OrganizationRow>))
)]
pub async fn list(
    AuthorizedList { reader, page, .. }: AuthorizedList<Place>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let fetch =
        async move |walk: Walk<Place>| organization::list(&db, reader.organizations(), &walk).await;
    page.respond(fetch, OrganizationRow::place).await
}
