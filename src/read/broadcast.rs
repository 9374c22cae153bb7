//! Broadcasts: their funnel and their recipients.

mod funnel;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use sqlx::PgPool;

use self::funnel::{Counts, Funnel};
use super::key::Reader;
use super::one;
use super::page::{Micros, Page};
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::store::broadcast::{self, BroadcastRow};
use crate::store::broadcast_log::{self, LogRow, count, funnel as recipients};

/// A broadcast as the API shows it, with what is told of its recipients.
#[derive(Serialize)]
struct Broadcast<F> {
    #[serde(flatten)]
    row: BroadcastRow,
    #[serde(flatten)]
    recipients: F,
}

/// A recipient as the API shows it.
#[derive(Serialize)]
struct Log {
    #[serde(flatten)]
    row: LogRow,
    #[serde(flatten)]
    explained: Explained,
    #[serde(flatten)]
    progress: Progress,
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
    let counts = Counts::of_each(rows.len(), &count::list(&db, &rows).await?);
    let broadcasts = rows.into_iter().zip(counts);
    let broadcasts = broadcasts.map(|(row, recipients)| Broadcast { row, recipients }).collect();
    Ok(page.answer(broadcasts, |Broadcast { row, .. }| {
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
    let mut funnel = Funnel::of(recipients::groups(&db, organization_id, &id).await?);
    let codes = funnel.error_codes();
    funnel.entitle(recipients::titles(&db, organization_id, &id, &codes).await?);
    Ok(one(Broadcast { row, recipients: funnel }))
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
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let organization_id = row.organization_id.unwrap_or_default();
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
        let explained = Explained::of(row.error_code);
        Self { row, explained, progress: Progress::outgoing(times) }
    }
}
