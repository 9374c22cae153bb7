//! Table `event`, the journal: duplicates, replays and reads.
//!
//! The unique index on (`dedup_key`, `day`) decides which deliveries are duplicates. Nothing is
//! looked up beforehand, except within an hour of midnight.

pub mod alias;
mod body;
mod delivery;
mod find;
mod read;
pub mod subject;
mod webhook;

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

pub(super) use self::body::decompress;
pub use self::delivery::{Deliveries, JournalRow, Known, Repeat};
pub use self::find::{find, find_body, find_webhook};
pub use self::read::{EventRow, Filter, Place, list};
pub use self::webhook::{Selection, count_selected, select};
use super::rows::column;
use crate::event::{Event, Kind, Outcome, PARSER_VERSION};
use crate::model::EventId;

/// Result of writing an event to the journal.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Id of the row; for a duplicate, that of the first delivery.
    pub event_id: EventId,
    /// Outcome of the row.
    pub outcome: Outcome,
    /// How the row was written.
    pub written: Written,
}

impl Stored {
    /// Whether the event is applied now and was not before.
    pub fn is_newly_applied(&self) -> bool {
        self.outcome == Outcome::Applied
            && match &self.written {
                Written::First => true,
                Written::Replay(previous) => previous.outcome != Outcome::Applied,
                Written::Duplicate | Written::AlreadyCommitted => false,
            }
    }
}

/// Effect of a write on the journal.
#[derive(Clone, Debug)]
pub enum Written {
    /// First delivery: a row was inserted.
    First,
    /// The same bytes are in the journal or earlier in the batch: `deliveries` was incremented.
    Duplicate,
    /// No effect: an earlier attempt to write this delivery was committed, but its result was lost.
    AlreadyCommitted,
    /// The row was updated with the result of a replay.
    Replay(PreviousOutcome),
}

/// Outcome of a row before its replay.
#[derive(Clone, Debug)]
pub struct PreviousOutcome {
    /// Previous outcome.
    pub outcome: Outcome,
    /// Previous organisation.
    pub organization_id: String,
}

impl Written {
    /// Whether the changes of the event have to be written to the projections.
    pub const fn changes_projections(&self) -> bool {
        matches!(self, Self::First | Self::Replay(_))
    }
}

/// Column `name` of an event: the name as sent; null if it is Qontak's for the kind, empty if the body
/// has none.
pub fn stored_name(event: &Event) -> Option<&str> {
    match (event.name.as_deref(), event.kind.map(Kind::as_str)) {
        (Some(name), Some(kind)) if name == kind && Kind::from_name(name).is_some() => None,
        (None, Some(_)) => Some(""),
        (name, _) => name,
    }
}

/// Updates rows with the results of replays. Returns the previous outcome by event id.
pub async fn replay(
    db: &mut PgConnection,
    events: &[&Event],
) -> sqlx::Result<HashMap<Uuid, Written>> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"
            with new as (
                select * from unnest(
                    $1::date[], $2::uuid[], $3::text[], $4::text[], number_organizations($5),
                    $6::text[], $7::text[], $8::text[]
                ) as new (
                    day, event_id, kind, name, organization, subject_id, outcome, reasons
                )
            ), old as (
                -- Locked, so that two replays of one event do not both read the first outcome.
                select event.day, event.event_id, event.outcome, event.organization
                from event
                join new on new.day = event.day and new.event_id = event.event_id
                order by event.day, event.event_id
                for update of event
            )
            update event set
                kind = new.kind::event_kind,
                name = new.name,
                organization = new.organization,
                subject_id = new.subject_id,
                outcome = new.outcome::event_outcome,
                reasons = string_to_array(nullif(new.reasons, ''), e'\n'),
                parser_version = $9
            from new
            join old using (day, event_id)
            where event.day = old.day and event.event_id = old.event_id
            returning
                event.event_id, old.outcome as "outcome!: Outcome",
                organization_id(old.organization) as "organization_id!"
        "#,
        &column(events, |event| event.received_at().day()),
        &column(events, |event| event.id().0),
        &column(events, |event| event.kind.map(Kind::as_str)) as _,
        &column(events, |event| stored_name(event)) as _,
        &column(events, |event| event.organization_id.as_str()) as _,
        &column(events, |event| event.subject_id.as_deref()) as _,
        &column(events, |event| event.outcome.as_str()) as _,
        &column(events, |event| event.reasons.join("\n")),
        PARSER_VERSION,
    )
    .fetch_all(db)
    .await?;
    let replayed = rows.into_iter().map(|row| {
        let (outcome, organization_id) = (row.outcome, row.organization_id);
        (row.event_id, Written::Replay(PreviousOutcome { outcome, organization_id }))
    });
    Ok(replayed.collect())
}
