//! The ledger: deliveries per hour by outcome.

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use sqlx::PgPool;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use super::state::ReadState;
use super::waiting::Waiting;
use crate::http::Error;
use crate::http::query::value::{AnyOf, DayOrTime, period};
use crate::query;
use crate::store::ledger::{self, Filter, LedgerRow, Place};
use crate::store::walk::Walk;

query! {
    /// Filters of the ledger.
    pub struct LedgerQuery {
        /// Only hours with such deliveries; with any of several, `quarantined,malformed`. The row
        /// counts all deliveries of the hour.
        outcome: AnyOf<Counted>,
        /// Hours that begin on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Hours that begin before the end of this day (UTC), or before this time.
        end_date: DayOrTime,
    }
}

/// Column of the ledger: an outcome of first deliveries, or `duplicate`.
#[derive(Clone, Copy, EnumString, IntoStaticStr, VariantNames, ToSchema)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum Counted {
    Applied,
    Recorded,
    Quarantined,
    Malformed,
    Duplicate,
}

/// List webhook deliveries per hour by outcome, newest first
///
/// Hours without deliveries are omitted. In every hour
/// `received = applied + recorded + quarantined + malformed + duplicate`. Kinds, names and endpoints
/// are not counted: `/v1/events` lists them. While `meta.waiting.events` is not 0, acknowledged webhooks wait
/// for the database and are not counted yet.
#[utoipa::path(
    get, path = "/ledger", params(LedgerQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<LedgerRow>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, LedgerQuery>,
    State(db): State<PgPool>,
    State(state): State<ReadState>,
) -> Result<Response, Error> {
    let (since, until) = period(query.start_date, query.end_date, &Utc)?;
    let filter = Filter { outcome: query.outcome.map(AnyOf::names), since, until };
    let waiting = Waiting::now(&state.ingest, reader.organizations());
    let fetch = async move |walk: Walk<Place>| {
        ledger::list(&db, reader.organizations(), &filter, &walk).await
    };
    page.with_waiting(waiting).respond(fetch, LedgerRow::place).await
}
