//! Deliveries: outgoing messages and recipients of broadcasts in one list, newest first.
//!
//! A recipient of a broadcast is a log, and usually also a message: its twin, with the same id at the
//! channel in the same organisation. The list shows the pair once, as the log, and several messages
//! with one id at the channel once, too. So it merges all logs with the messages that have no log.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};

use super::broadcast_log::LogRow;
use super::message::{self, MessageKey, MessageRow, Scan, ScannedKey};
use super::rows::column;
use super::walk::Walk;
use super::{organization, trace};
use crate::model::{Status, Timestamp};

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Readings of one phone number: of the log's recipient, or else of the room.
    pub phones: Option<Vec<String>>,
    /// Any of these effective statuses of log and message together.
    pub status: Option<Vec<String>>,
    /// Any of these error codes of the log, or of a message without one.
    pub error_codes: Option<BTreeSet<i64>>,
    /// Broadcast of the log, or of a message without one.
    pub broadcast_id: Option<String>,
    /// Any of these channels of the message, its room or the channel integration of the log.
    pub channel: Option<Vec<String>>,
    /// Sent at this time or later.
    pub since: Option<Timestamp>,
    /// Sent before this time.
    pub until: Option<Timestamp>,
}

/// Place of a delivery in the list; also its key. The order of the fields is that of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `at` of the log or message.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Whether it is a log; messages of the same time are older.
    pub is_log: bool,
    /// `log_id`, or `message_id` of a message without a log.
    pub id: String,
    /// Tie-breaker for equal ids; empty if unknown.
    pub organization_id: String,
}

impl Place {
    /// Order of the list, but for equal ids of several organisations.
    fn key(&self) -> (Timestamp, bool, &str) {
        (self.at, self.is_log, &self.id)
    }
}

/// Lists deliveries, newest first. `organizations` of `None` means all. `db` is a snapshot: a log
/// inserted between the two queries would hide its message without being listed itself.
pub async fn list(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<Place>> {
    let mut places = match &filter.channel {
        // Broadcasts are sent through WhatsApp. A scan of all logs would find none.
        Some(channels) if !channels.iter().any(|channel| is_of_whatsapp(channel)) => Vec::new(),
        _ => list_logs(db, organizations, filter, walk).await?,
    };
    let edge = places.get(walk.rows as usize - 1).map(|place| place.at);
    places.extend(list_messages(db, organizations, filter, walk, edge).await?);
    // Stable: rows with equal ids stay in the order of their organisations' numbers.
    places.sort_by(|one, other| {
        let order = one.key().cmp(&other.key());
        if walk.backward { order } else { order.reverse() }
    });
    places.truncate(walk.rows as usize);
    Ok(places)
}

/// Whether a channel is one of WhatsApp's: `wa`, `wa_cloud`, …
fn is_of_whatsapp(channel: &str) -> bool {
    let channel = channel.to_ascii_lowercase();
    ["wa", "whatsapp"].iter().any(|prefix| channel.starts_with(prefix))
}

/// Lists outgoing messages without a log, no farther than the edge.
async fn list_messages(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
    edge: Option<Timestamp>,
) -> sqlx::Result<Vec<Place>> {
    let room_ids = match &filter.phones {
        Some(phones) => Some(find_rooms(db, organizations, phones).await?),
        None => None,
    };
    let filter = message::Filter {
        status: filter.status.clone(),
        error_codes: filter.error_codes.clone(),
        broadcast_id: filter.broadcast_id.clone(),
        channel: filter.channel.clone(),
        authors: Some(message::OUTGOING),
        is_without_log: true,
        room_ids,
        since: filter.since,
        until: filter.until,
        ..message::Filter::default()
    };
    let from = walk.from.as_ref().map(|place| match place.is_log {
        false => message::Place {
            at: place.at,
            message_id: place.id.clone(),
            organization_id: place.organization_id.clone(),
        },
        // All messages of that time are older than the log, so start just after it.
        true => message::Place {
            at: place.at.next(),
            message_id: String::new(),
            organization_id: String::new(),
        },
    });
    let mut scan = Scan::new(db, organizations, &filter, from.as_ref(), walk.backward).await?;
    // A broadcast has many messages, all with a log. Without a stop the scan could skip all of them.
    if let Some(edge) = edge {
        scan.stop_at(edge);
    }
    let place = |row: ScannedKey| Place {
        at: row.at,
        is_log: false,
        id: row.message_id,
        organization_id: row.organization_id,
    };
    Ok(scan.nearest(db, walk.rows).await?.into_iter().map(place).collect())
}

/// Finds the rooms of a phone number.
async fn find_rooms(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    phones: &[String],
) -> sqlx::Result<Vec<String>> {
    let scope = trace::Scope { organizations, limit: i64::MAX };
    let rooms = trace::rooms(db, scope, &[], phones).await?;
    Ok(rooms.into_iter().map(|room| room.room_id).collect())
}

/// Lists logs by index `broadcast_log_by_time`; filters use `broadcast_log_by_phone` and
/// `broadcast_log_by_error`.
async fn list_logs(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<Place>> {
    let numbers = match filter.broadcast_id {
        // Found by `broadcast_log_by_broadcast`, which knows no organisations.
        Some(_) => vec![0],
        None => organization::numbers(&mut *db, organizations).await?,
    };
    // All logs of a message's time are newer than the message.
    let from = walk.from.as_ref().map(|place| match place.is_log {
        false => (place.at, "", ""),
        true => (place.at, place.id.as_str(), place.organization_id.as_str()),
    });
    let error_codes =
        filter.error_codes.as_ref().map(|codes| Vec::from_iter(codes.iter().copied()));
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                Place,
                r#"
                    select
                        near.at as "at!", true as "is_log!", near.id as "id!",
                        (
                            select organization_id from organization where number = near.organization
                        ) as "organization_id!"
                    from unnest($1::int[]) as own
                    left join unnest($6::bigint[]) as code on true
                    cross join lateral (
                        select log.at, log.log_id as id, log.organization
                        from broadcast_log as log
                        -- Joined only if there is a status, channel or error to compare.
                        left join lateral (
                            select
                                (array_agg(channel order by message_id))[1] as channel,
                                (array_agg(room_id order by message_id))[1] as room_id,
                                bool_or(error_code = code) as has_error,
                                min(created_seen_at) as created_seen_at,
                                min(pending_seen_at) as pending_seen_at,
                                min(sent_seen_at) as sent_seen_at,
                                min(delivered_seen_at) as delivered_seen_at,
                                min(read_seen_at) as read_seen_at,
                                min(failed_seen_at) as failed_seen_at
                            from message_channel_id as link
                            join message using (organization, message_id)
                            where link.hash = hashtextextended(log.whatsapp_message_id, 0)
                                and external_id = log.whatsapp_message_id
                                and organization = log.organization
                        ) as twin on $2::text[] is not null or $14::text[] is not null or $6 is not null
                        where ($13::text is not null or log.organization = own)
                            -- Redundant without a broadcast. `coalesce` hides the column from the
                            -- planner, which would use the primary key for a rare organisation.
                            and ($3::text[] is null
                                or coalesce(log.organization = any(organization_numbers($3)), false))
                            and ($4::text[] is null or log.contact_phone_digits = any($4))
                            -- A message can only advance its log's status. `coalesce` hides the
                            -- selectivity from the planner, which would read and sort all logs.
                            and ($2 is null or coalesce(log.status = any($5::text[]), true))
                            and ($2 is null or coalesce(effective_status(
                                least(log.created_seen_at, twin.created_seen_at),
                                least(log.pending_seen_at, twin.pending_seen_at),
                                least(log.sent_seen_at, twin.sent_seen_at),
                                least(log.delivered_seen_at, twin.delivered_seen_at),
                                least(log.read_seen_at, twin.read_seen_at),
                                least(log.failed_seen_at, twin.failed_seen_at)
                            ) = any($2), false))
                            -- The error of an earlier attempt is not shown once the message tells that
                            -- a later one was delivered, unless the message has the same error.
                            and ($6 is null or log.error_code = code and (
                                log.last_error_message_id is not distinct from log.whatsapp_message_id
                                or twin.delivered_seen_at is null and twin.read_seen_at is null
                                or twin.has_error
                            ))
                            and ($13::text is null or log.broadcast_id = $13)
                            and ($14 is null or coalesce(coalesce(
                                twin.channel,
                                (
                                    select room.channel from room
                                    where room.room_id = twin.room_id
                                        and room.organization = log.organization
                                ),
                                (
                                    select facet.channel from facet
                                    where facet.organization_id = (
                                            select organization_id
                                            from organization
                                            where number = log.organization
                                        )
                                        and facet.name = 'channel_integration'
                                        and facet.value = log.channel_integration_id
                                )
                            ) = any($14), false))
                            and ($7::timestamptz is null or log.at >= $7)
                            and ($8::timestamptz is null or log.at < $8)
                            and ($9::timestamptz is null or log.at "# + $cmp + r#"= $9
                                -- `coalesce` hides the selectivity, which would count that of the
                                -- time twice: the planner would read and sort a broadcast.
                                and coalesce((log.at, log.log_id, log.organization)
                                    "# + $cmp + r#" ($9, $10, organization_number($11)), false))
                        order by "# + $order + r#"
                        limit $12
                    ) as near
                    order by "# + $order + r#"
                    limit $12
                "#,
                &numbers,
                filter.status.as_deref(),
                organizations,
                filter.phones.as_deref(),
                filter.status.as_deref().map(up_to) as _,
                error_codes as _,
                filter.since as _,
                filter.until as _,
                from.map(|(at, ..)| at) as _,
                from.map(|(_, id, _)| id),
                from.map(|(.., organization_id)| organization_id),
                walk.rows,
                filter.broadcast_id.as_deref(),
                filter.channel.as_deref(),
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "at, id, organization")
    } else {
        page!("<", "at desc, id desc, organization desc")
    }
}

/// The statuses that a log may have while it has one of these together with its message.
fn up_to(statuses: &[String]) -> &'static [&'static str] {
    let each = statuses.iter().map(|status| Status::up_to(status));
    each.max_by_key(|names| names.len()).unwrap_or_default()
}

/// Finds the messages with the ids at the channel of these logs and messages, by index
/// `message_channel_id_by_hash`.
pub async fn twins(
    db: impl PgExecutor<'_>,
    logs: &[LogRow],
    messages: &[MessageKey],
) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select
                (
                    select organization_id from organization where number = twin.organization
                ) as "organization_id!",
                twin.message_id as "message_id!"
            from (
                select *
                from unnest($1::text[], organization_numbers($2))
                union
                select message.external_id, message.organization
                from unnest($3::text[], organization_numbers($4)) as key (message_id, organization)
                join message using (message_id, organization)
            ) as delivery (external_id, organization)
            cross join lateral (
                select organization, message_id
                from message_channel_id as link
                join message using (organization, message_id)
                where link.hash = hashtextextended(delivery.external_id, 0)
                    and external_id = delivery.external_id
                    and organization = delivery.organization
            ) as twin
            order by twin.message_id
        "#,
        &column(logs, |log| log.whatsapp_message_id.as_deref()) as _,
        &column(logs, |log| log.organization_id.as_deref().unwrap_or_default()) as _,
        &column(messages, |key| key.message_id.as_str()) as _,
        &column(messages, |key| key.organization_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}

/// The contact of a room.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct Recipient {
    pub organization_id: String,
    pub room_id: String,
    pub channel: Option<String>,
    pub account_uniq_id: Option<String>,
    pub name: Option<String>,
}

/// Finds the recipients of these messages, by the primary key of `room`.
pub async fn recipients(
    db: impl PgExecutor<'_>,
    messages: &[MessageRow],
) -> sqlx::Result<Vec<Recipient>> {
    sqlx::query_as!(
        Recipient,
        r#"
            select
                key.organization_id as "organization_id!", room.room_id, channel, account_uniq_id,
                name
            from (select distinct * from unnest($1::text[], organization_numbers($2), $2::text[]))
                as key (room_id, organization, organization_id)
            join room on room.room_id = key.room_id and room.organization = key.organization
        "#,
        &column(messages, |row| row.room_id.as_deref()) as _,
        &column(messages, |row| row.organization_id.as_deref().unwrap_or_default()) as _,
    )
    .fetch_all(db)
    .await
}
