//! Deletes rows by age, in bounded steps: at most so many rows per transaction, found by an index, and
//! none that another transaction has locked. Writers wait for one step at most.
//!
//! Counts of hours stay when the rows that they counted are deleted; they have an age of their own.

use sqlx::{PgExecutor, PgPool, Postgres, Transaction};
use strum::{IntoStaticStr, VariantArray};

use crate::model::Timestamp;

/// What has an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Messages, by their own time, and the responses that they were.
    Message,
    /// Recipients of broadcasts, by their creation.
    BroadcastLog,
    /// Broadcasts without recipients, by their creation.
    Broadcast,
    /// Rooms, by their last activity, with their events and resolutions.
    Room,
    /// Events of rooms, by their receipt, and the availability of agents.
    RoomEvent,
    /// Counts of hours and days, and figures of response times.
    Count,
}

impl Kind {
    /// Name for output and logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Deletes up to `limit` rows of a kind from before this time, with what depends on them. Returns their
/// number.
pub async fn delete(db: &PgPool, kind: Kind, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    match kind {
        Kind::Message => delete_messages(db, before, limit).await,
        Kind::BroadcastLog => delete_broadcast_logs(db, before, limit).await,
        Kind::Broadcast => delete_broadcasts(db, before, limit).await,
        Kind::Room => delete_rooms(db, before, limit).await,
        Kind::RoomEvent => delete_room_events(db, before, limit).await,
        Kind::Count => delete_counts(db, before, limit).await,
    }
}

/// Begins a transaction in which the triggers of deleted rows leave counts of hours alone.
async fn keep_hours(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = db.begin().await?;
    sqlx::raw_sql("set local receiver.keep_hours = on").execute(&mut *transaction).await?;
    Ok(transaction)
}

async fn delete_messages(db: &PgPool, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let mut transaction = keep_hours(db).await?;
    let deleted = sqlx::query!(
        r#"
            with recursive own as (
                (
                    select organization
                    from message
                    order by organization
                    limit 1
                )
                union all
                select next.organization
                from own
                cross join lateral (
                    select organization
                    from message
                    where message.organization > own.organization
                    order by organization
                    limit 1
                ) as next
            ), old as materialized (
                select old.message_id, old.organization
                from own
                cross join lateral (
                    select message_id, organization
                    from message
                    where message.organization = own.organization and at < $1
                    order by at
                    limit $2
                    for update skip locked
                ) as old
                limit $2
            ), deleted as (
                delete from message
                using old
                where message.message_id = old.message_id
                    and message.organization = old.organization
                returning message.*
            ), unlinked as (
                delete from message_channel_id as link
                using deleted
                where link.hash = hashtextextended(deleted.external_id, 0)
                    and link.organization = deleted.organization
                    and link.message_id = deleted.message_id
            ), copies as (
                update media
                set state = 'deleted'
                from deleted
                where media.message_id = deleted.message_id
                    and media.organization_id = organization_id(deleted.organization)
            ), unanswered as (
                delete from response
                using deleted
                where response.room_id = deleted.room_id
                    and response.organization = deleted.organization
                    and response.at = deleted.at
                    and response.message_id = deleted.message_id
            )
            select count(*) as "count!" from deleted
        "#,
        before as _,
        limit,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(deleted.count.unsigned_abs())
}

async fn delete_broadcast_logs(db: &PgPool, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let mut transaction = keep_hours(db).await?;
    let deleted = sqlx::query!(
        r#"
            with recursive own as (
                (
                    select organization
                    from broadcast_log
                    order by organization
                    limit 1
                )
                union all
                select next.organization
                from own
                cross join lateral (
                    select organization
                    from broadcast_log
                    where broadcast_log.organization > own.organization
                    order by organization
                    limit 1
                ) as next
            ), old as materialized (
                select old.log_id, old.organization
                from own
                cross join lateral (
                    select log_id, organization
                    from broadcast_log
                    where broadcast_log.organization = own.organization and at < $1
                    order by at
                    limit $2
                    for update skip locked
                ) as old
                limit $2
            )
            delete from broadcast_log
            using old
            where broadcast_log.log_id = old.log_id
                and broadcast_log.organization = old.organization
        "#,
        before as _,
        limit,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(deleted.rows_affected())
}

async fn delete_broadcasts(
    db: impl PgExecutor<'_>,
    before: Timestamp,
    limit: i64,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        r#"
            with old as materialized (
                select broadcast_id, organization
                from broadcast
                where at < $1
                    and not exists (
                        select from broadcast_log as log
                        where log.broadcast_id = broadcast.broadcast_id
                            and log.organization = broadcast.organization
                    )
                order by at
                limit $2
                for update skip locked
            ), uncounted as (
                delete from broadcast_count as counted
                using old
                where counted.broadcast_id = old.broadcast_id
                    and counted.organization = old.organization
            )
            delete from broadcast
            using old
            where broadcast.broadcast_id = old.broadcast_id
                and broadcast.organization = old.organization
        "#,
        before as _,
        limit,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

async fn delete_rooms(db: impl PgExecutor<'_>, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        r#"
            with old as materialized (
                select room_id, organization
                from room
                where activity_slot < $1
                order by activity_slot
                limit $2
                for update skip locked
            ), events as (
                delete from room_event
                using old
                where room_event.room_id = old.room_id
                    and room_event.organization = old.organization
            ), words as (
                delete from room_word
                using old
                where room_word.room_id = old.room_id
                    and room_word.organization = old.organization
            ), resolutions as (
                delete from resolution
                using old
                where resolution.room_id = old.room_id
                    and resolution.organization = old.organization
            )
            delete from room
            using old
            where room.room_id = old.room_id and room.organization = old.organization
        "#,
        before as _,
        limit,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

async fn delete_room_events(
    db: impl PgExecutor<'_>,
    before: Timestamp,
    limit: i64,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        r#"
            with states as (
                -- The newest one is the state.
                delete from catalog_state
                where ctid = any(array(
                    select ctid
                    from catalog_state as state
                    where at < $1
                        and kind = 'agent'
                        and exists (
                            select
                            from catalog_state as newer
                            where newer.kind = state.kind
                                and newer.id = state.id
                                and newer.organization_id = state.organization_id
                                and newer.at > state.at
                        )
                    limit $2
                    for update skip locked
                ))
            )
            delete from room_event
            where ctid = any(array(
                select ctid from room_event where received_at < $1 limit $2 for update skip locked
            ))
        "#,
        before as _,
        limit,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Counts have few rows per hour. Response times and counted resolutions belong to them: charts are made
/// of both.
async fn delete_counts(
    db: impl PgExecutor<'_>,
    before: Timestamp,
    limit: i64,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        r#"
            with ledgers as (
                delete from ledger
                where ctid = any(array(
                    select ctid from ledger where hour < $1 limit $2 for update skip locked
                ))
                returning 1
            ), messages as (
                delete from message_count
                where ctid = any(array(
                    select ctid from message_count where hour < $1 limit $2 for update skip locked
                ))
                returning 1
            ), recipients as (
                delete from recipient_count
                where ctid = any(array(
                    select ctid from recipient_count
                    where hour < $1
                    limit $2
                    for update skip locked
                ))
                returning 1
            ), responses as (
                delete from response
                where ctid = any(array(
                    select ctid from response where at < $1 limit $2 for update skip locked
                ))
                returning 1
            ), resolutions as (
                delete from resolution
                where ctid = any(array(
                    select ctid from resolution
                    where at < $1 and is_counted
                    limit $2
                    for update skip locked
                ))
                returning 1
            ), compared as (
                delete from reconciliation
                where ctid = any(array(
                    select ctid from reconciliation
                    where day < ($1::timestamptz at time zone 'UTC')::date
                    limit $2
                    for update skip locked
                ))
                returning 1
            )
            select (
                (select count(*) from ledgers) + (select count(*) from messages)
                + (select count(*) from recipients) + (select count(*) from responses)
                + (select count(*) from resolutions) + (select count(*) from compared)
            ) as "count!"
        "#,
        before as _,
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok(deleted.count.unsigned_abs())
}

/// Counts what [`delete`] would delete, by reading it: for a dry run. Broadcasts whose recipients would
/// be deleted first count too.
pub async fn count(db: impl PgExecutor<'_>, kind: Kind, before: Timestamp) -> sqlx::Result<u64> {
    let count = sqlx::query_scalar!(
        r#"
            select case $1
                when 'message' then (select count(*) from message where at < $2)
                when 'broadcast_log' then (select count(*) from broadcast_log where at < $2)
                when 'broadcast' then (
                    select count(*) from broadcast
                    where at < $2
                        and not exists (
                            select from broadcast_log as log
                            where log.broadcast_id = broadcast.broadcast_id
                                and log.organization = broadcast.organization
                                and log.at >= $2
                        )
                )
                when 'room' then (select count(*) from room where activity_slot < $2)
                when 'room_event' then (select count(*) from room_event where received_at < $2)
                else
                    (select count(*) from ledger where hour < $2)
                    + (select count(*) from message_count where hour < $2)
                    + (select count(*) from recipient_count where hour < $2)
                    + (select count(*) from response where at < $2)
                    + (select count(*) from resolution where at < $2 and is_counted)
                    + (
                        select count(*) from reconciliation
                        where day < ($2::timestamptz at time zone 'UTC')::date
                    )
            end as "count!"
        "#,
        kind.as_str(),
        before as _,
    )
    .fetch_one(db)
    .await?;
    Ok(count.unsigned_abs())
}
