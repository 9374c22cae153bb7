//! Table `message`: one row per message, from every event that carries it.

pub mod count;
mod filter;
mod list;
mod scan;
mod search;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;

pub use self::filter::{Filter, Place, RoomPlace};
pub use self::list::{list, list_by_room};
pub use self::scan::{Scan, ScannedKey};
use super::room::RoomKey;
use super::rows::{column, json, rounds_of_unique_keys};
use crate::model::{Message, Timestamp};

/// Merges what events say of messages.
///
/// No rule here depends on order: the first observation of each status stays (`least`), what
/// never changes in a message fills nulls (`greatest`), and the text of the highest rank wins.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a Message>,
) -> sqlx::Result<()> {
    for rows in
        rounds_of_unique_keys(rows, |row| (&row.organization_id, &row.message_id), Message::merge)
    {
        upsert_round(db, &rows).await?;
    }
    Ok(())
}

async fn upsert_round(db: &mut PgConnection, rows: &[Cow<'_, Message>]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into message (
                organization_id, message_id, received_at, room_id, created_at, channel_at,
                type, participant_type, participant_id, sender_type, sender_id,
                external_id, channel, channel_integration_id, broadcast_id, file_uniq_id,
                is_campaign, is_edited, review_star, file, reply, buttons, raw_message,
                text, text_rank, created_seen_at, pending_seen_at, sent_seen_at,
                delivered_seen_at, read_seen_at, failed_seen_at, other_statuses
            )
            select
                unnest($1::text[]), unnest($2::text[]), unnest($3::timestamptz[]),
                unnest($4::text[]), unnest($5::timestamptz[]), unnest($6::timestamptz[]),
                unnest($7::text[]), unnest($8::text[]), unnest($9::text[]),
                unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
                unnest($13::text[]), unnest($14::text[]), unnest($15::text[]),
                unnest($16::text[]), unnest($17::boolean[]), unnest($18::boolean[]),
                unnest($19::bigint[]), unnest($20::jsonb[]), unnest($21::jsonb[]),
                unnest($22::jsonb[]), unnest($23::jsonb[]), unnest($24::text[]),
                unnest($25::uuid[]), unnest($26::timestamptz[]),
                unnest($27::timestamptz[]), unnest($28::timestamptz[]),
                unnest($29::timestamptz[]), unnest($30::timestamptz[]),
                unnest($31::timestamptz[]), string_to_array(unnest($32::text[]), '')
            on conflict (organization_id, message_id) do update set
                received_at = least(message.received_at, excluded.received_at),
                room_id = greatest(message.room_id, excluded.room_id),
                created_at = least(message.created_at, excluded.created_at),
                channel_at = least(message.channel_at, excluded.channel_at),
                type = greatest(message.type, excluded.type),
                participant_type = greatest(message.participant_type, excluded.participant_type),
                participant_id = greatest(message.participant_id, excluded.participant_id),
                sender_type = greatest(message.sender_type, excluded.sender_type),
                sender_id = greatest(message.sender_id, excluded.sender_id),
                external_id = greatest(message.external_id, excluded.external_id),
                channel = greatest(message.channel, excluded.channel),
                channel_integration_id = greatest(message.channel_integration_id, excluded.channel_integration_id),
                broadcast_id = greatest(message.broadcast_id, excluded.broadcast_id),
                file_uniq_id = greatest(message.file_uniq_id, excluded.file_uniq_id),
                is_campaign = greatest(message.is_campaign, excluded.is_campaign),
                is_edited = greatest(message.is_edited, excluded.is_edited),
                review_star = greatest(message.review_star, excluded.review_star),
                file = greatest(message.file, excluded.file),
                reply = greatest(message.reply, excluded.reply),
                buttons = greatest(message.buttons, excluded.buttons),
                raw_message = greatest(message.raw_message, excluded.raw_message),
                text = later(message.text, message.text_rank, excluded.text, excluded.text_rank),
                text_rank = greatest(message.text_rank, excluded.text_rank),
                created_seen_at = least(message.created_seen_at, excluded.created_seen_at),
                pending_seen_at = least(message.pending_seen_at, excluded.pending_seen_at),
                sent_seen_at = least(message.sent_seen_at, excluded.sent_seen_at),
                delivered_seen_at = least(message.delivered_seen_at, excluded.delivered_seen_at),
                read_seen_at = least(message.read_seen_at, excluded.read_seen_at),
                failed_seen_at = least(message.failed_seen_at, excluded.failed_seen_at),
                other_statuses = case
                    when excluded.other_statuses is null
                        or message.other_statuses @> excluded.other_statuses
                    then message.other_statuses
                    else array(
                        select distinct word
                        from unnest(message.other_statuses || excluded.other_statuses) as word
                        order by word
                    )
                end
        "#,
        &column(rows, |row| row.organization_id.as_str()) as _,
        &column(rows, |row| row.message_id.as_str()) as _,
        &column(rows, |row| row.received_at) as _,
        &column(rows, |row| row.room_id.as_deref()) as _,
        &column(rows, |row| row.created_at) as _,
        &column(rows, |row| row.channel_at) as _,
        &column(rows, |row| row.r#type.as_deref()) as _,
        &column(rows, |row| row.participant_type.as_deref()) as _,
        &column(rows, |row| row.participant_id.as_deref()) as _,
        &column(rows, |row| row.sender_type.as_deref()) as _,
        &column(rows, |row| row.sender_id.as_deref()) as _,
        &column(rows, |row| row.external_id.as_deref()) as _,
        &column(rows, |row| row.channel.as_deref()) as _,
        &column(rows, |row| row.channel_integration_id.as_deref()) as _,
        &column(rows, |row| row.broadcast_id.as_deref()) as _,
        &column(rows, |row| row.file_uniq_id.as_deref()) as _,
        &column(rows, |row| row.is_campaign) as _,
        &column(rows, |row| row.is_edited) as _,
        &column(rows, |row| row.review_star) as _,
        &column(rows, |row| json(&row.file)) as _,
        &column(rows, |row| json(&row.reply)) as _,
        &column(rows, |row| json(&row.buttons)) as _,
        &column(rows, |row| json(&row.raw_message)) as _,
        &column(rows, |row| row.text.as_deref()) as _,
        &column(rows, |row| row.text_rank.as_uuid()),
        &column(rows, |row| row.statuses.created) as _,
        &column(rows, |row| row.statuses.pending) as _,
        &column(rows, |row| row.statuses.sent) as _,
        &column(rows, |row| row.statuses.delivered) as _,
        &column(rows, |row| row.statuses.read) as _,
        &column(rows, |row| row.statuses.failed) as _,
        &column(rows, |row| row.statuses.other.as_deref()) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What tells a message.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct MessageKey {
    pub organization_id: String,
    pub message_id: String,
}

/// The last message of each of these rooms that has one.
pub async fn list_last(
    db: impl PgExecutor<'_>,
    rooms: &[RoomKey],
) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select last.organization_id as "organization_id!", last.message_id as "message_id!"
            from unnest($1::text[], $2::text[]) as key (room_id, organization_id)
            cross join lateral (
                select message.organization_id, message.message_id
                from message
                where message.room_id = key.room_id
                    and message.organization_id = key.organization_id
                    -- The index knows the time alone: for the id as well, or if few rows were
                    -- thought to be of the organisation, the whole room would be read and sorted.
                    and message.at = (
                        select newest.at
                        from message as newest
                        where newest.room_id = key.room_id
                            and coalesce(newest.organization_id = key.organization_id, false)
                        order by newest.at desc
                        limit 1
                    )
                order by message.message_id desc
                limit 1
            ) as last
        "#,
        &column(rooms, |key| key.room_id.as_str()) as _,
        &column(rooms, |key| key.organization_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}

/// The message with this id, if it may be seen.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    message_id: &str,
) -> sqlx::Result<Option<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select organization_id, message_id
            from message
            where message_id = $1 and ($2::text[] is null or organization_id = any($2))
            -- One without an organisation is but a guess beside one that has it.
            order by organization_id desc
            limit 1
        "#,
        message_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// A message with its sender and the times that its broadcast log lends it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct MessageRow {
    /// Qontak's id of the message; opaque text.
    pub id: String,
    /// Organisation it belongs to; null when unknown.
    pub organization_id: Option<String>,
    /// The conversation.
    pub room_id: Option<String>,
    /// `text`, `image`, `document`, `location`, …; open list.
    pub r#type: Option<String>,
    /// Text or caption. Null for media without caption.
    pub text: Option<String>,
    /// Effective status: `created`, `pending`, `sent`, `delivered`, `read`, `failed`. It never goes
    /// back; null when only other words were seen.
    pub status: Option<String>,
    /// Other status words seen (`played`, `deleted`, `warning`, …), sorted.
    pub other_statuses: Option<Vec<String>>,
    /// WhatsApp error code of its twin, a broadcast log.
    pub error_code: Option<i64>,
    /// Meta's title of that error.
    pub error_title: Option<String>,
    /// `customer`, `agent` or `bot`; derived from `sender_type` where Qontak left it out.
    pub participant_type: Option<String>,
    /// Membership of the sender in the room.
    pub participant_id: Option<String>,
    /// `Models::Contact`, `Models::User`, `Models::SystemAccount`.
    pub sender_type: Option<String>,
    /// Contact or user that sent it.
    pub sender_id: Option<String>,
    /// Id at the channel (`wamid.…`); null until the channel accepted it. Equals
    /// `whatsapp_message_id` of its twin, a broadcast log.
    pub external_id: Option<String>,
    /// Channel, where the event names it.
    pub channel: Option<String>,
    /// The integration it went through.
    pub channel_integration_id: Option<String>,
    /// The broadcast that sent it, where `last_campaign` names one.
    pub broadcast_id: Option<String>,
    /// Whether a broadcast sent it.
    pub is_campaign: Option<bool>,
    /// Whether it was edited after it was sent.
    pub is_edited: Option<bool>,
    /// Stars of a review: 0 to 5.
    pub review_star: Option<i64>,
    /// Id of the attached file.
    pub file_uniq_id: Option<String>,
    /// Attachment: `{filename, url, size, large, medium, small}`. The URL's lifetime is unknown.
    pub file: Option<Value>,
    /// What it answers: an object with `id`, or text.
    pub reply: Option<Value>,
    /// Buttons shown with it; null when there are none.
    pub buttons: Option<Value>,
    /// WhatsApp's own value object: location, contacts, order and interactive details live here.
    pub raw_message: Option<Value>,
    /// Creation of the message (never of an event), by Qontak's clock.
    pub created_at: Option<Timestamp>,
    /// When it was first heard of, by our clock.
    pub received_at: Timestamp,
    /// What conversations are sorted by.
    #[serde(skip)]
    pub at: Timestamp,
    /// Time at WhatsApp of an incoming message, from `raw_message`; whole seconds.
    #[serde(skip)]
    pub channel_at: Option<Timestamp>,
    /// When status created was first seen, by our clock.
    #[serde(skip)]
    pub created_seen_at: Option<Timestamp>,
    /// When status pending was first seen, by our clock.
    #[serde(skip)]
    pub pending_seen_at: Option<Timestamp>,
    /// When status sent was first seen, by our clock.
    #[serde(skip)]
    pub sent_seen_at: Option<Timestamp>,
    /// When status delivered was first seen, by our clock.
    #[serde(skip)]
    pub delivered_seen_at: Option<Timestamp>,
    /// When status read (or played) was first seen, by our clock.
    #[serde(skip)]
    pub read_seen_at: Option<Timestamp>,
    /// When status failed was first seen, by our clock.
    #[serde(skip)]
    pub failed_seen_at: Option<Timestamp>,
    /// When its twin, a broadcast log, became pending, by WhatsApp's clock.
    #[serde(skip)]
    pub log_pending_at: Option<Timestamp>,
    /// When its twin was sent, by WhatsApp's clock.
    #[serde(skip)]
    pub log_sent_at: Option<Timestamp>,
    /// When its twin was delivered, by WhatsApp's clock.
    #[serde(skip)]
    pub log_delivered_at: Option<Timestamp>,
    /// When its twin was read, by WhatsApp's clock.
    #[serde(skip)]
    pub log_read_at: Option<Timestamp>,
    /// When its twin failed, by WhatsApp's clock.
    #[serde(skip)]
    pub log_failed_at: Option<Timestamp>,
    /// Display name of the sender.
    #[serde(skip)]
    pub sender_name: Option<String>,
    /// User name of the sender; agents only.
    #[serde(skip)]
    pub sender_username: Option<String>,
    /// Picture of the sender.
    #[serde(skip)]
    pub sender_avatar: Option<Value>,
}

/// The messages of these keys, in their order.
pub async fn show(db: impl PgExecutor<'_>, keys: &[MessageKey]) -> sqlx::Result<Vec<MessageRow>> {
    sqlx::query_as!(
        MessageRow,
        r#"
            select
                message.message_id as id,
                nullif(message.organization_id, '') as organization_id,
                message.room_id, message.type, message.text, message.status,
                message.other_statuses, message.participant_type, message.participant_id,
                message.sender_type, message.sender_id, message.external_id, message.channel,
                message.channel_integration_id, message.broadcast_id, message.is_campaign,
                message.is_edited, message.review_star, message.file_uniq_id, message.file,
                message.reply, message.buttons, message.raw_message, message.created_at,
                message.received_at, message.at as "at!", message.channel_at,
                message.created_seen_at, message.pending_seen_at, message.sent_seen_at,
                message.delivered_seen_at, message.read_seen_at, message.failed_seen_at,
                log.pending_at as log_pending_at, log.sent_at as log_sent_at,
                log.delivered_at as log_delivered_at, log.read_at as log_read_at,
                log.failed_at as log_failed_at, log.error_code as "error_code?",
                log.error_title as "error_title?",
                sender.name as "sender_name?", sender.username as "sender_username?",
                sender.avatar as "sender_avatar?"
            from unnest($1::text[], $2::text[]) with ordinality
                as key (message_id, organization_id, place)
            join message using (message_id, organization_id)
            left join sender
                on sender.sender_id = message.sender_id
                and sender.organization_id = message.organization_id
            left join lateral (
                select
                    pending_at, sent_at, delivered_at, read_at, failed_at, error_code,
                    coalesce(error_title, error_message) as error_title
                from broadcast_log
                -- What a customer wrote has no twin. Only a log knows true times.
                where message.participant_type is distinct from 'customer'
                    and broadcast_log.whatsapp_message_id = message.external_id
                    and broadcast_log.organization_id = message.organization_id
                order by log_id
                limit 1
            ) as log on true
            order by key.place
        "#,
        &column(keys, |key| key.message_id.as_str()) as _,
        &column(keys, |key| key.organization_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}
