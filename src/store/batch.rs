//! Table `batch`: what was applied, in the order of commits.
//!
//! Ids of events are no such order: they are made at arrival, rows appear at commits, of several
//! replicas and of what waited in a spool. Ids of transactions are none either, but all below the
//! oldest that still runs are over. So what is read up to there is complete for good.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rows::column;
use crate::model::{EventId, Timestamp};

/// A place in the order of commits: after the `place`th event of a transaction, and after all of
/// earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    xid: i64,
    place: i32,
}

impl Position {
    /// How it is written, as a regular expression.
    pub const PATTERN: &str = r"^(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,8})$";
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.xid, self.place)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (xid, place) = text.split_once('.').ok_or(())?;
        let position =
            Self { xid: xid.parse().map_err(drop)?, place: place.parse().map_err(drop)? };
        // Only what is written as we write it.
        let is_ours = position.xid >= 0 && position.place >= 0 && position.to_string() == text;
        is_ours.then_some(position).ok_or(())
    }
}

/// An applied event as the stream tells of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Applied)]
pub struct AppliedRow {
    /// Its place in the order of commits.
    #[serde(skip)]
    pub position: Position,
    /// Its id in the journal.
    pub event_id: Uuid,
    /// When it was received.
    pub received_at: Timestamp,
    /// What it is: `receive_message_from_customer`, …, `room_updated`.
    pub kind: String,
    /// The event's name as Qontak sent it.
    pub name: Option<String>,
    /// The organisation it belongs to.
    pub organization_id: Option<String>,
    /// The message, room or broadcast log it is about.
    pub subject_id: Option<String>,
    /// The conversation it belongs to; null for broadcast logs.
    pub room_id: Option<String>,
    /// The broadcast it belongs to.
    pub broadcast_id: Option<String>,
}

/// The place up to which nothing can appear any more.
pub async fn end(db: &PgPool) -> sqlx::Result<Position> {
    let xid = sqlx::query_scalar!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xid!""#
    )
    .fetch_one(db)
    .await?;
    Ok(Position { xid, place: 0 })
}

/// Whether all that came after a place is still here, and the place is one of this database.
pub async fn is_known(db: &PgPool, position: Position) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
            select $1::text::xid8 <= pg_snapshot_xmin(pg_current_snapshot())
                and exists (select from batch where xid <= $1::text::xid8) as "is_known!"
        "#,
        position.xid.to_string(),
    )
    .fetch_one(db)
    .await
}

/// The most that a page holds.
const PAGE_BATCHES: usize = 100;
const PAGE_EVENTS: usize = 500;

/// What was applied after a place.
#[derive(Debug)]
pub struct Page {
    /// In the order of commits.
    pub rows: Vec<AppliedRow>,
    /// These are all up to here.
    pub end: Position,
    /// Whether there may be more by now.
    pub has_more: bool,
}

/// The next page of what was applied after `after`.
pub async fn page(db: &PgPool, after: Position) -> sqlx::Result<Page> {
    let end = end(db).await?;
    if end <= after {
        return Ok(Page { rows: Vec::new(), end: after, has_more: false });
    }
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
    let mut page = Page { rows: Vec::new(), end, has_more: false };
    if let Some(last) = batches.get(PAGE_BATCHES - 1) {
        page = Page { end: Position { xid: last.xid + 1, place: 0 }, has_more: true, ..page };
    }
    let events = batches.into_iter().flat_map(|batch| {
        let place = move |place| Position { xid: batch.xid, place };
        (1..).map(place).zip(batch.event_ids)
    });
    let new = events.filter(|(position, _)| *position > after);
    let mut new: Vec<(Position, Uuid)> = new.take(PAGE_EVENTS + 1).collect();
    if new.len() > PAGE_EVENTS {
        new.truncate(PAGE_EVENTS);
        page = Page { end: new[PAGE_EVENTS - 1].0, has_more: true, ..page };
    }
    page.rows = rows(db, &new).await?;
    Ok(page)
}

/// The rows of these events. Those that the journal has no more are left out.
async fn rows(db: &PgPool, events: &[(Position, Uuid)]) -> sqlx::Result<Vec<AppliedRow>> {
    let day = |id| EventId(id).received_at().map(Timestamp::day).unwrap_or_default();
    let days: Vec<NaiveDate> = column(events, |(_, id)| day(*id));
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query!(
        r#"
            select
                told.xid as "xid!", told.place as "place!", event.event_id as "event_id!",
                event.received_at as "received_at!: Timestamp", kind as "kind!", event.name,
                nullif(event.organization_id, '') as organization_id, subject_id,
                case when kind ~ '^(room|agent)_' then subject_id else message.room_id end as room_id,
                coalesce(broadcast_log.broadcast_id, message.broadcast_id) as broadcast_id
            from unnest($1::bigint[], $2::int[], $3::date[], $4::uuid[])
                as told (xid, place, day, event_id)
            -- Looked up one by one, even where Postgres would rather read a small day as a whole.
            cross join lateral (
                select *
                from event
                where event.day = told.day
                    and event.event_id = told.event_id
                    -- For who chooses partitions.
                    and event.day between $5 and $6
                limit 1
            ) as event
            left join message
                on kind in (
                    'receive_message_from_customer', 'receive_message_from_agent', 'status_message'
                )
                and message.message_id = subject_id
                and message.organization_id = event.organization_id
            left join broadcast_log
                on kind = 'broadcast_log_status'
                and broadcast_log.log_id = subject_id
                and broadcast_log.organization_id = event.organization_id
            where kind is not null
            order by told.xid, told.place
        "#,
        &column(events, |(position, _)| position.xid),
        &column(events, |(position, _)| position.place),
        &days,
        &column(events, |(_, id)| *id),
        first,
        last,
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| AppliedRow {
        position: Position { xid: row.xid, place: row.place },
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

/// Forgets what another server left in a backup that was restored here: its transactions have not
/// been yet.
pub async fn forget_future(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("delete from batch where xid >= pg_snapshot_xmax(pg_current_snapshot())")
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets batches that began before `oldest`, but for the last of these: it tells how far back
/// the others reach.
pub async fn forget(db: &PgPool, keep: Duration) -> sqlx::Result<()> {
    let oldest = Timestamp(chrono::Utc::now() - keep);
    loop {
        // Some at a time: a statement must not take long, whatever there is.
        let forgotten = sqlx::query!(
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
        if forgotten.rows_affected() == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_not_otherwise() {
        let position = Position { xid: 1 << 40, place: 7 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for other in
            ["", ".", "1", "1.", "+1.0", "01.0", "1.-1", "-1.0", "1.0 ", "9223372036854775808.0"]
        {
            assert_eq!(other.parse::<Position>(), Err(()), "{other}");
        }
    }
}
