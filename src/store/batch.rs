//! Table `batch`: ids of applied events, in a stable order for the event stream.
//!
//! Event ids are not in commit order: they are created on arrival, and a spooled event is committed
//! hours later. Transaction ids are not in commit order either, but all transactions below
//! `pg_snapshot_xmin` have ended. So a reader that stops there never misses a row.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rows::column;
use crate::event::Kind;
use crate::model::{EventId, Timestamp};

/// What transaction ids belong to: after a failover the new primary may assign ids again that the old
/// one had used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct History {
    /// System identifier of the cluster.
    system: i64,
    /// Timeline, which changes with each promotion and each recovery to a point in time.
    timeline: i32,
}

/// A position in the stream: after the event with this index (from 1) in the batch of transaction
/// `xid`, and after all batches with smaller transaction ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    history: History,
    xid: i64,
    index: i32,
}

impl Position {
    /// Regular expression of the text form.
    pub const PATTERN: &str =
        r"^(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,8})$";

    /// Whether the database, which is at `now`, has never had this position: it is another server, or
    /// lost its last transactions.
    pub fn is_beyond(self, now: Self) -> bool {
        self.history != now.history || self.xid > now.xid
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { history: History { system, timeline }, xid, index } = self;
        write!(f, "{system}-{timeline}.{xid}.{index}")
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (history, position) = text.split_once('.').ok_or(())?;
        let (system, timeline) = history.split_once('-').ok_or(())?;
        let (xid, index) = position.split_once('.').ok_or(())?;
        let position = Self {
            history: History {
                system: system.parse().map_err(drop)?,
                timeline: timeline.parse().map_err(drop)?,
            },
            xid: xid.parse().map_err(drop)?,
            index: index.parse().map_err(drop)?,
        };
        // Only the canonical form, so that a position has one text.
        let is_canonical = !text.replacen('-', "", 1).contains('-') && position.to_string() == text;
        is_canonical.then_some(position).ok_or(())
    }
}

/// An applied event as the stream shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Applied)]
pub struct AppliedRow {
    /// Position in the stream, sent as the `id` of the server-sent event.
    #[serde(skip)]
    pub position: Position,
    /// Id of the event in the journal.
    pub event_id: Uuid,
    /// Time the webhook was received by this service.
    pub received_at: Timestamp,
    /// Kind of the event: `receive_message_from_customer`, …, `room_updated`.
    #[schema(value_type = Kind)]
    pub kind: String,
    /// Name of the event as sent by Qontak; null if the body had none.
    pub name: Option<String>,
    /// Organisation of the event; null when unknown.
    pub organization_id: Option<String>,
    /// Id of the message, room or broadcast log that the event is about.
    pub subject_id: Option<String>,
    /// Id of the room; null for broadcast logs.
    pub room_id: Option<String>,
    /// Id of the broadcast; null if the event belongs to none.
    pub broadcast_id: Option<String>,
}

/// Returns the position before which no new rows can appear.
pub async fn end(db: &PgPool) -> sqlx::Result<Position> {
    let row = sqlx::query!(
        r#"
            select
                pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xid!",
                system_identifier as "system!",
                -- The timeline of the last checkpoint is an old one for a while after a promotion.
                ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
                    as "timeline!"
            from pg_control_system()
        "#
    )
    .fetch_one(db)
    .await?;
    let history = History { system: row.system, timeline: row.timeline };
    Ok(Position { history, xid: row.xid, index: 0 })
}

/// Whether a client can resume after this position: it is one of this database, and no later row
/// has been deleted.
pub async fn is_known(db: &PgPool, position: Position) -> sqlx::Result<bool> {
    if position.is_beyond(end(db).await?) {
        return Ok(false);
    }
    sqlx::query_scalar!(
        r#"select exists (select from batch where xid <= $1::text::xid8) as "is_known!""#,
        position.xid.to_string(),
    )
    .fetch_one(db)
    .await
}

/// What keeps the stream from showing committed events.
#[derive(Debug)]
pub struct Blocker {
    /// Seconds since the first event that is not shown was committed.
    pub lag_seconds: f64,
    /// `application_name` of the session with the oldest open transaction that has written; null if
    /// it cannot be seen.
    pub application: Option<String>,
    /// Its process id.
    pub pid: Option<i32>,
    /// Seconds since it began.
    pub transaction_seconds: Option<f64>,
}

/// Finds out why committed events after `end` are not shown yet; `None` if there are none.
pub async fn blocker(db: &PgPool, end: Position) -> sqlx::Result<Option<Blocker>> {
    sqlx::query_as!(
        Blocker,
        r#"
            select
                extract(epoch from clock_timestamp() - batch.at)::float8 as "lag_seconds!",
                application_name as "application?", pid as "pid?",
                extract(epoch from clock_timestamp() - xact_start)::float8
                    as "transaction_seconds?"
            from (select at from batch where xid >= $1::text::xid8 order by xid limit 1) as batch
            left join (
                select * from pg_stat_activity
                where backend_xid is not null
                order by age(backend_xid) desc
                limit 1
            ) as oldest on true
        "#,
        end.xid.to_string(),
    )
    .fetch_optional(db)
    .await
}

/// Limits of a page.
const PAGE_BATCHES: usize = 100;
const PAGE_EVENTS: usize = 500;

/// A page of applied events.
#[derive(Debug)]
pub struct Page {
    /// Events in stream order.
    pub rows: Vec<AppliedRow>,
    /// Position after the last event: the page is complete up to here.
    pub end: Position,
    /// Whether the limits of a page cut it short.
    pub has_more: bool,
    /// Whether the database no longer has the position after which it was to begin: transaction ids
    /// went back. Then it has no rows.
    pub is_rewound: bool,
}

/// Lists the events applied after `after`.
pub async fn page(db: &PgPool, after: Position) -> sqlx::Result<Page> {
    let end = end(db).await?;
    let mut page = Page { rows: Vec::new(), end, has_more: false, is_rewound: false };
    if after.is_beyond(end) {
        return Ok(Page { is_rewound: true, ..page });
    }
    if end <= after {
        return Ok(Page { end: after, ..page });
    }
    let batches = batches(db, after, end).await?;
    let history = end.history;
    if let Some((last, _)) = batches.get(PAGE_BATCHES - 1) {
        let end = Position { history, xid: last + 1, index: 0 };
        page = Page { end, has_more: true, ..page };
    }
    let events = batches.into_iter().flat_map(|(xid, event_ids)| {
        let position = move |index| Position { history, xid, index };
        (1..).map(position).zip(event_ids)
    });
    let events = events.filter(|(position, _)| *position > after);
    let mut events: Vec<(Position, Uuid)> = events.take(PAGE_EVENTS + 1).collect();
    if events.len() > PAGE_EVENTS {
        events.truncate(PAGE_EVENTS);
        page = Page { end: events[PAGE_EVENTS - 1].0, has_more: true, ..page };
    }
    page.rows = rows(db, history, &events).await?;
    Ok(page)
}

/// Applied events, by id.
#[derive(Debug)]
pub struct Ids {
    /// In the order of the stream.
    pub ids: Vec<Uuid>,
    /// Complete up to here.
    pub end: Position,
}

/// Lists the ids of the events applied after `after`. `None` if the database has no such position.
pub async fn ids(db: &PgPool, after: Position) -> sqlx::Result<Option<Ids>> {
    let end = end(db).await?;
    if after.is_beyond(end) {
        return Ok(None);
    }
    let batches = batches(db, after, end).await?;
    let xid = batches.get(PAGE_BATCHES - 1).map_or(end.xid, |(xid, _)| xid + 1);
    let ids = batches.into_iter().flat_map(|(_, event_ids)| event_ids).collect();
    Ok(Some(Ids { ids, end: Position { xid, ..end } }))
}

/// The first batches from `after` until `end`: transaction id and events.
async fn batches(
    db: &PgPool,
    after: Position,
    end: Position,
) -> sqlx::Result<Vec<(i64, Vec<Uuid>)>> {
    let batches = sqlx::query!(
        r#"
            select xid::text::bigint as "xid!", event_ids
            from batch
            where xid >= $1::text::xid8 and xid < $2::text::xid8
            order by xid
            limit $3
        "#,
        after.xid.to_string(),
        end.xid.to_string(),
        PAGE_BATCHES as i64,
    )
    .fetch_all(db)
    .await?;
    Ok(batches.into_iter().map(|batch| (batch.xid, batch.event_ids)).collect())
}

/// Fetches the rows of these events. Events no longer in the journal are omitted.
async fn rows(
    db: &PgPool,
    history: History,
    events: &[(Position, Uuid)],
) -> sqlx::Result<Vec<AppliedRow>> {
    let day = |id| EventId(id).received_at().map(Timestamp::day).unwrap_or_default();
    let days: Vec<NaiveDate> = column(events, |(_, id)| day(*id));
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query!(
        r#"
            select
                source.xid as "xid!", source.place as "place!", event.event_id as "event_id!",
                event.received_at as "received_at!: Timestamp", kind::text as "kind!",
                name_sent(event.name, kind) as name,
                nullif(
                    (select organization_id from organization where number = event.organization), ''
                ) as organization_id,
                subject_id,
                case when kind::text ~ '^(room|agent|custom_agent)_' then subject_id else message.room_id end as room_id,
                coalesce(broadcast_log.broadcast_id, message.broadcast_id) as broadcast_id
            from unnest($1::bigint[], $2::int[], $3::date[], $4::uuid[])
                as source (xid, place, day, event_id)
            -- `limit 1` forces index lookups; else the planner may scan a small day.
            cross join lateral (
                select *
                from event
                where event.day = source.day
                    and event.event_id = source.event_id
                    -- Lets the planner exclude partitions.
                    and event.day between $5 and $6
                limit 1
            ) as event
            left join message
                on kind in (
                    'receive_message_from_customer', 'receive_message_from_agent', 'status_message'
                )
                and message.message_id = subject_id
                and message.organization = event.organization
            left join broadcast_log
                on kind = 'broadcast_log_status'
                and broadcast_log.log_id = subject_id
                and broadcast_log.organization = event.organization
            where kind is not null
            order by source.xid, source.place
        "#,
        &column(events, |(position, _)| position.xid),
        &column(events, |(position, _)| position.index),
        &days,
        &column(events, |(_, id)| *id),
        first,
        last,
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| AppliedRow {
        position: Position { history, xid: row.xid, index: row.place },
        event_id: row.event_id,
        received_at: row.received_at,
        kind: row.kind,
        name: row.name,
        organization_id: row.organization_id,
        subject_id: row.subject_id,
        room_id: row.room_id,
        broadcast_id: row.broadcast_id,
    });
    Ok(rows.collect())
}

/// Deletes batches with transaction ids that this server has not reached yet: they come from a
/// backup of another server that was restored here.
pub async fn delete_future(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("delete from batch where xid >= pg_snapshot_xmax(pg_current_snapshot())")
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes batches older than `keep`, except the newest of them: it shows how far back the remaining
/// batches reach.
pub async fn delete_expired(db: &PgPool, keep: Duration) -> sqlx::Result<()> {
    let oldest = Timestamp(chrono::Utc::now() - keep);
    loop {
        // In chunks, because of the statement timeout.
        let deleted = sqlx::query!(
            r#"
                with oldest as (
                    select xid, at from batch order by xid limit 10000
                ), first as (
                    select xid from oldest where at < $1 order by xid desc limit 1
                )
                delete from batch using first where batch.xid < first.xid
            "#,
            oldest as _,
        )
        .execute(db)
        .await?;
        if deleted.rows_affected() == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_positions_are_parsed() {
        let history = History { system: 7_581_234_567_890_123_456, timeline: 3 };
        let position = Position { history, xid: 1 << 40, index: 7 };
        assert_eq!(position.to_string(), "7581234567890123456-3.1099511627776.7");
        assert_eq!(position.to_string().parse(), Ok(position));
        for other in [
            "",
            ".",
            "1.0",
            "1-1.0",
            "1-1.1.",
            "1-1.+1.0",
            "1-1.01.0",
            "1-1.1.-1",
            "1-1.-1.0",
            "1-1.1.0 ",
            "1--1.1.0",
            "-1-1.1.0",
            "1-1.9223372036854775808.0",
        ] {
            assert_eq!(other.parse::<Position>(), Err(()), "{other}");
        }
    }
}
