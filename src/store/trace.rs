//! Queries across tables by id or phone number. Each returns the newest rows, at most `limit`.
//!
//! The conditions `… is not null and … = any($3)` are not redundant: the planner uses the partial
//! indexes (`where … is not null`) only with them.

use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::broadcast::BroadcastRow;
use super::broadcast_log::LogKey;
use super::event::EventRow;
use super::message::MessageKey;
use super::room::RoomKey;
use super::rows::column;
use crate::model::{RoomEventType, Timestamp};

/// Visible organisations and limit of a query.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Organisations that the reader may see; `None` for all.
    pub organizations: Option<&'a [String]>,
    /// Maximum number of rows.
    pub limit: i64,
}

/// Lists rooms with one of these ids or normalized accounts, latest activity first.
pub async fn rooms(
    db: impl PgExecutor<'_>,
    scope: Scope<'_>,
    ids: &[String],
    accounts: &[String],
) -> sqlx::Result<Vec<RoomKey>> {
    sqlx::query_as!(
        RoomKey,
        r#"
            select
                (
                    select organization_id from organization where number = room.organization
                ) as "organization_id!",
                room_id,
                activity_at as "activity_at!"
            from room
            where (
                    room_id = any($2)
                    or account_normalized is not null and account_normalized = any($3)
                )
                and ($1::text[] is null or organization = any(organization_numbers($1)))
            order by activity_at desc, room_id desc, organization desc
            limit $4
        "#,
        scope.organizations,
        ids,
        accounts,
        scope.limit,
    )
    .fetch_all(db)
    .await
}

/// Lists broadcast logs with one of these ids, WhatsApp ids, or normalized phone numbers or ids of
/// the contact.
pub async fn logs(
    db: impl PgExecutor<'_>,
    scope: Scope<'_>,
    ids: &[String],
    whatsapp_message_ids: &[String],
    contacts: &[String],
) -> sqlx::Result<Vec<LogKey>> {
    sqlx::query_as!(
        LogKey,
        r#"
            select
                (
                    select organization_id from organization where number = broadcast_log.organization
                ) as "organization_id!",
                log_id
            from broadcast_log
            where (
                    log_id = any($2)
                    or whatsapp_message_id is not null and whatsapp_message_id = any($3)
                    or last_error_message_id <> whatsapp_message_id and last_error_message_id = any($3)
                    or contact_phone_digits is not null and contact_phone_digits = any($4)
                    or contact_id is not null and contact_id = any($4)
                )
                and ($1::text[] is null or organization = any(organization_numbers($1)))
            order by at desc, log_id desc, organization desc
            limit $5
        "#,
        scope.organizations,
        ids,
        whatsapp_message_ids,
        contacts,
        scope.limit,
    )
    .fetch_all(db)
    .await
}

/// Lists messages with one of these ids or ids at the channel.
pub async fn messages(
    db: impl PgExecutor<'_>,
    scope: Scope<'_>,
    ids: &[String],
    external_ids: &[String],
) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select
                (
                    select organization_id from organization where number = message.organization
                ) as "organization_id!",
                message_id
            from message
            where (
                    message_id = any($2)
                    or external_id = any($3)
                )
                and message_id = any($2 || array(
                    select message_id
                    from unnest($3) as external_id
                    join message_channel_id on hash = hashtextextended(external_id, 0)
                ))
                and ($1::text[] is null or organization = any(organization_numbers($1)))
            order by at desc, message_id desc, organization desc
            limit $4
        "#,
        scope.organizations,
        ids,
        external_ids,
        scope.limit,
    )
    .fetch_all(db)
    .await
}

/// Lists broadcasts with one of these ids.
pub async fn broadcasts(
    db: impl PgExecutor<'_>,
    scope: Scope<'_>,
    ids: &[String],
) -> sqlx::Result<Vec<BroadcastRow>> {
    sqlx::query_as!(
        BroadcastRow,
        r#"
            select
                broadcast_id as "id!",
                nullif(
                    (select organization_id from organization where number = broadcast.organization), ''
                ) as organization_id,
                name,
                template_id, channel_integration_id, created_at, at as "at!"
            from broadcast
            where broadcast_id = any($2) and ($1::text[] is null or organization = any(organization_numbers($1)))
            order by at desc, broadcast_id desc, organization desc
            limit $3
        "#,
        scope.organizations,
        ids,
        scope.limit,
    )
    .fetch_all(db)
    .await
}

/// A lifecycle event of a traced room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedRoomEvent)]
pub struct RoomEventRow {
    /// Organisation; null when unknown.
    pub organization_id: Option<String>,
    /// Qontak's id of the room.
    pub room_id: String,
    /// Type: `created`, `assigned`, `unassigned`, `handed_over` or `resolved`.
    #[schema(value_type = RoomEventType)]
    pub r#type: String,
    /// Time of the lifecycle event, as reported by Qontak; null if the webhook contained none.
    pub at: Option<Timestamp>,
    /// Id of the user that was assigned or unassigned, took over or resolved; null if not reported.
    pub actor_id: Option<String>,
    /// Name of that user; null if not reported.
    pub actor_name: Option<String>,
    /// Id of the first event that reported it.
    pub event_id: Uuid,
    /// Time this service first received a report of it.
    pub received_at: Timestamp,
}

/// Lists lifecycle events of these rooms.
pub async fn room_events(
    db: impl PgExecutor<'_>,
    rooms: &[RoomKey],
    limit: i64,
) -> sqlx::Result<Vec<RoomEventRow>> {
    sqlx::query_as!(
        RoomEventRow,
        r#"
            select
                nullif(
                    (select organization_id from organization where number = key.organization), ''
                ) as organization_id,
                room_id as "room_id!",
                type, at, actor_id, actor_name, event_id, received_at
            from unnest($1::text[], organization_numbers($2)) as key (room_id, organization)
            join room_event using (room_id, organization)
            order by coalesce(at, received_at) desc, event_id desc
            limit $3
        "#,
        &column(rooms, |key| key.room_id.as_str()) as _,
        &column(rooms, |key| key.organization_id.as_str()) as _,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Message, broadcast log or room that events are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `event.subject_id`.
    pub id: String,
    /// Organisation of the row: two may use the same id. `None` for any.
    pub organization_id: Option<String>,
}

/// Lists events about these subjects. An event that names no organisation may be about any of them.
pub async fn events(
    db: impl PgExecutor<'_>,
    scope: Scope<'_>,
    subjects: &[Subject],
) -> sqlx::Result<Vec<EventRow>> {
    sqlx::query_as!(
        EventRow,
        r#"
            select
                event_id as "event_id!", received_at as "received_at!", endpoint as "endpoint!",
                kind::text, name_sent(name, kind) as name,
                nullif(
                    (select organization_id from organization where number = event.organization), ''
                ) as organization_id,
                event.subject_id,
                outcome::text as "outcome!", coalesce(reasons, '{}') as "reasons!",
                deliveries as "deliveries!",
                coalesce(body_bytes, length(body)) as "body_bytes!",
                parser_version as "parser_version!", request_id as "request_id!"
            from unnest($2::text[], $4::text[], organization_numbers($4))
                as subject (subject_id, organization_id, organization)
            -- The newest of each subject, through the index: a scan of the journal is slow.
            cross join lateral (
                select *
                from event
                where event.subject_id = subject.subject_id
                    and ($1::text[] is null or event.organization = any(organization_numbers($1)))
                    and (subject.organization_id is null
                        or event.organization in (subject.organization, 0))
                order by event.day desc, event.event_id desc
                limit $3
            ) as event
            order by event.day desc, event.event_id desc
            limit $3
        "#,
        scope.organizations,
        &column(subjects, |subject| subject.id.as_str()) as _,
        scope.limit,
        &column(subjects, |subject| subject.organization_id.as_deref()) as _,
    )
    .fetch_all(db)
    .await
}
