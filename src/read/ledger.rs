//! The ledger: deliveries per hour by outcome.

use axum::extract::State;
use axum::response::Response;
use sqlx::PgPool;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use crate::http::Error;
use crate::store::ledger::{self, LedgerRow, Place};
use crate::store::walk::Walk;

/// List webhook deliveries per hour by outcome, newest first
///
/// Hours without deliveries are omitted. In every hour
/// `received = applied + recorded + quarantined + malformed + duplicate`.
#[utoipa::path(
    get, path = "/ledger", params(OrganizationQuery, PageQuery),
    responses((status = OK, body = List<LedgerRow>))
)]
pub async fn list(
    AuthorizedList { reader, page, .. }: AuthorizedList<Place>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let fetch =
        async move |walk: Walk<Place>| ledger::list(&db, reader.organizations(), &walk).await;
    page.respond(fetch, LedgerRow::place).await
}
