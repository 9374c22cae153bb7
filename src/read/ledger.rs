//! Whether it adds up, per hour.

use axum::extract::State;
use axum::response::Response;
use sqlx::PgPool;

use super::page::{List, Page};
use super::reader::Reader;
use crate::http::Error;
use crate::http::extract::Parameters;
use crate::store::ledger::{self, LedgerRow};
use crate::store::walk::Walk;

/// Deliveries per hour, newest first; hours without any are left out.
///
/// It adds up: received = applied + recorded + quarantined + malformed + duplicate.
#[utoipa::path(get, path = "/ledger", responses((status = OK, body = List<LedgerRow>)))]
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let fetch = async move |walk: Walk<ledger::Place>| {
        ledger::list(&db, reader.organizations(), &walk).await
    };
    page.answer(fetch, LedgerRow::place).await
}
