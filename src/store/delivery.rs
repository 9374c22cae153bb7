//! What was sent to customers, in the order of time: recipients of broadcasts and other messages.
//!
//! A broadcast's recipient is a log, and mostly also a message: one that has the same id at the
//! channel, in the same organisation, whatever else is known of the two. It stands in the list once,
//! as its log; so of the messages only those without a log are listed beside the logs.

use chrono::TimeDelta;
use sqlx::{PgConnection, PgExecutor};
use utoipa::IntoParams;

use super::broadcast_log::LogRow;
use super::message::{self, MessageKey, MessageRow, Place, Scan, ScannedKey};
use super::rows::column;
use super::trace;
use crate::model::{Status, Timestamp};

/// Which to list.
#[derive(Clone, Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only what went to this phone number, written as `08…`, `62…` or `+62…`: that of the recipient
    /// of a broadcast, else that of the room.
    #[param(rename = "phone", value_type = Option<String>)]
    pub phones: Option<Vec<String>>,
    /// Only what has this effective status, of the recipient and its message together.
    #[param(value_type = Option<Status>, inline)]
    pub status: Option<String>,
    /// Only what has this WhatsApp error code; recipients of broadcasts only have one.
    #[param(rename = "error", minimum = 0, maximum = 2147483647)]
    pub error_code: Option<i64>,
    /// Only what was sent from this day (`2025-06-12`, in UTC) or time on.
    #[param(rename = "start_date", value_type = Option<String>)]
    pub start: Option<Timestamp>,
    /// Only what was sent until the end of this day, or before this time.
    #[param(rename = "end_date", value_type = Option<String>)]
    pub end: Option<Timestamp>,
}

/// What tells a row of the list, and its place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the columns of the tables say it")]
pub struct Key {
    pub at: Timestamp,
    /// Of one moment all messages are before all logs, if the oldest is the first.
    pub is_log: bool,
    /// `log_id`, or `message_id` if it has no log.
    pub id: String,
    pub organization_id: String,
}

/// Which part of the list: what follows a place, towards older or newer ones.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The organisations that may be seen; `None` for all.
    pub organizations: Option<&'a [String]>,
    /// After this row.
    pub from: Option<&'a Key>,
    /// Towards newer ones, the nearest first.
    pub backward: bool,
    /// How many at most.
    pub limit: i64,
}

/// Lists what was sent, newest first.
pub async fn list(
    db: &mut PgConnection,
    filter: &Filter,
    part: Part<'_>,
) -> sqlx::Result<Vec<Key>> {
    let mut keys = list_logs(db, filter, part).await?;
    // Qontak tells errors of logs only.
    if filter.error_code.is_none() {
        let edge = keys.get(part.limit as usize - 1).map(|key| key.at);
        keys.extend(list_messages(db, filter, part, edge).await?);
    }
    keys.sort();
    if !part.backward {
        keys.reverse();
    }
    keys.truncate(part.limit as usize);
    Ok(keys)
}

/// Messages to customers that have no log, as far as the edge.
async fn list_messages(
    db: &mut PgConnection,
    filter: &Filter,
    part: Part<'_>,
    edge: Option<Timestamp>,
) -> sqlx::Result<Vec<Key>> {
    let room_ids = match &filter.phones {
        Some(phones) => Some(rooms_of(db, phones, part.organizations).await?),
        None => None,
    };
    let filter = message::Filter {
        status: filter.status.clone(),
        participant_types: Some(&["agent", "bot"]),
        is_without_log: true,
        room_ids,
        start: filter.start,
        end: filter.end,
        ..message::Filter::default()
    };
    let next = |at: Timestamp| Timestamp(at.0 + TimeDelta::microseconds(1));
    let from = part.from.map(|key| match key.is_log {
        false => Place { at: key.at, message_id: &key.id, organization_id: &key.organization_id },
        // All of that moment are before it.
        true => Place { at: next(key.at), message_id: "", organization_id: "" },
    });
    let mut scan = Scan::new(db, part.organizations, &filter, from, part.backward).await?;
    // A broadcast has many messages, and all of them have logs: none beyond the edge is skipped.
    edge.into_iter().for_each(|edge| scan.reach(edge));
    let key = |row: ScannedKey| Key {
        at: row.at,
        is_log: false,
        id: row.message_id,
        organization_id: row.organization_id,
    };
    Ok(scan.nearest(db, part.limit).await?.into_iter().map(key).collect())
}

/// The conversations with who has this phone number.
async fn rooms_of(
    db: &mut PgConnection,
    phones: &[String],
    organizations: Option<&[String]>,
) -> sqlx::Result<Vec<String>> {
    let scope = trace::Scope { organizations, limit: i64::MAX };
    let rooms = trace::rooms(db, scope, &[], phones).await?;
    Ok(rooms.into_iter().map(|room| room.room_id).collect())
}

/// Each organisation has an order of its own in the index `broadcast_log_by_time`, named by its
/// hash. These are the ones in which logs can be.
async fn orders(db: &mut PgConnection, organizations: Option<&[String]>) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar!(
        r#"
            -- All there are: from each one the next.
            with recursive next as (
                (
                    select hashtext(organization_id) as hash
                    from broadcast_log
                    where $1::text[] is null
                    order by hashtext(organization_id)
                    limit 1
                )
                union all
                select (
                    select hashtext(organization_id)
                    from broadcast_log
                    where hashtext(organization_id) > next.hash
                    order by hashtext(organization_id)
                    limit 1
                )
                from next
                where next.hash is not null
            )
            select hash as "hash!" from next where hash is not null
            union
            select hashtext(id) from unnest($1) as id
        "#,
        organizations,
    )
    .fetch_all(db)
    .await
}

/// Logs, each with the statuses of its message.
async fn list_logs(
    db: &mut PgConnection,
    filter: &Filter,
    part: Part<'_>,
) -> sqlx::Result<Vec<Key>> {
    let orders = orders(db, part.organizations).await?;
    // Messages of that moment are before all of its logs.
    let from = part.from.map(|key| match key.is_log {
        false => (key.at, "", ""),
        true => (key.at, &*key.id, &*key.organization_id),
    });
    // The two branches are one list scanned both ways; only one of them is run. The organisation is
    // worded as in `message/list.rs`.
    sqlx::query_as!(
        Key,
        r#"
            select at as "at!", id as "id!", organization_id as "organization_id!",
                true as "is_log!"
            from (
                select near.*
                from unnest($2::int[]) as hash
                cross join lateral (
                    select log.at, log.log_id as id, log.organization_id
                    from broadcast_log as log
                    -- Looked for only if there is a status to compare.
                    left join lateral (
                        select
                            created_seen_at, pending_seen_at, sent_seen_at, delivered_seen_at,
                            read_seen_at, failed_seen_at
                        from message
                        where external_id = log.whatsapp_message_id
                            and organization_id = log.organization_id
                        order by message_id
                        limit 1
                    ) as twin on $4::text is not null
                    where not $11
                        and hashtext(log.organization_id) = hash
                        and ($1::text[] is null or (log.organization_id = any($1)) is not false)
                        and ($3::text[] is null or log.contact_phone_number = any($3))
                        -- Its message adds to what it says, and takes nothing back. `coalesce` keeps
                        -- Postgres from a guess how few there are: it would read and sort all logs.
                        and ($4::text is null or coalesce(log.status = any($13::text[]), true))
                        and ($4::text is null or coalesce($4 = effective_status(
                            least(log.created_seen_at, twin.created_seen_at),
                            least(log.pending_seen_at, twin.pending_seen_at),
                            least(log.sent_seen_at, twin.sent_seen_at),
                            least(log.delivered_seen_at, twin.delivered_seen_at),
                            least(log.read_seen_at, twin.read_seen_at),
                            least(log.failed_seen_at, twin.failed_seen_at)
                        ), false))
                        and ($5::bigint is null or log.error_code = $5)
                        and ($6::timestamptz is null or log.at >= $6)
                        and ($7::timestamptz is null or log.at < $7)
                        and ($8::timestamptz is null or log.at <= $8
                            and (log.at, log.log_id, log.organization_id) < ($8, $9, $10))
                    order by log.at desc, log.log_id desc, log.organization_id desc
                    limit $12
                ) as near
                order by at desc, id desc, organization_id desc
                limit $12
            ) as after
            union all
            select at, id, organization_id, true
            from (
                select near.*
                from unnest($2::int[]) as hash
                cross join lateral (
                    select log.at, log.log_id as id, log.organization_id
                    from broadcast_log as log
                    -- Looked for only if there is a status to compare.
                    left join lateral (
                        select
                            created_seen_at, pending_seen_at, sent_seen_at, delivered_seen_at,
                            read_seen_at, failed_seen_at
                        from message
                        where external_id = log.whatsapp_message_id
                            and organization_id = log.organization_id
                        order by message_id
                        limit 1
                    ) as twin on $4::text is not null
                    where $11
                        and hashtext(log.organization_id) = hash
                        and ($1::text[] is null or (log.organization_id = any($1)) is not false)
                        and ($3::text[] is null or log.contact_phone_number = any($3))
                        and ($4::text is null or coalesce(log.status = any($13::text[]), true))
                        and ($4::text is null or coalesce($4 = effective_status(
                            least(log.created_seen_at, twin.created_seen_at),
                            least(log.pending_seen_at, twin.pending_seen_at),
                            least(log.sent_seen_at, twin.sent_seen_at),
                            least(log.delivered_seen_at, twin.delivered_seen_at),
                            least(log.read_seen_at, twin.read_seen_at),
                            least(log.failed_seen_at, twin.failed_seen_at)
                        ), false))
                        and ($5::bigint is null or log.error_code = $5)
                        and ($6::timestamptz is null or log.at >= $6)
                        and ($7::timestamptz is null or log.at < $7)
                        and ($8::timestamptz is null or log.at >= $8
                            and (log.at, log.log_id, log.organization_id) > ($8, $9, $10))
                    order by log.at, log.log_id, log.organization_id
                    limit $12
                ) as near
                order by at, id, organization_id
                limit $12
            ) as before
        "#,
        part.organizations,
        &orders,
        filter.phones.as_deref(),
        filter.status.as_deref(),
        filter.error_code,
        filter.start as _,
        filter.end as _,
        from.map(|(at, ..)| at) as _,
        from.map(|(_, id, _)| id),
        from.map(|(.., organization_id)| organization_id),
        part.backward,
        part.limit,
        filter.status.as_deref().map(Status::up_to) as _,
    )
    .fetch_all(db)
    .await
}

/// The messages of these logs.
pub async fn twins(db: impl PgExecutor<'_>, logs: &[LogRow]) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select twin.organization_id as "organization_id!", twin.message_id as "message_id!"
            from unnest($1::text[], $2::text[]) as log (whatsapp_message_id, organization_id)
            cross join lateral (
                select organization_id, message_id
                from message
                where external_id = log.whatsapp_message_id
                    and organization_id = log.organization_id
                order by message_id
                limit 1
            ) as twin
        "#,
        &column(logs, |log| log.whatsapp_message_id.as_deref()) as _,
        &column(logs, |log| log.organization_id.as_deref().unwrap_or_default()) as _,
    )
    .fetch_all(db)
    .await
}

/// Who is on the other side of a room.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct Recipient {
    pub organization_id: String,
    pub room_id: String,
    pub channel: Option<String>,
    /// `room.account_uniq_id`, where that is a phone number.
    pub contact_phone_number: Option<String>,
    pub name: Option<String>,
}

/// Who these messages went to.
pub async fn recipients(
    db: impl PgExecutor<'_>,
    messages: &[MessageRow],
) -> sqlx::Result<Vec<Recipient>> {
    sqlx::query_as!(
        Recipient,
        r#"
            select
                room.organization_id, room.room_id, channel,
                case when channel in ('wa', 'wa_cloud') then account_uniq_id end
                    as contact_phone_number,
                name
            from (select distinct * from unnest($1::text[], $2::text[])) as key (room_id, organization_id)
            join room on room.room_id = key.room_id and room.organization_id = key.organization_id
        "#,
        &column(messages, |row| row.room_id.as_deref()) as _,
        &column(messages, |row| row.organization_id.as_deref().unwrap_or_default()) as _,
    )
    .fetch_all(db)
    .await
}
