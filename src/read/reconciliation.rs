//! What Qontak's API had and the webhooks did not bring.

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use sqlx::PgPool;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use crate::http::Error;
use crate::http::query::value::{AnyOf, DayOrTime, period};
use crate::query;
use crate::store::reconciliation::{self, Filter, Kind, Place, ReconciliationRow};
use crate::store::walk::Walk;

query! {
    /// Filters of the reconciliation.
    pub struct ReconciliationQuery {
        /// Only rows of these kinds.
        kind: AnyOf<Kind>,
        /// This day (`2025-06-12`, UTC) or later.
        start_date: DayOrTime,
        /// This day (UTC) or earlier.
        end_date: DayOrTime,
    }
}

/// List what Qontak had and this service lacked, per day and kind, newest first
///
/// Backfills count it: `qontak-receiver backfill`, and those that the service starts after an outage.
/// What was missing is stored since. Days that were never compared are omitted.
#[utoipa::path(
    get, path = "/reconciliation", params(ReconciliationQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<ReconciliationRow>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, ReconciliationQuery>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let (since, until) = period(query.start_date, query.end_date, &Utc)?;
    let filter = Filter { kind: query.kind.map(AnyOf::names), since, until };
    let fetch = async move |walk: Walk<Place>| {
        reconciliation::list(&db, reader.organizations(), &filter, &walk).await
    };
    page.respond(fetch, ReconciliationRow::place).await
}
