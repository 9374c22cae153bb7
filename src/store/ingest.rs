//! Writes a batch: one call of the SQL function `ingest_1`, which is one transaction.
//!
//! The changes of the events are folded to one row per key, and rows are sorted by key, so that
//! concurrent writers do not deadlock. The call assumes that every event is new. If one is stored
//! already, the function writes nothing; then the stored ones are looked up and the call is repeated
//! without their changes.

mod row;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use self::row::Row;
use super::event::{self, Deliveries, JournalRow, Known, PreviousOutcome, Repeat, Stored, Written};
use super::ledger::{self, LedgerChange};
use super::resolution::{self, Resolution};
use super::{facet, failure, lock};
use crate::event::{Changes, Event};
use crate::model::{Broadcast, BroadcastLog, CatalogState, Message, Room, RoomEvent, Sender};

/// Writes events, their changes, new values of facets and the ledger. Duplicates are only counted:
/// they change no projection.
pub async fn ingest(
    db: &mut PgConnection,
    writer_id: Uuid,
    events: &[Event],
    facets: &BTreeSet<facet::Entry<'_>>,
) -> sqlx::Result<Vec<Stored>> {
    let replays: Vec<&Event> = events.iter().filter(|event| event.is_replay).collect();
    if replays.is_empty() {
        let known = Known::of_other_days(db, events).await?;
        let batch = Batch::of(writer_id, events, &known, HashMap::new());
        let written = batch.write_durably(db, facets).await;
        if !written.as_ref().is_err_and(failure::is_repeat) {
            return written;
        }
        let known = Known::list(db, events).await?;
        let batch = Batch::of(writer_id, events, &known, HashMap::new());
        return batch.write_durably(db, facets).await;
    }
    let mut transaction = db.begin().await?;
    let replayed = event::replay(&mut transaction, &replays).await?;
    let known = Known::list(&mut transaction, events).await?;
    let batch = Batch::of(writer_id, events, &known, replayed);
    let stored = batch.write(&mut transaction, facets).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// The rows of a batch.
struct Batch<'a> {
    stored: Vec<Stored>,
    organizations: Organizations,
    journal: Vec<Row<'a, JournalRow<'a>>>,
    repeats: Vec<Row<'a, Repeat>>,
    ledger: Vec<Row<'a, LedgerChange>>,
    applied: Vec<Uuid>,
    rooms: Vec<Row<'a, Room>>,
    room_events: Vec<Row<'a, RoomEvent>>,
    messages: Vec<Row<'a, Message>>,
    resolutions: Vec<Row<'a, Resolution<'a>>>,
    senders: Vec<Row<'a, Sender>>,
    broadcasts: Vec<Row<'a, Broadcast>>,
    broadcast_logs: Vec<Row<'a, BroadcastLog>>,
    catalog_states: Vec<Row<'a, CatalogState>>,
}

impl<'a> Batch<'a> {
    fn of(
        writer_id: Uuid,
        events: &'a [Event],
        known: &Known,
        replayed: HashMap<Uuid, Written>,
    ) -> Self {
        let Deliveries { rows, repeats, stored } = Deliveries::of(events, known);
        let stored = with_replays(events, stored, replayed);
        let new: Vec<&Event> = events
            .iter()
            .zip(&stored)
            .filter(|(_, row)| row.written.changes_projections())
            .map(|(event, _)| event)
            .collect();
        let changes = || new.iter().map(|event| &event.changes);
        let applied = events.iter().zip(&stored).filter(|(_, row)| row.is_newly_applied());
        let mut organizations = Organizations::default();
        // The rows of one table; their key is the organisation and this.
        macro_rules! folded {
            ($rows:ident, $fold:path, |$row:ident| $key:expr) => {
                organizations.number(
                    fold(
                        changes().flat_map(|changes: &'a Changes| &changes.$rows),
                        |$row| (&$row.organization_id, $key),
                        $fold,
                    ),
                    |row| &row.organization_id,
                )
            };
        }
        Self {
            journal: organizations.number(owned(rows), |row| &row.event.organization_id),
            repeats: rows_of(owned(repeats)),
            ledger: rows_of(owned(ledger::count(writer_id, events, &stored))),
            applied: applied.map(|(event, _)| event.id().0).collect(),
            rooms: folded!(rooms, Room::fold, |row| &row.room_id),
            room_events: folded!(room_events, RoomEvent::fold, |row| (
                &row.room_id,
                row.r#type,
                &row.discriminator
            )),
            messages: folded!(messages, Message::fold, |row| &row.message_id),
            resolutions: organizations
                .number(owned(resolution::shown(new.iter().copied())), |row| row.organization_id),
            senders: folded!(senders, Sender::fold, |row| &row.sender_id),
            broadcasts: folded!(broadcasts, Broadcast::fold, |row| &row.broadcast_id),
            broadcast_logs: folded!(broadcast_logs, BroadcastLog::fold, |row| &row.log_id),
            catalog_states: rows_of(fold(
                changes().flat_map(|changes| &changes.catalog_states),
                |row| (row.kind, &row.id, &row.organization_id, row.event_id),
                // The same event twice.
                |_, _| (),
            )),
            organizations,
            stored,
        }
    }

    /// Writes the batch. If all events are stored already, waits as for a commit.
    async fn write_durably(
        self,
        db: &mut PgConnection,
        facets: &BTreeSet<facet::Entry<'_>>,
    ) -> sqlx::Result<Vec<Stored>> {
        if self.journal.is_empty() && self.repeats.is_empty() && self.ledger.is_empty() {
            wait_for_standby(&mut *db).await?;
        }
        self.write(db, facets).await
    }

    async fn write(
        self,
        db: &mut PgConnection,
        facets: &BTreeSet<facet::Entry<'_>>,
    ) -> sqlx::Result<Vec<Stored>> {
        let facets = rows_of(owned(facet::folded(facets)));
        sqlx::query!(
            r#"
                select
                    ingest_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13),
                    -- Too rare for a parameter that each batch would pay for.
                    case when $14::catalog_state_1[] is not null then apply_catalog_states_1($14) end
            "#,
            &self.organizations.ids,
            some(&self.journal) as _,
            some(&self.repeats) as _,
            some(&self.ledger) as _,
            some(&self.applied) as _,
            some(&self.rooms) as _,
            some(&self.room_events) as _,
            some(&self.messages) as _,
            some(&self.resolutions) as _,
            some(&self.senders) as _,
            some(&self.broadcasts) as _,
            some(&self.broadcast_logs) as _,
            some(&facets) as _,
            some(&self.catalog_states) as _,
        )
        .execute(db)
        .await?;
        Ok(self.stored)
    }
}

/// Has a transaction that writes nothing wait for a synchronous standby, as one that writes does.
///
/// An event that is stored already may be on the primary only: its commit waited for the standby, and the
/// wait was cut off by a crash or a terminated session. Its webhook must then stay in the spool. The lock
/// is held while the commit waits, so that repeated attempts do not occupy a connection each: they end by
/// `lock_timeout`.
async fn wait_for_standby(db: &mut PgConnection) -> sqlx::Result<()> {
    // A transaction that only has an id does not wait: it needs a record in the WAL.
    sqlx::query_scalar!(
        r#"
            select pg_logical_emit_message(true, 'qontak_receiver', '')::text as "position!"
            from pg_advisory_xact_lock($1)
        "#,
        lock::STANDBY,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Completes what becomes of each event with the replays. `replayed` are their previous outcomes.
fn with_replays(
    events: &[Event],
    stored: Vec<Option<Stored>>,
    mut replayed: HashMap<Uuid, Written>,
) -> Vec<Stored> {
    let stored = events.iter().zip(stored).map(|(event, stored)| {
        stored.unwrap_or_else(|| {
            // No row: its partition was dropped by age.
            let written = replayed.get(&event.id().0).cloned().unwrap_or(Written::AlreadyCommitted);
            // A second replay in the same batch starts from the outcome of the first one.
            let organization_id = event.organization_id.clone();
            let current = PreviousOutcome { outcome: event.outcome, organization_id };
            replayed.entry(event.id().0).and_modify(|known| *known = Written::Replay(current));
            Stored { event_id: event.id(), outcome: event.outcome, written }
        })
    });
    stored.collect()
}

/// Organisations of a batch. Rows name them by their places: only Postgres knows their numbers.
#[derive(Default)]
struct Organizations {
    ids: Vec<String>,
    places: HashMap<String, i32>,
}

impl Organizations {
    /// Adds the place of the organisation to each row.
    fn number<'a, T: Clone>(
        &mut self,
        rows: Vec<Cow<'a, T>>,
        id: impl Fn(&T) -> &str,
    ) -> Vec<Row<'a, T>> {
        let rows = rows.into_iter().map(|row| {
            let organization = self.place(id(&row));
            Row { row, organization }
        });
        rows.collect()
    }

    /// Place of an organisation, from 1.
    fn place(&mut self, id: &str) -> i32 {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        self.ids.push(id.to_owned());
        let place = self.ids.len() as i32;
        self.places.insert(id.to_owned(), place);
        place
    }
}

/// Folds rows with the same key, sorted by key.
fn fold<'a, T: Clone, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    fold: impl Fn(&mut T, &T),
) -> Vec<Cow<'a, T>> {
    let mut rows: Vec<&'a T> = rows.collect();
    rows.sort_by_key(|row| key(row));
    let groups = rows.chunk_by(|one, other| key(one) == key(other));
    let folded = groups.map(|group| {
        let mut row = Cow::Borrowed(group[0]);
        for other in &group[1..] {
            fold(row.to_mut(), other);
        }
        row
    });
    folded.collect()
}

fn owned<'a, T: Clone>(rows: impl IntoIterator<Item = T>) -> Vec<Cow<'a, T>> {
    rows.into_iter().map(Cow::Owned).collect()
}

/// Rows of types that have the id of the organisation, or none.
fn rows_of<T: Clone>(rows: Vec<Cow<'_, T>>) -> Vec<Row<'_, T>> {
    rows.into_iter().map(|row| Row { row, organization: 0 }).collect()
}

/// An array, or null if it is empty.
fn some<T>(rows: &[T]) -> Option<&[T]> {
    (!rows.is_empty()).then_some(rows)
}
