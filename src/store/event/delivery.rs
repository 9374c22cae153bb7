//! What the journal does with the deliveries of a batch: which are the first of their event.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{Days, NaiveDate, TimeDelta, Timelike, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::body::CompressedBody;
use super::{Stored, Written};
use crate::event::{DedupKey, Event, Outcome};
use crate::model::{EventId, Timestamp};

/// Time after midnight in which deliveries repeat events of the previous day: the unique index covers
/// one day, and senders retry soon.
const AFTER_MIDNIGHT_SECONDS: u32 = 3600;

/// A row to insert: the first delivery of an event, and the number of its deliveries in the batch.
#[derive(Clone)]
pub struct JournalRow<'a> {
    /// First delivery.
    pub event: &'a Event,
    /// Deliveries of the event in the batch.
    pub deliveries: i32,
    /// Body as stored.
    pub body: CompressedBody,
}

/// Further deliveries of an event that an earlier transaction stored.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// Day of the row.
    pub day: NaiveDate,
    /// Id of the row.
    pub event_id: Uuid,
    /// Deliveries in the batch that are not counted yet.
    pub deliveries: i32,
}

/// Deliveries of a batch.
pub struct Deliveries<'a> {
    /// Rows to insert, sorted by key so that writers that insert the same keys do not deadlock.
    pub rows: Vec<JournalRow<'a>>,
    /// Rows whose deliveries are counted, sorted by key.
    pub repeats: Vec<Repeat>,
    /// What becomes of each event of the batch; `None` for replays.
    pub stored: Vec<Option<Stored>>,
}

impl<'a> Deliveries<'a> {
    /// Sorts the deliveries of a batch. `known` are events that earlier transactions stored.
    pub fn of(events: &'a [Event], known: &Known) -> Self {
        let mut first: HashMap<(DedupKey, NaiveDate), &'a Event> = HashMap::new();
        let mut new: BTreeMap<(NaiveDate, DedupKey), (&'a Event, i32)> = BTreeMap::new();
        let mut repeats: BTreeMap<(NaiveDate, Uuid), i32> = BTreeMap::new();
        // A batch may contain one delivery twice: its caller timed out, and it also came from the
        // spool.
        let mut seen = HashSet::with_capacity(events.len());
        let stored = events.iter().map(|event| {
            if event.is_replay {
                return None;
            }
            let is_again = !seen.insert(event.id().0);
            if let Some(row) = known.find(event) {
                let is_committed = is_again || row.event_id == event.id().0;
                if !is_committed {
                    *repeats.entry((row.day, row.event_id)).or_default() += 1;
                }
                let written =
                    if is_committed { Written::AlreadyCommitted } else { Written::Duplicate };
                let event_id = EventId(row.event_id);
                return Some(Stored { event_id, outcome: row.outcome, written });
            }
            let original = days(event.received_at()).find_map(|day| {
                let original = *first.get(&(event.dedup_key, day))?;
                is_same(event.received_at(), original.received_at()).then_some(original)
            });
            let original = original.unwrap_or(event);
            let key = (original.received_at().day(), original.dedup_key);
            if let Entry::Vacant(entry) = first.entry((event.dedup_key, key.0)) {
                entry.insert(event);
            }
            new.entry(key).or_insert((original, 0)).1 += i32::from(!is_again);
            let written = if is_again {
                Written::AlreadyCommitted
            } else if original.id() == event.id() {
                Written::First
            } else {
                Written::Duplicate
            };
            Some(Stored { event_id: original.id(), outcome: original.outcome, written })
        });
        let stored = stored.collect();
        let rows = new.into_values().map(|(event, deliveries)| {
            let body = CompressedBody::new(&event.webhook.body);
            JournalRow { event, deliveries, body }
        });
        let repeats = repeats.into_iter();
        let repeats =
            repeats.map(|((day, event_id), deliveries)| Repeat { day, event_id, deliveries });
        Self { rows: rows.collect(), repeats: repeats.collect(), stored }
    }
}

/// Days of the rows that a delivery may repeat.
fn days(received_at: Timestamp) -> impl Iterator<Item = NaiveDate> {
    let day = received_at.day();
    [day, day - Days::new(1), day + Days::new(1)].into_iter()
}

/// Whether equal bodies that were received at these times are one event: on the same day, or within
/// the hour after midnight.
fn is_same(one: Timestamp, other: Timestamp) -> bool {
    let (earlier, later) = (one.min(other), one.max(other));
    earlier.day() == later.day()
        || earlier.day() + Days::new(1) == later.day()
            && later.0.num_seconds_from_midnight() < AFTER_MIDNIGHT_SECONDS
}

/// Events of a batch that earlier transactions stored.
#[derive(Debug, Default)]
pub struct Known {
    by_key: HashMap<(DedupKey, NaiveDate), KnownRow>,
    /// Rows of damaged webhooks: their bodies, and so their keys, may have been stored whole before.
    of_damaged: HashMap<Uuid, KnownRow>,
}

#[derive(Debug)]
struct KnownRow {
    day: NaiveDate,
    event_id: Uuid,
    outcome: Outcome,
    received_at: Timestamp,
}

impl Known {
    /// Looks for the rows that events may repeat and the unique index does not find, which are those of
    /// another day. Nearly always there can be none, and this does not query: a statement that can read
    /// all partitions of the journal takes 4 µs for each of them.
    pub async fn of_other_days(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Self> {
        // Rows of the next day exist from midnight on, by a clock that may be ahead of this one.
        let today = Timestamp(Utc::now() + TimeDelta::minutes(5)).day();
        let may_have_rows = |event: &Event| {
            let seconds = event.received_at().0.num_seconds_from_midnight();
            seconds < AFTER_MIDNIGHT_SECONDS || event.received_at().day() < today
        };
        if events.iter().any(may_have_rows) {
            Self::list(db, events).await
        } else {
            Ok(Self::default())
        }
    }

    /// Looks for the rows of these events.
    pub async fn list(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Self> {
        let keys: Vec<&[u8]> = events.iter().map(|event| &event.dedup_key.0[..]).collect();
        let mut all_days: Vec<NaiveDate> =
            events.iter().flat_map(|event| days(event.received_at())).collect();
        all_days.sort_unstable();
        all_days.dedup();
        let rows = sqlx::query!(
            r#"
                select
                    day, dedup_key, event_id, outcome as "outcome: Outcome",
                    received_at as "received_at: Timestamp"
                from event
                where day = any($1) and dedup_key = any($2)
            "#,
            &all_days,
            &keys as _,
        )
        .fetch_all(&mut *db)
        .await?;
        let rows = rows.into_iter().map(|row| {
            let key = row.dedup_key.as_slice().try_into();
            let key = DedupKey(key.expect("the row was selected by a key of this length"));
            let (event_id, outcome, received_at) = (row.event_id, row.outcome, row.received_at);
            ((key, row.day), KnownRow { day: row.day, event_id, outcome, received_at })
        });
        let by_key = rows.collect();
        let damaged: Vec<Uuid> = events
            .iter()
            .filter(|event| event.webhook.is_damaged)
            .map(|event| event.id().0)
            .collect();
        let of_damaged = match damaged[..] {
            [] => HashMap::new(),
            _ => Self::list_by_id(db, &all_days, &damaged).await?,
        };
        Ok(Self { by_key, of_damaged })
    }

    async fn list_by_id(
        db: &mut PgConnection,
        days: &[NaiveDate],
        ids: &[Uuid],
    ) -> sqlx::Result<HashMap<Uuid, KnownRow>> {
        let rows = sqlx::query!(
            r#"
                select
                    day, event_id, outcome as "outcome: Outcome",
                    received_at as "received_at: Timestamp"
                from event
                where day = any($1) and event_id = any($2)
            "#,
            days,
            ids,
        )
        .fetch_all(db)
        .await?;
        let rows = rows.into_iter().map(|row| {
            let (day, event_id) = (row.day, row.event_id);
            let (outcome, received_at) = (row.outcome, row.received_at);
            (event_id, KnownRow { day, event_id, outcome, received_at })
        });
        Ok(rows.collect())
    }

    /// The row of an event, its own one if there are several.
    fn find(&self, event: &Event) -> Option<&KnownRow> {
        let rows = || {
            let rows = days(event.received_at());
            rows.filter_map(|day| self.by_key.get(&(event.dedup_key, day)))
        };
        self.of_damaged
            .get(&event.id().0)
            .or_else(|| rows().find(|row| row.event_id == event.id().0))
            .or_else(|| rows().find(|row| is_same(event.received_at(), row.received_at)))
    }
}
