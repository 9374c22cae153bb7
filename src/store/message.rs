//! Table `message`: one row per message, merged from all events that contain it.

pub mod count;
mod filter;
mod index_range;
mod list;
mod scan;
mod search;

use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

pub use self::filter::{Filter, OUTGOING, Place, RoomPlace};
pub use self::list::{list, list_by_room, place_in_room};
pub use self::scan::{Scan, ScannedKey};
use super::room::RoomKey;
use super::rows::column;
use crate::model::qontak_object::{Attachment, Button, RawMessage, Reply};
use crate::model::{Status, Timestamp};

/// Primary key of a message.
#[derive(Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct MessageKey {
    pub organization_id: String,
    pub message_id: String,
}

/// Merges the messages of an unknown organisation into those of the only organisation that has them.
pub async fn claim(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            select claim_messages_1(
                array(select message_id from message where organization = 0)
            )
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lists the last message of each of these rooms; rooms without messages are omitted.
pub async fn list_last(
    db: impl PgExecutor<'_>,
    rooms: &[RoomKey],
) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select
                key.organization_id as "organization_id!", last.message_id as "message_id!"
            from unnest($1::text[], organization_numbers($2), $2::text[])
                as key (room_id, organization, organization_id)
            cross join lateral (
                select message.message_id
                from message
                where message.room_id = key.room_id
                    and message.organization = key.organization
                    -- The index is in order of time only. Ordering by id as well, or a low row
                    -- estimate for the organisation, would read and sort the whole room.
                    and message.at = (
                        select newest.at
                        from message as newest
                        where newest.room_id = key.room_id
                            and coalesce(newest.organization = key.organization, false)
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
            select organization_id(organization) as "organization_id!", message_id
            from message
            where message_id = $1 and ($2::text[] is null or organization = any(organization_numbers($2)))
            -- Prefer a row with a known organisation.
            order by organization desc
            limit 1
        "#,
        message_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// A message with its sender and the times of its broadcast log.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct MessageRow {
    /// Qontak's id of the message; an opaque string.
    pub id: String,
    /// Organisation of the message; null when unknown.
    pub organization_id: Option<String>,
    /// Qontak's id of the room; null when unknown.
    pub room_id: Option<String>,
    /// Type as sent by Qontak: `text`, `image`, `document`, `location`, …; new values are possible.
    pub r#type: Option<String>,
    /// Text or caption; null for media without a caption.
    pub text: Option<String>,
    /// Effective status: `created`, `pending`, `sent`, `delivered`, `read` or `failed`. It never goes
    /// backwards; null if only other statuses were received.
    #[schema(value_type = Option<Status>)]
    pub status: Option<String>,
    /// Other statuses received (`played`, `deleted`, `warning`, …), sorted; null if there are none.
    pub other_statuses: Option<Vec<String>>,
    /// WhatsApp error code, from an event about the message or else from its broadcast log; null
    /// without one.
    pub error_code: Option<i64>,
    /// Meta's title of the error, or else its message; null without one.
    pub error_title: Option<String>,
    /// Meta's details of the error: which parameter, media or recipient was wrong; null without any.
    pub error_details: Option<String>,
    /// Direction: `in` from a customer, `out` to one. It follows from the sender, else from the event
    /// name, else from a status beyond `created`; null when none of them tells.
    pub direction: Option<String>,
    /// Kind of sender as sent by Qontak: `customer`, `agent`, `bot`; new values are possible. Derived
    /// from `sender_type` or the event name if Qontak did not send it.
    pub participant_type: Option<String>,
    /// Qontak's id of the sender's membership in the room.
    pub participant_id: Option<String>,
    /// Type of the sender at Qontak: `Models::Contact`, `Models::User`, `Models::SystemAccount`.
    pub sender_type: Option<String>,
    /// Qontak's id of the contact or user that sent the message.
    pub sender_id: Option<String>,
    /// Id of the message at the channel (`wamid.…`); null until the channel accepts the message.
    /// Equals `whatsapp_message_id` of its broadcast log.
    pub external_id: Option<String>,
    /// Channel; null if no event contained it.
    pub channel: Option<String>,
    /// Qontak's id of the channel integration; null when unknown.
    pub channel_integration_id: Option<String>,
    /// Qontak's id of the broadcast that sent the message, from `last_campaign`; null without one.
    pub broadcast_id: Option<String>,
    /// Whether a broadcast sent the message; null when unknown.
    pub is_campaign: Option<bool>,
    /// Whether the message was edited after it was sent; null when unknown.
    pub is_edited: Option<bool>,
    /// Stars of a review, 0 to 5; null for other messages.
    pub review_star: Option<i64>,
    /// Qontak's id of the attached file; null without one.
    pub file_uniq_id: Option<String>,
    /// Attached file; null without one.
    #[schema(value_type = Option<Attachment>)]
    pub file: Option<Value>,
    /// Message that this one replies to, as sent by Qontak.
    #[schema(value_type = Option<Reply>)]
    pub reply: Option<Value>,
    /// Buttons of the message; null when there are none.
    #[schema(value_type = Option<Vec<Button>>)]
    pub buttons: Option<Value>,
    /// WhatsApp's message object, with details of locations, contacts, orders and interactive
    /// messages.
    #[schema(value_type = Option<RawMessage>)]
    pub raw_message: Option<Value>,
    /// Time the message was created, as reported by Qontak; never the time of an event.
    pub created_at: Option<Timestamp>,
    /// Time this service first received an event with the message.
    pub received_at: Timestamp,
    /// Sort key of lists.
    #[serde(skip)]
    pub at: Timestamp,
    /// Time of an incoming message as reported by WhatsApp in `raw_message`, in whole seconds.
    #[serde(skip)]
    pub channel_at: Option<Timestamp>,
    /// Time of status `failed`, as reported by WhatsApp in an event about the message.
    #[serde(skip)]
    pub failed_at: Option<Timestamp>,
    /// Time this service first received status `created`.
    #[serde(skip)]
    pub created_seen_at: Option<Timestamp>,
    /// Time this service first received status `pending`.
    #[serde(skip)]
    pub pending_seen_at: Option<Timestamp>,
    /// Time this service first received status `sent`.
    #[serde(skip)]
    pub sent_seen_at: Option<Timestamp>,
    /// Time this service first received status `delivered`.
    #[serde(skip)]
    pub delivered_seen_at: Option<Timestamp>,
    /// Time this service first received status `read` or `played`.
    #[serde(skip)]
    pub read_seen_at: Option<Timestamp>,
    /// Time this service first received status `failed`.
    #[serde(skip)]
    pub failed_seen_at: Option<Timestamp>,
    /// Time its broadcast log became pending, as reported by WhatsApp.
    #[serde(skip)]
    pub log_pending_at: Option<Timestamp>,
    /// Time its broadcast log was sent, as reported by WhatsApp.
    #[serde(skip)]
    pub log_sent_at: Option<Timestamp>,
    /// Time its broadcast log was delivered, as reported by WhatsApp.
    #[serde(skip)]
    pub log_delivered_at: Option<Timestamp>,
    /// Time its broadcast log was read, as reported by WhatsApp.
    #[serde(skip)]
    pub log_read_at: Option<Timestamp>,
    /// Time its broadcast log failed, as reported by WhatsApp.
    #[serde(skip)]
    pub log_failed_at: Option<Timestamp>,
    /// Last known display name of the sender.
    #[serde(skip)]
    pub sender_name: Option<String>,
    /// Last known username of the sender; agents only.
    #[serde(skip)]
    pub sender_username: Option<String>,
    /// Last known avatar of the sender.
    #[serde(skip)]
    pub sender_avatar: Option<Value>,
}

impl MessageRow {
    /// Its key.
    pub fn key(&self) -> MessageKey {
        MessageKey {
            organization_id: self.organization_id.clone().unwrap_or_default(),
            message_id: self.id.clone(),
        }
    }
}

/// Fetches the messages with these keys, in the order of the keys.
pub async fn show(db: impl PgExecutor<'_>, keys: &[MessageKey]) -> sqlx::Result<Vec<MessageRow>> {
    sqlx::query_as!(
        MessageRow,
        r#"
            select
                message.message_id as id,
                nullif(key.organization_id, '') as organization_id,
                message.room_id, message.type, message.text, message.status,
                message.other_statuses,
                case when message.sender_kind = 'customer' then 'in'
                    when message.sender_kind is not null then 'out' end as direction,
                message.participant_type, message.participant_id,
                message.sender_type, message.sender_id, message.external_id, message.channel,
                message.channel_integration_id, message.broadcast_id, message.is_campaign,
                message.is_edited, message.review_star, message.file_uniq_id, message.file,
                message.reply, message.buttons, message.raw_message, message.created_at,
                message.received_at, message.at as "at!", message.channel_at,
                message.created_seen_at, message.pending_seen_at, message.sent_seen_at,
                message.delivered_seen_at, message.read_seen_at, message.failed_seen_at,
                log.pending_at as log_pending_at, log.sent_at as log_sent_at,
                log.delivered_at as log_delivered_at, log.read_at as log_read_at,
                log.failed_at as log_failed_at, message.failed_at,
                -- Of the log, unless it has the error of another message; title and details also unless
                -- the message has another error.
                coalesce(message.error_code, case when is_of_other is not true then log.error_code end)
                    as "error_code?",
                coalesce(
                    message.error_title,
                    case when is_same and is_of_other is not true then log.error_title end
                ) as "error_title?",
                coalesce(
                    message.error_details,
                    case when is_same and is_of_other is not true then log.error_details end
                ) as "error_details?",
                sender.name as "sender_name?", sender.username as "sender_username?",
                sender.avatar as "sender_avatar?"
            from unnest($1::text[], organization_numbers($2), $2::text[]) with ordinality
                as key (message_id, organization, organization_id, place)
            join message using (message_id, organization)
            left join sender
                on sender.sender_id = message.sender_id
                and sender.organization = message.organization
            left join lateral (
                select
                    pending_at, sent_at, delivered_at, read_at, failed_at, error_code,
                    coalesce(error_title, error_message) as error_title, error_details,
                    coalesce(broadcast_log.error_code = message.error_code, true) as is_same,
                    -- Of an earlier attempt: with another message, or refused at once.
                    last_error_message_id <> message.external_id
                        or last_error_message_id is null and message.status in ('delivered', 'read')
                        as is_of_other
                from broadcast_log
                -- Messages of customers have no broadcast log. Only logs have WhatsApp's times.
                where message.sender_kind is distinct from 'customer'
                    and broadcast_log.whatsapp_message_id = message.external_id
                    and broadcast_log.organization = message.organization
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
