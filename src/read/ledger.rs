//! Whether it adds up, per hour.

use axum::extract::State;
use axum::response::IntoResponse;
use sqlx::PgPool;

use super::key::Reader;
use super::page::{Micros, Page};
use crate::http::Error;
use crate::http::extract::Parameters;
use crate::store::ledger;

/// Deliveries per hour, newest first; hours without any are left out.
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let page: Page<Micros> = Page::read(&mut parameters, "ledger");
    parameters.finish()?;
    let from = page.from.as_ref().map(|hour| hour.0);
    let rows = ledger::list(&db, reader.organizations(), from, page.backward, page.rows()).await?;
    Ok(page.answer(rows, |row| Micros(row.hour)))
}
