//! Look-ups of an event by its id, or by the id of a spooled duplicate.

use sqlx::PgPool;

use super::alias;
use super::read::{EventRow, find_body_stored, find_stored};
use super::webhook::find_webhook_stored;
use crate::event::{Outcome, Webhook};
use crate::model::EventId;

/// Finds an event within these organisations; `None` for all.
pub async fn find(
    db: &PgPool,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<EventRow>> {
    if let Some(found) = find_stored(db, organizations, id).await? {
        return Ok(Some(found));
    }
    let Some(id) = alias::find(db, id).await? else { return Ok(None) };
    find_stored(db, organizations, id).await
}

/// Finds the body and the outcome of an event.
pub async fn find_body(
    db: &PgPool,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<(Vec<u8>, Outcome)>> {
    if let Some(found) = find_body_stored(db, organizations, id).await? {
        return Ok(Some(found));
    }
    let Some(id) = alias::find(db, id).await? else { return Ok(None) };
    find_body_stored(db, organizations, id).await
}

/// Finds the webhook of an event.
pub async fn find_webhook(
    db: &PgPool,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<Webhook>> {
    if let Some(found) = find_webhook_stored(db, organizations, id).await? {
        return Ok(Some(found));
    }
    let Some(id) = alias::find(db, id).await? else { return Ok(None) };
    find_webhook_stored(db, organizations, id).await
}
