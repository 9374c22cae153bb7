//! The journal: what came in and what became of it.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::PgPool;

use super::key::{Reader, Replayer};
use super::one;
use super::page::Page;
use crate::app::App;
use crate::event::{EventId, Kind, Outcome};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::replay::{Replayed, read_again};
use crate::store::event::{self, Filter};

/// Events, newest first.
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let kind = parameters.one_of("kind", &Kind::ALL.map(Kind::as_str));
    let outcome = parameters.one_of("outcome", &Outcome::ALL.map(Outcome::as_str));
    let subject_id = parameters.text("subject_id");
    let page: Page<uuid::Uuid> = Page::read(&mut parameters, "events");
    parameters.finish()?;
    let filter = Filter {
        kind: kind.as_deref(),
        outcome: outcome.as_deref(),
        subject_id: subject_id.as_deref(),
    };
    let from = page.from.map(EventId);
    let rows =
        event::list(&db, reader.organizations(), &filter, from, page.backward, page.rows()).await?;
    Ok(page.answer(rows, |row| row.event_id))
}

/// One event, without its body.
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
pub async fn replay(
    Replayer(reader): Replayer,
    Id(id): Id,
    parameters: Parameters,
    State(app): State<App>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let webhook = event::find_webhook(&app.db, reader.organizations(), parse(&id)?).await?;
    let event = webhook.and_then(read_again).ok_or(Error::NotFound)?;
    let receipt = app.writer.write(event).await?;
    let Replayed { event_id, before, outcome } = Replayed::of(&receipt).ok_or(Error::NotFound)?;
    let reasons = receipt.reasons;
    Ok(one(ReplayedRow { event_id, outcome_before: before, outcome, reasons }))
}

/// What became of a replayed event.
#[derive(Serialize)]
struct ReplayedRow {
    event_id: EventId,
    outcome_before: Outcome,
    outcome: Outcome,
    reasons: Vec<String>,
}

fn parse(id: &str) -> Result<EventId, Error> {
    id.parse().map(EventId).map_err(|_| Error::NotFound)
}
