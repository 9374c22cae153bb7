//! Table `event`, the journal: what is written to it.

mod body;
mod read;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{NaiveDate, Timelike};
use sqlx::PgConnection;
use uuid::Uuid;

use self::body::CompressedBody;
pub use self::read::{
    EventRow, Filter, Place, Selection, find, find_body, find_webhook, list, select,
};
use super::rows::column;
use crate::event::{DedupKey, Event, Kind, Outcome, PARSER_VERSION};
use crate::model::EventId;

/// What the journal says of an event that was written.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Id of its row, which may be an earlier delivery's.
    pub event_id: EventId,
    /// Outcome of that row.
    pub outcome: Outcome,
    /// What was written.
    pub written: Written,
}

impl Stored {
    /// Whether it is applied, and was not before.
    pub fn is_newly_applied(&self) -> bool {
        self.outcome == Outcome::Applied
            && match &self.written {
                Written::First => true,
                Written::Replay(before) => before.outcome != Outcome::Applied,
                Written::Duplicate | Written::AlreadyCommitted => false,
            }
    }
}

/// What writing an event meant to the journal.
#[derive(Clone, Debug)]
pub enum Written {
    /// A first delivery: it has a row now.
    First,
    /// The same bytes were there, or came earlier in the batch: its row counts one delivery more.
    Duplicate,
    /// Nothing: an earlier try to write this delivery was committed, but nobody learned of it.
    AlreadyCommitted,
    /// A new reading of a row that was there.
    Replay(PreviousOutcome),
}

/// What a row said before it was read again.
#[derive(Clone, Debug)]
pub struct PreviousOutcome {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its organisation.
    pub organization_id: String,
}

impl Written {
    /// Whether the event's changes are to be written as well.
    pub const fn is_news(&self) -> bool {
        matches!(self, Self::First | Self::Replay(_))
    }
}

/// How long after midnight the day before is asked as well, in seconds: a sender that tries again
/// does so soon, and the unique index knows one day only.
const REPEATS_AFTER_MIDNIGHT: u32 = 3600;

/// The same bytes within a batch: its first event, and how many there are.
#[derive(Clone, Copy)]
struct Delivered<'a> {
    event: &'a Event,
    deliveries: i32,
}

/// Where a delivery's row is: what the unique index is about.
type JournalKey = (DedupKey, NaiveDate);

/// The row of a delivery, new or not; under the day of the delivery.
struct Row {
    day: NaiveDate,
    dedup_key: Vec<u8>,
    event_id: Uuid,
    outcome: Outcome,
    deliveries: i32,
}

impl Row {
    fn place(&self) -> JournalKey {
        let key = self.dedup_key.as_slice().try_into();
        (DedupKey(key.expect("the row was found by such a key")), self.day)
    }
}

fn place(event: &Event) -> JournalKey {
    (event.dedup_key, event.received_at().day())
}

/// Writes events: new rows for those not known yet, counts for the others, and new readings for
/// those that are replayed.
pub async fn write(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Vec<Stored>> {
    let replays: Vec<&Event> = events.iter().filter(|event| event.is_replay).collect();
    let mut replayed = replay(db, &replays).await?;
    // One delivery may come twice: from a caller who gave up waiting, and from the spool.
    let mut seen = HashSet::with_capacity(events.len());
    let is_news: Vec<bool> =
        events.iter().map(|event| !event.is_replay && seen.insert(event.id().0)).collect();
    let news = || events.iter().zip(&is_news).filter_map(|(event, is)| is.then_some(event));

    let mut delivered: BTreeMap<JournalKey, Delivered<'_>> = BTreeMap::new();
    for event in news() {
        let first = Delivered { event, deliveries: 0 };
        delivered.entry(place(event)).or_insert(first).deliveries += 1;
    }
    let rows = deliver(db, &delivered).await?;
    // It may also have come before, and nobody learned that it was committed.
    let was_there = |event: &Event| {
        let row = &rows[&place(event)];
        row.event_id == event.id().0 && row.deliveries > delivered[&place(event)].deliveries
    };
    let counted_twice: Vec<&Row> =
        news().filter(|event| was_there(event)).map(|event| &rows[&place(event)]).collect();
    uncount(db, &counted_twice).await?;

    let stored = events.iter().zip(&is_news).map(|(event, is_news)| {
        if event.is_replay {
            // A row that is gone had grown old and was dropped.
            let written = replayed.get(&event.id().0).cloned().unwrap_or(Written::AlreadyCommitted);
            // A second replay in the same batch finds what the first one left.
            let organization_id = event.organization_id.clone();
            let after = PreviousOutcome { outcome: event.outcome, organization_id };
            replayed.entry(event.id().0).and_modify(|known| *known = Written::Replay(after));
            return Stored { event_id: event.id(), outcome: event.outcome, written };
        }
        let row = &rows[&place(event)];
        let written = if !is_news || was_there(event) {
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

/// Inserts what is not known yet and counts the others.
async fn deliver(
    db: &mut PgConnection,
    delivered: &BTreeMap<JournalKey, Delivered<'_>>,
) -> sqlx::Result<HashMap<JournalKey, Row>> {
    let repeats = count_repeats(db, delivered).await?;
    let mut rows: HashMap<JournalKey, Row> =
        repeats.into_iter().map(|row| (row.place(), row)).collect();
    // In the order of the keys, so that writers that insert the same ones do not deadlock.
    let news = delivered.iter().filter(|(place, _)| !rows.contains_key(place));
    let news: Vec<Delivered<'_>> = news.map(|(_, new)| *new).collect();
    let written = insert_or_count(db, &news).await?;
    rows.extend(written.into_iter().map(|row| (row.place(), row)));
    Ok(rows)
}

/// Counts deliveries of soon after midnight that came the day before already.
async fn count_repeats(
    db: &mut PgConnection,
    news: &BTreeMap<JournalKey, Delivered<'_>>,
) -> sqlx::Result<Vec<Row>> {
    let is_soon = |new: &&Delivered<'_>| {
        let time = new.event.received_at().0;
        time.num_seconds_from_midnight() < REPEATS_AFTER_MIDNIGHT
    };
    let news: Vec<_> = news.values().filter(is_soon).collect();
    if news.is_empty() {
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
        &column(&news, |new| new.event.received_at().day()),
        &column(&news, |new| &new.event.dedup_key.0[..]) as _,
        &column(&news, |new| new.deliveries),
    )
    .fetch_all(db)
    .await
}

/// Inserts rows; where one is there already, counts. The rows that are there then.
async fn insert_or_count(db: &mut PgConnection, news: &[Delivered<'_>]) -> sqlx::Result<Vec<Row>> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let bodies = column(news, |new| CompressedBody::new(&new.event.webhook.body));
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
        &column(news, |new| new.event.received_at().day()),
        &column(news, |new| new.event.id().0),
        &column(news, |new| new.event.received_at()) as _,
        &column(news, |new| &*new.event.webhook.endpoint) as _,
        &column(news, |new| new.event.kind.map(Kind::as_str)) as _,
        &column(news, |new| new.event.name.as_deref()) as _,
        &column(news, |new| new.event.organization_id.as_str()) as _,
        &column(news, |new| new.event.subject_id.as_deref()) as _,
        &column(news, |new| new.event.outcome.as_str()) as _,
        // Reasons are ours and hold no line break; an array of arrays would be flattened.
        &column(news, |new| new.event.reasons.join("\n")),
        &column(news, |new| &new.event.dedup_key.0[..]) as _,
        &column(news, |new| new.deliveries),
        &column(&bodies, |body| &body.bytes[..]) as _,
        &column(&bodies, |body| body.dictionary),
        &column(&bodies, |body| body.length),
        PARSER_VERSION,
        &column(news, |new| new.event.webhook.request_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}

/// Takes back one delivery from each of these rows: it had been counted before.
async fn uncount(db: &mut PgConnection, rows: &[&Row]) -> sqlx::Result<()> {
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

/// Gives rows the reading of these events, and says of each row by its id what it said before.
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
                -- Locked, for two replays of one event must not both find the first outcome.
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
    let before = rows.into_iter().map(|row| {
        let (outcome, organization_id) = (row.outcome, row.organization_id);
        (row.event_id, Written::Replay(PreviousOutcome { outcome, organization_id }))
    });
    Ok(before.collect())
}
