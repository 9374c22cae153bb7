//! The journal: what came in and what became of it.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::PgPool;
use strum::VariantNames;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::page::{List, Page};
use super::reader::{Reader, Replayer};
use crate::event::{Kind, Outcome};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::ingest::replay::{Replayed, normalize_again};
use crate::model::EventId;
use crate::read::state::ReadState;
use crate::store::event::{self, EventRow, Filter};
use crate::store::walk::Walk;

/// The journal: events, newest first.
#[utoipa::path(
    get, path = "/events", responses((status = OK, body = List<EventRow>))
)]
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let kind = parameters.one_of("kind", Kind::VARIANTS);
    let outcome = parameters.one_of("outcome", Outcome::VARIANTS);
    let subject_id = parameters.text("subject_id");
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let filter = Filter { kind, outcome, subject_id };
    let fetch = async move |walk: Walk<event::Place>| {
        event::list(&db, reader.organizations(), &filter, &walk).await
    };
    page.answer(fetch, EventRow::place).await
}

/// One event, without its body.
#[utoipa::path(get, path = "/events/{id}", responses((status = OK, body = One<EventRow>)))]
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let row = event::find(&db, reader.organizations(), parse(&id)?).await?;
    Ok(one(row.ok_or(Error::NotFound)?))
}

/// The bytes of one event as they came in.
#[utoipa::path(
    get, path = "/events/{id}/body",
    responses((
        status = OK,
        description = "The body that Qontak posted; octets if it is not JSON.",
        content((Value = "application/json"), (Vec<u8> = "application/octet-stream"))
    ))
)]
pub async fn body(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    parameters.finish()?;
    let found = event::find_body(&db, reader.organizations(), parse(&id)?).await?;
    let (body, outcome) = found.ok_or(Error::NotFound)?;
    let content_type = match outcome {
        Outcome::Malformed => "application/octet-stream",
        _ => "application/json",
    };
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}

/// Reads an event again, by the rules of this version.
///
/// Wants a key with the scope `replay`. It may be repeated: what is there already does not change.
#[utoipa::path(
    post, path = "/events/{id}/replay", responses((status = OK, body = One<ReplayedRow>))
)]
pub async fn replay(
    Replayer(reader): Replayer,
    Id(id): Id,
    parameters: Parameters,
    State(app): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let webhook = event::find_webhook(&app.db, reader.organizations(), parse(&id)?).await?;
    let event = webhook.and_then(normalize_again).ok_or(Error::NotFound)?;
    let receipt = app.ingest.writer.write(event).await?;
    let Replayed { event_id, before, outcome } =
        Replayed::from_receipt(&receipt).ok_or(Error::NotFound)?;
    let reasons = receipt.reasons;
    Ok(one(ReplayedRow { event_id, outcome_before: before, outcome, reasons }))
}

/// What became of a replayed event.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
struct ReplayedRow {
    event_id: EventId,
    /// What it was before.
    outcome_before: Outcome,
    /// What it is now.
    outcome: Outcome,
    /// Why it is quarantined or malformed, and each field that could not be used.
    reasons: Vec<String>,
}

fn parse(id: &str) -> Result<EventId, Error> {
    id.parse().map(EventId).map_err(|_| Error::NotFound)
}
