//! Broadcasts: their funnel and their recipients.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use sqlx::PgPool;

use super::key::Reader;
use super::message::{StatusTime, StatusTimes, status_times};
use super::one;
use super::page::{Micros, Page};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::store::broadcast::{self, BroadcastRow};
use crate::store::broadcast_log::{self, Billable, Failures, LogRow, TimeToDelivery};

/// A broadcast as the API shows it, with its whole funnel.
#[derive(Serialize)]
struct Broadcast {
    #[serde(flatten)]
    row: BroadcastRow,
    failed_by_code: Vec<Failures>,
    billable_by_category: Vec<Billable>,
    seconds_to_delivery: TimeToDelivery,
}

/// A recipient as the API shows it.
#[derive(Serialize)]
struct Log {
    #[serde(flatten)]
    row: LogRow,
    /// Of every status seen, when; the effective one is `status`.
    status_times: StatusTimes,
}

/// Broadcasts, newest first, each with how far its recipients are.
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let page: Page<(Micros, String, String)> = Page::read(&mut parameters, "broadcasts");
    parameters.finish()?;
    let from = page.from.as_ref().map(|(at, id, organization_id)| broadcast::Place {
        at: at.0,
        broadcast_id: id,
        organization_id,
    });
    let rows =
        broadcast::list(&db, reader.organizations(), from, page.backward, page.rows()).await?;
    Ok(page.answer(rows, |row: &BroadcastRow| {
        let organization_id = row.organization_id.clone().unwrap_or_default();
        (Micros(row.at), row.id.clone(), organization_id)
    }))
}

/// One broadcast with its whole funnel.
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let organization_id = row.organization_id.as_deref().unwrap_or_default();
    let failed_by_code = broadcast_log::failures(&db, organization_id, &id).await?;
    let billable_by_category = broadcast_log::billable(&db, organization_id, &id).await?;
    let seconds_to_delivery = broadcast_log::time_to_delivery(&db, organization_id, &id).await?;
    Ok(one(Broadcast { row, failed_by_code, billable_by_category, seconds_to_delivery }))
}

/// The recipients of one broadcast, newest first.
pub async fn logs(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    const STATUSES: [&str; 6] = ["created", "pending", "sent", "delivered", "read", "failed"];
    let status = parameters.one_of("status", &STATUSES);
    let page: Page<(Micros, String)> =
        Page::read(&mut parameters, &format!("broadcasts/{id}/logs"));
    parameters.finish()?;
    // Without the funnel: a page of recipients must not count all of them.
    let organization_id = broadcast::find_organization(&db, reader.organizations(), &id).await?;
    let organization_id = organization_id.ok_or(Error::NotFound)?;
    let from = page.from.as_ref().map(|(at, id)| (at.0, id.as_str()));
    let rows = broadcast_log::list(
        &db,
        (&organization_id, &id),
        status.as_deref(),
        from,
        page.backward,
        page.rows(),
    );
    let logs: Vec<Log> = rows.await?.into_iter().map(Log::new).collect();
    Ok(page.answer(logs, |log| (Micros(log.row.at), log.row.id.clone())))
}

impl Log {
    fn new(row: LogRow) -> Self {
        let times = [
            ("created", StatusTime::best(None, row.created_at, row.created_seen_at)),
            ("pending", StatusTime::best(row.pending_at, None, row.pending_seen_at)),
            ("sent", StatusTime::best(row.sent_at, None, row.sent_seen_at)),
            ("delivered", StatusTime::best(row.delivered_at, None, row.delivered_seen_at)),
            ("read", StatusTime::best(row.read_at, None, row.read_seen_at)),
            ("failed", StatusTime::best(row.failed_at, None, row.failed_seen_at)),
        ];
        Self { row, status_times: status_times(times) }
    }
}
