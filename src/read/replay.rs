//! Replays of many events.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::Utc;
use sqlx::PgPool;
use uuid::Uuid;

use super::envelope::{One, one};
use super::reader::{AuthorizedReplay, Reader};
use super::state::ReadState;
use crate::event::{Kind, Outcome};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{DayOrTime, Text, period};
use crate::model::Timestamp;
use crate::query;
use crate::store::event::Selection;
use crate::store::replay::{self, ReplayRow};

query! {
    /// Which events are replayed; at least one of these is needed.
    pub struct ReplayQuery {
        /// Events of this kind.
        kind: Kind,
        /// Events with this outcome.
        outcome: Outcome,
        /// Received on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Received until the end of this day (UTC), or before this time; before now by default.
        end_date: DayOrTime,
        /// Events of this organisation; by default those of all organisations that the key may see.
        organization_id: Text,
    }
}

/// Start a replay of many events with the current parser
///
/// Requires a key with the scope `replay`. It runs in the background, on one of the replicas, and goes on if
/// that stops. Idempotent: rows that are up to date do not change.
#[utoipa::path(
    post, path = "/replays", params(ReplayQuery), security(("key" = ["replay"])),
    responses((status = OK, body = One<ReplayRow>))
)]
pub async fn start(
    AuthorizedReplay { reader, query }: AuthorizedReplay<ReplayQuery>,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let ReplayQuery { kind, outcome, start_date, end_date, organization_id } = query;
    let is_all = kind.is_none() && outcome.is_none() && start_date.is_none() && end_date.is_none();
    if is_all {
        let expected = "or end_date, kind or outcome is needed; 1970-01-01 selects all events";
        return Err(Error::parameter("start_date", expected));
    }
    let (from, until) = period(start_date, end_date, &Utc)?;
    let organizations = match organization_id {
        Some(Text(id)) if reader.shows(Some(&id)) => Some(vec![id]),
        Some(_) => return Err(Error::NotFound),
        None => reader.organizations().map(<[String]>::to_vec),
    };
    // Events received from now on are parsed by this version anyway.
    let to = until.unwrap_or_else(Timestamp::now);
    let selection = Selection { ids: Vec::new(), organizations, from, to: Some(to), kind, outcome };
    Ok(one(replay::insert(&state.primary, &reader.key().name, &selection, to).await?))
}

/// Get the state and progress of a replay
#[utoipa::path(
    get, path = "/replays/{id}", security(("key" = ["replay"])),
    responses((status = OK, body = One<ReplayRow>))
)]
pub async fn show(
    AuthorizedReplay { reader, .. }: AuthorizedReplay,
    Id(id): Id,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    Ok(one(find(&state.primary, &reader, &id).await?))
}

/// Cancel a replay
///
/// Events that are replayed already stay as they are. Without effect if it has ended.
#[utoipa::path(
    delete, path = "/replays/{id}", security(("key" = ["replay"])),
    responses((status = OK, body = One<ReplayRow>))
)]
pub async fn cancel(
    AuthorizedReplay { reader, .. }: AuthorizedReplay,
    Id(id): Id,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let row = find(&state.primary, &reader, &id).await?;
    replay::cancel(&state.primary, row.replay_id).await?;
    Ok(one(find(&state.primary, &reader, &id).await?))
}

async fn find(db: &PgPool, reader: &Reader, id: &str) -> Result<ReplayRow, Error> {
    let id: Uuid = id.parse().map_err(|_| Error::NotFound)?;
    replay::find(db, reader.organizations(), id).await?.ok_or(Error::NotFound)
}
