//! Table `event`, the journal: inserts, duplicates and replays.
//!
//! The unique index on (`dedup_key`, `day`) decides which deliveries are duplicates. Nothing is
//! looked up beforehand, except in the first hour of a day.

pub mod alias;
mod body;
mod find;
mod read;
pub mod subject;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{NaiveDate, Timelike};
use sqlx::PgConnection;
use uuid::Uuid;

use self::body::CompressedBody;
pub use self::find::{find, find_body, find_webhook};
pub use self::read::{EventRow, Filter, Place, Selection, count_selected, list, select};
use super::rows::column;
use crate::event::{DedupKey, Event, Kind, Outcome, PARSER_VERSION};
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

/// Seconds after midnight in which duplicates of the previous day are detected as well: the unique
/// index covers one day, and senders retry soon.
const PREVIOUS_DAY_SECONDS: u32 = 3600;

/// Deliveries of the same bytes within a batch: the first event and their number.
#[derive(Clone, Copy)]
struct Delivered<'a> {
    event: &'a Event,
    deliveries: i32,
}

/// Key of the unique index.
type JournalKey = (DedupKey, NaiveDate);

/// Row of a delivery, inserted or found. `day` is the day of the delivery, even if the row
/// belongs to the previous day.
struct Row {
    day: NaiveDate,
    dedup_key: Vec<u8>,
    event_id: Uuid,
    outcome: Outcome,
    deliveries: i32,
}

impl Row {
    fn key(&self) -> JournalKey {
        let key = self.dedup_key.as_slice().try_into();
        (DedupKey(key.expect("the row was selected by a key of this length")), self.day)
    }
}

fn journal_key(event: &Event) -> JournalKey {
    (event.dedup_key, event.received_at().day())
}

/// Writes events: inserts new ones, counts duplicates, and updates replayed ones.
pub async fn write(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Vec<Stored>> {
    let replays: Vec<&Event> = events.iter().filter(|event| event.is_replay).collect();
    let mut replayed = replay(db, &replays).await?;
    // A batch may contain one delivery twice: its caller timed out, and it also came from the spool.
    let mut seen = HashSet::with_capacity(events.len());
    let is_delivery: Vec<bool> =
        events.iter().map(|event| !event.is_replay && seen.insert(event.id().0)).collect();
    let deliveries =
        || events.iter().zip(&is_delivery).filter_map(|(event, is)| is.then_some(event));

    let mut delivered: BTreeMap<JournalKey, Delivered<'_>> = BTreeMap::new();
    for event in deliveries() {
        let first = Delivered { event, deliveries: 0 };
        delivered.entry(journal_key(event)).or_insert(first).deliveries += 1;
    }
    let rows = insert_deliveries(db, &delivered).await?;
    // The row has the id of this delivery, but counts more deliveries than the batch contains: an
    // earlier transaction inserted it.
    let was_committed = |event: &Event| {
        let row = &rows[&journal_key(event)];
        row.event_id == event.id().0 && row.deliveries > delivered[&journal_key(event)].deliveries
    };
    let counted_twice: Vec<&Row> = deliveries()
        .filter(|event| was_committed(event))
        .map(|event| &rows[&journal_key(event)])
        .collect();
    decrement_deliveries(db, &counted_twice).await?;

    let stored = events.iter().zip(&is_delivery).map(|(event, is_delivery)| {
        if event.is_replay {
            // No row: its partition was dropped by age.
            let written = replayed.get(&event.id().0).cloned().unwrap_or(Written::AlreadyCommitted);
            // A second replay in the same batch starts from the outcome of the first one.
            let organization_id = event.organization_id.clone();
            let current = PreviousOutcome { outcome: event.outcome, organization_id };
            replayed.entry(event.id().0).and_modify(|known| *known = Written::Replay(current));
            return Stored { event_id: event.id(), outcome: event.outcome, written };
        }
        let row = &rows[&journal_key(event)];
        let written = if !is_delivery || was_committed(event) {
            Written::AlreadyCommitted
        } else if row.event_id == event.id().0 {
            Written::First
        } else {
            Written::Duplicate
        };
        Stored { event_id: EventId(row.event_id), outcome: row.outcome, written }
    });
    Ok(stored.collect())
}

/// Inserts rows for new deliveries and counts duplicates. Returns the row of each key.
async fn insert_deliveries(
    db: &mut PgConnection,
    delivered: &BTreeMap<JournalKey, Delivered<'_>>,
) -> sqlx::Result<HashMap<JournalKey, Row>> {
    let duplicates = count_previous_day(db, delivered).await?;
    let mut rows: HashMap<JournalKey, Row> =
        duplicates.into_iter().map(|row| (row.key(), row)).collect();
    // In key order, so that writers that insert the same keys do not deadlock.
    let new = delivered.iter().filter(|(key, _)| !rows.contains_key(key));
    let new: Vec<Delivered<'_>> = new.map(|(_, delivered)| *delivered).collect();
    let written = insert_or_count(db, &new).await?;
    rows.extend(written.into_iter().map(|row| (row.key(), row)));
    Ok(rows)
}

/// Counts duplicates of events of the previous day, for deliveries soon after midnight.
async fn count_previous_day(
    db: &mut PgConnection,
    delivered: &BTreeMap<JournalKey, Delivered<'_>>,
) -> sqlx::Result<Vec<Row>> {
    let is_after_midnight = |new: &&Delivered<'_>| {
        let time = new.event.received_at().0;
        time.num_seconds_from_midnight() < PREVIOUS_DAY_SECONDS
    };
    let delivered: Vec<_> = delivered.values().filter(is_after_midnight).collect();
    if delivered.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        Row,
        r#"
            update event
            set deliveries = event.deliveries + new.deliveries
            from unnest($1::date[], $2::bytea[], $3::int[]) as new (day, dedup_key, deliveries)
            where event.day = new.day - 1 and event.dedup_key = new.dedup_key
            returning
                new.day as "day!", event.dedup_key, event_id, outcome as "outcome: Outcome",
                event.deliveries
        "#,
        &column(&delivered, |new| new.event.received_at().day()),
        &column(&delivered, |new| &new.event.dedup_key.0[..]) as _,
        &column(&delivered, |new| new.deliveries),
    )
    .fetch_all(db)
    .await
}

/// Inserts rows, or adds to the count of an existing row. Returns the inserted and updated rows.
async fn insert_or_count(db: &mut PgConnection, new: &[Delivered<'_>]) -> sqlx::Result<Vec<Row>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let bodies = column(new, |row| CompressedBody::new(&row.event.webhook.body));
    sqlx::query_as!(
        Row,
        r#"
            insert into event (
                day, event_id, received_at, endpoint, kind, name, organization_id, subject_id,
                outcome, reasons, dedup_key, deliveries, body, dictionary, body_bytes, parser_version,
                request_id
            )
            select
                unnest($1::date[]), unnest($2::uuid[]), unnest($3::timestamptz[]),
                unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
                unnest($7::text[]), unnest($8::text[]), unnest($9::text[]),
                string_to_array(unnest($10::text[]), e'\n'), unnest($11::bytea[]),
                unnest($12::int[]), unnest($13::bytea[]), unnest($14::smallint[]),
                unnest($15::int[]), $16, unnest($17::text[])
            on conflict (dedup_key, day) do update
                set deliveries = event.deliveries + excluded.deliveries
            returning day, dedup_key, event_id, outcome as "outcome: Outcome", deliveries
        "#,
        &column(new, |row| row.event.received_at().day()),
        &column(new, |row| row.event.id().0),
        &column(new, |row| row.event.received_at()) as _,
        &column(new, |row| &*row.event.webhook.endpoint) as _,
        &column(new, |row| row.event.kind.map(Kind::as_str)) as _,
        &column(new, |row| row.event.name.as_deref()) as _,
        &column(new, |row| row.event.organization_id.as_str()) as _,
        &column(new, |row| row.event.subject_id.as_deref()) as _,
        &column(new, |row| row.event.outcome.as_str()) as _,
        // Joined, because `unnest` flattens an array of arrays. Reasons contain no line break.
        &column(new, |row| row.event.reasons.join("\n")),
        &column(new, |row| &row.event.dedup_key.0[..]) as _,
        &column(new, |row| row.deliveries),
        &column(&bodies, |body| &body.bytes[..]) as _,
        &column(&bodies, |body| body.dictionary),
        &column(&bodies, |body| body.length),
        PARSER_VERSION,
        &column(new, |row| row.event.webhook.request_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}

/// Decrements `deliveries` of rows that counted one delivery twice.
async fn decrement_deliveries(db: &mut PgConnection, rows: &[&Row]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
            update event
            set deliveries = event.deliveries - 1
            from unnest($1::date[], $2::uuid[]) as counted (day, event_id)
            where event.day = counted.day and event.event_id = counted.event_id
        "#,
        &column(rows, |row| row.day),
        &column(rows, |row| row.event_id),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Updates rows with the results of replays. Returns the previous outcome by event id.
async fn replay(db: &mut PgConnection, events: &[&Event]) -> sqlx::Result<HashMap<Uuid, Written>> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"
            with new as (
                select * from unnest(
                    $1::date[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::text[]
                ) as new (
                    day, event_id, kind, name, organization_id, subject_id, outcome, reasons
                )
            ), old as (
                -- Locked, so that two replays of one event do not both read the first outcome.
                select event.day, event.event_id, event.outcome, event.organization_id
                from event
                join new on new.day = event.day and new.event_id = event.event_id
                order by event.day, event.event_id
                for update of event
            )
            update event set
                kind = new.kind,
                name = new.name,
                organization_id = new.organization_id,
                subject_id = new.subject_id,
                outcome = new.outcome,
                reasons = string_to_array(new.reasons, e'\n'),
                parser_version = $9
            from new
            join old using (day, event_id)
            where event.day = old.day and event.event_id = old.event_id
            returning
                event.event_id, old.outcome as "outcome: Outcome",
                old.organization_id
        "#,
        &column(events, |event| event.received_at().day()),
        &column(events, |event| event.id().0),
        &column(events, |event| event.kind.map(Kind::as_str)) as _,
        &column(events, |event| event.name.as_deref()) as _,
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
