//! Replay of one event, or its dry run.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::parse;
use crate::config::Scope;
use crate::event::{Event, Outcome};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::Flag;
use crate::ingest::replay::{Replayed, normalize_again};
use crate::ingest::writer::WriteError;
use crate::model::EventId;
use crate::query;
use crate::read::envelope::{One, one};
use crate::read::reader::AuthorizedReplay;
use crate::read::state::ReadState;
use crate::store::dry_run::{self, Difference};
use crate::store::{Failure, Written};

/// Time limit of a dry run. It holds locks on the rows of the event until it is rolled back.
const DRY_RUN_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts of a dry run that meets other writes.
const ATTEMPTS: u32 = 3;

query! {
    /// Parameters of a replay.
    pub struct ReplayQuery {
        /// Whether to store nothing, and to return what would change: the replay is run and rolled back.
        dry_run: Flag,
    }
}

/// Replay an event with the current parser
///
/// Requires a key with the scope `replay`. Idempotent: rows that are up to date do not change.
#[utoipa::path(
    post, path = "/events/{id}/replay", params(ReplayQuery), security(("key" = ["replay"])),
    responses((status = OK, body = One<ReplayedRow>))
)]
pub async fn replay(
    AuthorizedReplay { reader, query }: AuthorizedReplay<ReplayQuery>,
    Id(id): Id,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let organizations = reader.organizations();
    let webhook =
        crate::store::event::find_webhook(&state.primary, organizations, parse(&id)?).await?;
    let event = webhook.and_then(normalize_again).ok_or(Error::NotFound)?;
    if query.dry_run.is_some_and(|flag| flag.0) {
        let can_read = reader.require(Scope::Read).is_ok();
        return Ok(one(dry_run(&state, event, can_read).await?));
    }
    let receipt = state.ingest.writer.write(event).await?;
    let Replayed { event_id, before, outcome } =
        Replayed::from_receipt(&receipt).ok_or(Error::NotFound)?;
    let reasons = receipt.reasons;
    Ok(one(ReplayedRow { event_id, outcome_before: before, outcome, reasons, changes: None }))
}

/// Runs the replay and rolls it back. An event that the database rejects would be quarantined, as the
/// writer does.
async fn dry_run(state: &ReadState, event: Event, can_read: bool) -> Result<ReplayedRow, Error> {
    let mut events = [event];
    let mut attempt = 1;
    let (stored, mut changes) = loop {
        match dry_run::dry_run(&state.primary, DRY_RUN_TIMEOUT, &events).await {
            Ok(result) => break result,
            Err(Failure::Data(code)) if !events[0].changes.is_empty() => {
                events[0].quarantine(&code);
            }
            Err(Failure::LockTimeout(_) | Failure::Race(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(Failure::LockTimeout(_) | Failure::Race(_)) => {
                return Err(WriteError::TimedOut(DRY_RUN_TIMEOUT).into());
            }
            Err(_) => return Err(WriteError::StorageUnavailable.into()),
        }
    };
    changes.retain(Difference::is_visible);
    for change in &mut changes {
        change.drop_bookkeeping();
        if !can_read {
            change.hide_values();
        }
    }
    let [event] = events;
    let written = stored.into_iter().find(|row| row.event_id == event.id());
    let Some(Written::Replay(before)) = written.map(|row| row.written) else {
        return Err(Error::NotFound);
    };
    Ok(ReplayedRow {
        event_id: event.id(),
        outcome_before: before.outcome,
        outcome: event.outcome,
        reasons: event.reasons,
        changes: Some(changes),
    })
}

/// Result of a replay.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
struct ReplayedRow {
    event_id: EventId,
    /// Outcome before the replay.
    outcome_before: Outcome,
    /// Outcome after the replay.
    outcome: Outcome,
    /// Why the event is quarantined or malformed, and each field that could not be read.
    reasons: Vec<String>,
    /// Rows that would change, and how; null unless it was a dry run.
    changes: Option<Vec<Difference>>,
}
