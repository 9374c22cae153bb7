//! Queries of table `broadcast_log`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use crate::model::qontak_object::Content;
use crate::model::{Status, Timestamp};
use crate::store::rows::column;
use crate::store::walk::Walk;

/// Key of a log.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table broadcast_log say it")]
pub struct LogKey {
    pub organization_id: String,
    pub log_id: String,
}

/// Place of a log in the list of its broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `broadcast_log.at`.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub log_id: String,
}

/// Lists the logs of a broadcast (organisation, id), newest first, by index
/// `broadcast_log_by_broadcast`.
pub async fn list(
    db: impl PgExecutor<'_>,
    (organization_id, broadcast_id): (&str, &str),
    status: Option<&[String]>,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<LogKey>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                LogKey,
                r#"
                    select
                        (
                            select organization_id from organization where number = broadcast_log.organization
                        ) as "organization_id!",
                        log_id
                    from broadcast_log
                    where organization = organization_number($1)
                        and broadcast_id = $2
                        and ($3::text[] is null or status = any($3))
                        and ($4::timestamptz is null or (at, log_id) "#
                    + $cmp
                    + r#" ($4, $5))
                    order by "#
                    + $order
                    + r#"
                    limit $6
                "#,
                organization_id,
                broadcast_id,
                status,
                from.map(|place| place.at) as _,
                from.map(|place| place.log_id.as_str()),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!(">", "at, log_id") } else { page!("<", "at desc, log_id desc") }
}

/// A recipient of a broadcast, without its message.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LogRow {
    /// Qontak's id of the log, which is one recipient of one broadcast.
    pub id: String,
    /// Organisation; null when unknown.
    pub organization_id: Option<String>,
    /// Qontak's id of the broadcast (`messages_broadcast_id`).
    pub messages_broadcast_id: Option<String>,
    /// Qontak's id of the template (`messages_broadcast_template_id`).
    pub messages_broadcast_template_id: Option<String>,
    /// Qontak's id of the channel integration; null when unknown.
    pub channel_integration_id: Option<String>,
    /// Phone number of the recipient, as sent by Qontak; null if that was no phone number.
    pub contact_phone_number: Option<String>,
    /// What Qontak sent in place of a phone number: an id of WhatsApp that hides the number (`ID.…`,
    /// `…@lid`), a masked number, an e-mail address; null without one.
    pub contact_id: Option<String>,
    /// Name of the recipient.
    pub contact_full_name: Option<String>,
    /// WhatsApp's id of the message (`wamid.…`); null if WhatsApp never accepted it. Equals
    /// `external_id` of the message.
    pub whatsapp_message_id: Option<String>,
    /// Effective status: `created`, `pending`, `sent`, `delivered`, `read` or `failed`. It never goes
    /// backwards; null if only other statuses were received.
    #[schema(value_type = Option<Status>)]
    pub status: Option<String>,
    /// Other statuses received (`played`, `warning`, …), sorted; null if there are none.
    pub other_statuses: Option<Vec<String>>,
    /// WhatsApp error code, e.g. 131026: undeliverable.
    pub error_code: Option<i64>,
    /// Meta's title of the error.
    pub error_title: Option<String>,
    /// Meta's details of the error: which parameter, media or recipient was wrong.
    pub error_details: Option<String>,
    /// WhatsApp's error message.
    pub whatsapp_error_message: Option<String>,
    /// Whether the error is that of the attempt with `whatsapp_message_id`.
    #[serde(skip)]
    pub is_error_of_attempt: bool,
    /// Whether Meta charges for the message once it is delivered; null if not reported.
    pub billable: Option<bool>,
    /// `marketing`, `utility`, `authentication`, …; new values are possible.
    pub pricing_category: Option<String>,
    /// `PMP` (per message), `CBP` (per conversation); new values are possible.
    pub pricing_model: Option<String>,
    /// Origin of Meta's conversation: `marketing`, `utility`, …
    pub conversation_origin: Option<String>,
    /// Whether Meta's template pacing held the message back.
    pub is_pacing: Option<bool>,
    /// Header, body and buttons with template and parameters.
    #[schema(value_type = Option<Content>)]
    pub messages: Option<Value>,
    /// Time the log was created, as reported by Qontak.
    pub created_at: Option<Timestamp>,
    /// Time this service first received an event with the log.
    pub received_at: Timestamp,
    /// Sort key of lists.
    #[serde(skip)]
    pub at: Timestamp,
    /// Time of status `pending`, as reported by WhatsApp.
    #[serde(skip)]
    pub pending_at: Option<Timestamp>,
    /// Time of status `sent`, as reported by WhatsApp.
    #[serde(skip)]
    pub sent_at: Option<Timestamp>,
    /// Time of status `delivered`, as reported by WhatsApp; null if only `read` was reported.
    #[serde(skip)]
    pub delivered_at: Option<Timestamp>,
    /// Time of status `read`, as reported by WhatsApp.
    #[serde(skip)]
    pub read_at: Option<Timestamp>,
    /// Time of status `failed`, as reported by WhatsApp.
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
}

impl LogRow {
    /// Place in the list of its broadcast.
    pub fn place(&self) -> Place {
        Place { at: self.at, log_id: self.id.clone() }
    }
}

/// Fetches the logs with these keys, in the order of the keys.
pub async fn show(db: impl PgExecutor<'_>, keys: &[LogKey]) -> sqlx::Result<Vec<LogRow>> {
    sqlx::query_as!(
        LogRow,
        r#"
            select
                log.log_id as id,
                nullif(key.organization_id, '') as organization_id,
                log.broadcast_id as messages_broadcast_id,
                log.template_id as messages_broadcast_template_id, log.channel_integration_id,
                log.contact_phone_number, log.contact_id, log.contact_full_name,
                log.whatsapp_message_id, log.status, log.other_statuses, log.error_code, log.error_title,
                log.error_details, log.error_message as whatsapp_error_message,
                coalesce(
                    log.last_error_message_id = log.whatsapp_message_id, log.whatsapp_message_id is null
                ) as "is_error_of_attempt!",
                log.billable, log.pricing_category, log.pricing_model, log.conversation_origin, log.is_pacing, log.messages,
                log.created_at, log.received_at, log.at as "at!", log.pending_at, log.sent_at,
                log.delivered_at, log.read_at, log.failed_at, log.created_seen_at,
                log.pending_seen_at, log.sent_seen_at, log.delivered_seen_at, log.read_seen_at,
                log.failed_seen_at
            from unnest($1::text[], organization_numbers($2), $2::text[]) with ordinality
                as key (log_id, organization, organization_id, place)
            join broadcast_log as log using (log_id, organization)
            order by key.place
        "#,
        &column(keys, |key| key.log_id.as_str()) as _,
        &column(keys, |key| key.organization_id.as_str()) as _,
    )
    .fetch_all(db)
    .await
}
