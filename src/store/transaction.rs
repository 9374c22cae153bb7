//! Statements of a batch's transaction: journal, projections, ledger.
//!
//! The order of the tables is fixed, so that concurrent writers do not deadlock.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::event::Stored;
use super::{
    broadcast, broadcast_log, event, facet, ledger, message, resolution, room, room_event, sender,
};
use crate::event::Event;

/// Writes events, their changes, new values of facets and the ledger. Duplicates are only counted:
/// they change no projection.
pub async fn apply(
    db: &mut PgConnection,
    writer_id: Uuid,
    events: &[Event],
    facets: &BTreeSet<facet::Entry<'_>>,
) -> sqlx::Result<Vec<Stored>> {
    let stored = event::write(db, events).await?;
    let new_events = || {
        events
            .iter()
            .zip(&stored)
            .filter(|(_, row)| row.written.changes_projections())
            .map(|(event, _)| event)
    };
    let new = || new_events().map(|event| &event.changes);
    room::upsert(db, new().flat_map(|changes| &changes.rooms)).await?;
    room_event::insert(db, new().flat_map(|changes| &changes.room_events)).await?;
    message::upsert(db, new().flat_map(|changes| &changes.messages)).await?;
    resolution::insert(db, new_events()).await?;
    sender::upsert(db, new().flat_map(|changes| &changes.senders)).await?;
    broadcast::upsert(db, new().flat_map(|changes| &changes.broadcasts)).await?;
    broadcast_log::upsert(db, new().flat_map(|changes| &changes.broadcast_logs)).await?;
    facet::insert(db, facets).await?;
    let applied = events.iter().zip(&stored).filter(|(_, row)| row.is_newly_applied());
    let applied: Vec<Uuid> = applied.map(|(event, _)| event.id().0).collect();
    ledger::add(db, writer_id, events, &stored, &applied).await?;
    Ok(stored)
}
