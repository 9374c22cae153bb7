//! Broadcasts: their funnel and their recipients.

mod funnel;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::PgPool;
use strum::VariantNames;
use utoipa::ToSchema;

use self::funnel::{Counts, Funnel};
use super::envelope::{One, one};
use super::page::{List, Page};
use super::reader::Reader;
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::model::Status;
use crate::store::broadcast::{self, BroadcastRow};
use crate::store::broadcast_log::{self, LogKey, LogRow, count, funnel as recipients};
use crate::store::walk::Walk;

/// A broadcast as the API shows it, with what is told of its recipients.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Funnel)]
struct Broadcast {
    #[serde(flatten)]
    row: BroadcastRow,
    #[serde(flatten)]
    recipients: Funnel,
}

/// A broadcast as a list shows it. (One generic type would do for both, but utoipa does not tell
/// what its parameter is made of, and a table wants to know its columns.)
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Counts)]
struct Listed {
    #[serde(flatten)]
    row: BroadcastRow,
    #[serde(flatten)]
    recipients: Counts,
}

/// A recipient as the API shows it.
#[derive(Serialize, ToSchema)]
pub struct Log {
    #[serde(flatten)]
    pub row: LogRow,
    #[serde(flatten)]
    explained: Explained,
    #[serde(flatten)]
    pub progress: Progress,
}

/// Broadcasts, newest first, each with how far its recipients are.
#[utoipa::path(
    get, path = "/broadcasts", responses((status = OK, body = List<Listed>))
)]
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let fetch = async move |walk: Walk<broadcast::Place>| {
        let rows = broadcast::list(&db, reader.organizations(), &walk).await?;
        let counts = Counts::of_each(rows.len(), &count::list(&db, &rows).await?);
        let broadcasts = rows.into_iter().zip(counts);
        Ok(broadcasts.map(|(row, recipients)| Listed { row, recipients }).collect())
    };
    page.answer(fetch, |listed: &Listed| listed.row.place()).await
}

/// One broadcast with its whole funnel.
#[utoipa::path(
    get, path = "/broadcasts/{id}", responses((status = OK, body = One<Broadcast>))
)]
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
#[utoipa::path(
    get, path = "/broadcasts/{id}/logs",
    params(("status" = inline(Option<Status>), Query, description = "Only recipients with this effective status.")),
    responses((status = OK, body = List<Log>))
)]
pub async fn logs(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let status = parameters.one_of("status", Status::VARIANTS);
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let organization_id = row.organization_id.unwrap_or_default();
    let fetch = async move |walk: Walk<broadcast_log::Place>| {
        let broadcast = (organization_id.as_str(), id.as_str());
        let keys = broadcast_log::list(&db, broadcast, status.as_deref(), &walk).await?;
        find_logs(&db, &keys).await
    };
    page.answer(fetch, |log: &Log| log.row.place()).await
}

/// The recipients of these keys, in their order.
pub async fn find_logs(db: &PgPool, keys: &[LogKey]) -> sqlx::Result<Vec<Log>> {
    let rows = broadcast_log::show(db, keys).await?;
    Ok(rows.into_iter().map(Log::new).collect())
}

impl Log {
    /// Whether it is one of the broadcast.
    pub fn is_of(&self, broadcast: &BroadcastRow) -> bool {
        self.row.messages_broadcast_id.as_ref() == Some(&broadcast.id)
            && self.row.organization_id == broadcast.organization_id
    }

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
