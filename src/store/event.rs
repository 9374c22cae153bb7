//! Table `event`, the journal.

use std::collections::{BTreeMap, HashMap};

use chrono::{NaiveDate, Timelike};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::column;
use crate::event::{DedupKey, Event, EventId, Kind, Outcome, PARSER_VERSION};
use crate::model::Timestamp;

/// What the journal says of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Id of its row, which may be an earlier delivery's.
    pub event_id: EventId,
    /// Outcome of that row.
    pub outcome: Outcome,
    /// Whether the row was there before, or belongs to an earlier event of the batch.
    pub duplicate: bool,
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
type Place = (DedupKey, NaiveDate);

/// The row of a delivery, new or not; under the day of the delivery.
struct Row {
    day: NaiveDate,
    dedup_key: Vec<u8>,
    event_id: Uuid,
    outcome: Outcome,
}

impl Row {
    fn place(&self) -> Place {
        let key = self.dedup_key.as_slice().try_into();
        (DedupKey(key.expect("the column holds SHA-256 only")), self.day)
    }
}

fn place(event: &Event) -> Place {
    (event.dedup_key, event.received_at().day())
}

/// Inserts the events that are not known yet and counts the others.
pub async fn insert(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Vec<Stored>> {
    let mut news: BTreeMap<Place, Delivered<'_>> = BTreeMap::new();
    for event in events {
        let first = Delivered { event, deliveries: 0 };
        news.entry(place(event)).or_insert(first).deliveries += 1;
    }
    let mut rows = HashMap::with_capacity(news.len());
    for row in count_repeats(db, &news).await? {
        news.remove(&row.place());
        rows.insert(row.place(), row);
    }
    // In the order of the keys, so that writers that insert the same ones do not deadlock.
    let news: Vec<Delivered<'_>> = news.into_values().collect();
    rows.extend(insert_or_count(db, &news).await?.into_iter().map(|row| (row.place(), row)));
    let stored = events.iter().map(|event| {
        let row = &rows[&place(event)];
        // A row with our id is the one that we inserted.
        let duplicate = row.event_id != event.id().0;
        Stored { event_id: EventId(row.event_id), outcome: row.outcome, duplicate }
    });
    Ok(stored.collect())
}

/// Counts deliveries of soon after midnight that came the day before already.
async fn count_repeats(
    db: &mut PgConnection,
    news: &BTreeMap<Place, Delivered<'_>>,
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
            returning new.day as "day!", event.dedup_key, event_id, outcome as "outcome: Outcome"
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
    sqlx::query_as!(
        Row,
        r#"
            insert into event (
                day, event_id, received_at, endpoint, kind, name, organization_id, subject_id,
                outcome, reasons, dedup_key, deliveries, body, parser_version, request_id
            )
            select
                day, event_id, received_at, endpoint, kind, name, organization_id, subject_id,
                outcome, string_to_array(reasons, e'\n'), dedup_key, deliveries, body, $14,
                request_id
            from unnest(
                $1::date[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::int[],
                $13::bytea[], $15::text[]
            ) as new (
                day, event_id, received_at, endpoint, kind, name, organization_id, subject_id,
                outcome, reasons, dedup_key, deliveries, body, request_id
            )
            on conflict (dedup_key, day) do update
                set deliveries = event.deliveries + excluded.deliveries
            returning day, dedup_key, event_id, outcome as "outcome: Outcome"
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
        &column(news, |new| &new.event.webhook.body[..]) as _,
        PARSER_VERSION,
        &column(news, |new| new.event.webhook.request_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}

/// An event as the API shows it.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of table event say it")]
pub struct EventRow {
    pub event_id: Uuid,
    pub received_at: Timestamp,
    pub endpoint: String,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub organization_id: Option<String>,
    pub subject_id: Option<String>,
    pub outcome: String,
    pub reasons: Vec<String>,
    pub deliveries: i32,
    pub body_bytes: i32,
    pub parser_version: i16,
    pub request_id: String,
}

/// Which events to list.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns of table event say it")]
pub struct Filter<'a> {
    pub kind: Option<&'a str>,
    pub outcome: Option<&'a str>,
    pub subject_id: Option<&'a str>,
}

/// Lists events from `from` on, newest first; towards newer ones if `backward`, then the oldest
/// of these first. `organizations` of `None` sees all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter<'_>,
    from: Option<EventId>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<EventRow>> {
    let day = from.and_then(EventId::received_at).map(Timestamp::day);
    let from = from.map(|id| id.0);
    // The two branches are one list walked both ways; only one of them is run.
    sqlx::query_as!(
        EventRow,
        r#"
            select * from (
                select
                    event_id as "event_id!", received_at as "received_at!",
                    endpoint as "endpoint!", kind, name,
                    nullif(organization_id, '') as organization_id, subject_id,
                    outcome as "outcome!", reasons as "reasons!", deliveries as "deliveries!",
                    length(body) as "body_bytes!", parser_version as "parser_version!",
                    request_id as "request_id!"
                from event
                where not $6
                    and ($4::uuid is null or (day, event_id) < ($5::date, $4))
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or kind = $2)
                    and ($3::text is null or outcome = $3)
                    and ($8::text is null or subject_id = $8)
                order by day desc, event_id desc
                limit $7
            ) as older
            union all
            select * from (
                select
                    event_id, received_at, endpoint, kind, name,
                    nullif(organization_id, '') as organization_id, subject_id, outcome, reasons,
                    deliveries, length(body), parser_version, request_id
                from event
                where $6
                    and ($4::uuid is null or (day, event_id) > ($5::date, $4))
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or kind = $2)
                    and ($3::text is null or outcome = $3)
                    and ($8::text is null or subject_id = $8)
                order by day, event_id
                limit $7
            ) as newer
        "#,
        organizations,
        filter.kind,
        filter.outcome,
        from,
        day,
        backward,
        limit,
        filter.subject_id,
    )
    .fetch_all(db)
    .await
}

/// One event.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<EventRow>> {
    let Some(received_at) = id.received_at() else {
        return Ok(None);
    };
    sqlx::query_as!(
        EventRow,
        r#"
            select
                event_id, received_at, endpoint, kind, name,
                nullif(organization_id, '') as organization_id, subject_id, outcome, reasons,
                deliveries, length(body) as "body_bytes!", parser_version, request_id
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization_id = any($3))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// The bytes of one event, and what became of it.
pub async fn find_body(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<(Vec<u8>, Outcome)>> {
    let Some(received_at) = id.received_at() else {
        return Ok(None);
    };
    let row = sqlx::query!(
        r#"
            select body, outcome as "outcome: Outcome"
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization_id = any($3))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.body, row.outcome)))
}
