//! Delivery statuses of everything that was sent, as part of a broadcast or not.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::query::Parameter;
use crate::http::query::value::{AnyOf, DayOrTime, Integer, Text, Word, period, text};
use crate::model::{Status, Timestamp, phone};
use crate::store::broadcast_log::{self, LogKey, LogRow};
use crate::store::delivery::{self, Filter, Place, Recipient};
use crate::store::facet::{self, Integration};
use crate::store::message::{self, MessageKey, MessageRow};
use crate::store::walk::Walk;
use crate::{parameter_schema, query, store};

/// Delivery status of one message to one customer.
#[derive(Serialize, ToSchema)]
struct Delivery {
    /// Id of the message; null if no event about it was received.
    message_id: Option<String>,
    /// Id of the broadcast recipient; null if it is not part of a broadcast.
    log_id: Option<String>,
    /// Id of the broadcast.
    messages_broadcast_id: Option<String>,
    /// Message id of the channel (`wamid.…`); null until the channel accepted the message.
    external_id: Option<String>,
    /// Id of the conversation; null if unknown.
    room_id: Option<String>,
    /// Organisation; null if unknown.
    organization_id: Option<String>,
    /// `wa`, `wa_cloud`, `ig`, `web_chat`, …; open list. Of a recipient without a message: that of
    /// its channel integration, as far as known.
    channel: Option<String>,
    /// Channel integration it was sent through.
    channel_integration_id: Option<String>,
    /// Phone number of the recipient, as sent by Qontak; null if it is not known to be one.
    contact_phone_number: Option<String>,
    /// Other id of the recipient at the channel: an id of WhatsApp that hides the number (`ID.…`,
    /// `…@lid`), a masked number, an account of another channel; null without one.
    contact_id: Option<String>,
    /// Name of the recipient.
    contact_full_name: Option<String>,
    /// Kind of sender as sent by Qontak: `agent`, `bot`; open list.
    participant_type: Option<String>,
    /// `text`, `image`, `document`, …; open list.
    r#type: Option<String>,
    /// Whether a broadcast sent it.
    is_campaign: bool,
    /// Effective status: the result of all statuses of recipient and message.
    #[schema(value_type = Option<Status>)]
    status: Option<&'static str>,
    #[serde(flatten)]
    progress: Progress,
    /// WhatsApp error code, e.g. 131026 (undeliverable).
    error_code: Option<i64>,
    /// Meta's title of the error.
    error_title: Option<String>,
    /// Meta's details of the error: which parameter, media or recipient was wrong.
    error_details: Option<String>,
    #[serde(flatten)]
    explained: Explained,
    /// Whether Meta charges for it once it is delivered; null if not reported.
    billable: Option<bool>,
    /// `marketing`, `utility`, `authentication`, …; open list.
    pricing_category: Option<String>,
    /// `PMP` (per message), `CBP` (per conversation); open list.
    pricing_model: Option<String>,
    /// Creation time, as reported by Qontak.
    created_at: Option<Timestamp>,
    #[serde(skip)]
    key: Place,
}

query! {
    /// Filters of the list of delivery statuses.
    pub struct DeliveryQuery {
        /// Filter by the phone number of the recipient, in any spelling (`0812…`, `+62 812-…`); for
        /// a message that is not part of a broadcast, that of the room.
        phone: Phone,
        /// Filter by effective status, of the recipient and its message together; any of several,
        /// `sent,delivered`.
        status: AnyOf<Status>,
        /// Filter by WhatsApp error code; any of several, `131026,131049`.
        error: AnyOf<ErrorCode>,
        /// Filter by broadcast.
        broadcast_id: Text,
        /// Filter by `channel`: `wa_cloud`, `ig`, `web_chat`, …; any of several. Broadcast recipients
        /// are found by channels of WhatsApp only.
        channel: AnyOf<Word>,
        /// Sent on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Sent until the end of this day (UTC), or before this time.
        end_date: DayOrTime,
    }
}

/// A WhatsApp error code.
type ErrorCode = Integer<0, { i32::MAX as i64 }>;

/// The readings of a phone number.
struct Phone(Vec<String>);

parameter_schema!(Phone, [], text().pattern(Some(phone::PATTERN)));

impl Parameter for Phone {
    fn parse(values: &[&str]) -> Result<Self, String> {
        let readings = phone::readings(values[0]);
        if readings.is_empty() {
            return Err(
                "must be a phone number of 8 to 15 digits (6281234567890, 0812…)".to_owned()
            );
        }
        Ok(Self(readings))
    }
}

impl DeliveryQuery {
    fn filter(self) -> Result<Filter, Error> {
        let (since, until) = period(self.start_date, self.end_date, &Utc)?;
        Ok(Filter {
            phones: self.phone.map(|phone| phone.0),
            status: self.status.map(AnyOf::names),
            error_codes: self
                .error
                .map(|AnyOf(codes)| codes.into_iter().map(|code| code.0).collect()),
            broadcast_id: self.broadcast_id.map(|text| text.0),
            channel: self.channel.map(AnyOf::words),
            since,
            until,
        })
    }
}

/// List delivery statuses of outgoing messages and broadcast recipients, newest first
///
/// A recipient of a broadcast and its message are one row, and so are messages with the same id at
/// the channel.
#[utoipa::path(
    get, path = "/delivery-statuses", params(DeliveryQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Delivery>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, DeliveryQuery>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let filter = query.filter()?;
    let fetch = async move |walk: Walk<Place>| {
        // One snapshot: a log inserted between two statements would take its message off the list
        // without being listed itself.
        let mut snapshot = store::snapshot(&db).await?;
        let keys = delivery::list(&mut snapshot, reader.organizations(), &filter, &walk).await?;
        store::use_generic_plans(&mut snapshot).await?;
        show(&mut snapshot, keys).await
    };
    page.respond(fetch, |delivery: &Delivery| delivery.key.clone()).await
}

/// Rows in the order of the keys, one each: the caller derives from their number whether there are
/// more.
async fn show(db: &mut PgConnection, keys: Vec<Place>) -> sqlx::Result<Vec<Delivery>> {
    let log_keys = keys
        .iter()
        .filter(|key| key.is_log)
        .map(|key| LogKey { organization_id: key.organization_id.clone(), log_id: key.id.clone() });
    let logs = broadcast_log::show(&mut *db, &log_keys.collect::<Vec<_>>()).await?;
    let message_keys = keys.iter().filter(|key| !key.is_log).map(|key| MessageKey {
        organization_id: key.organization_id.clone(),
        message_id: key.id.clone(),
    });
    let mut message_keys: Vec<MessageKey> = message_keys.collect();
    let mut twins = delivery::twins(&mut *db, &logs, &message_keys).await?;
    // With an id at the channel, messages are among the twins themselves.
    message_keys.retain(|key| !twins.contains(key));
    message_keys.append(&mut twins);
    let messages = message::show(&mut *db, &message_keys).await?;
    let recipients = delivery::recipients(&mut *db, &messages).await?;
    let of_log = |log: &LogRow| {
        let organization_id = log.organization_id.clone().unwrap_or_default();
        Some((organization_id, log.channel_integration_id.clone()?))
    };
    let integrations = facet::channels(db, &logs.iter().filter_map(of_log).collect()).await?;
    let joined = Joined::of(logs, messages, recipients, integrations);
    Ok(keys.into_iter().map(|key| joined.row(key)).collect())
}

/// Everything rows are joined from.
struct Joined {
    logs: HashMap<(String, String), LogRow>,
    /// By organisation and message id.
    messages: HashMap<(String, String), MessageRow>,
    /// Message ids by organisation and channel id, sorted.
    twins: HashMap<(String, String), Vec<String>>,
    /// By organisation and room id.
    recipients: HashMap<(String, String), Recipient>,
    /// Channels by organisation and channel integration.
    channels: HashMap<(String, String), String>,
}

impl Joined {
    fn of(
        logs: Vec<LogRow>,
        messages: Vec<MessageRow>,
        recipients: Vec<Recipient>,
        integrations: Vec<Integration>,
    ) -> Self {
        let key = |organization_id: &Option<String>, id: &str| {
            (organization_id.clone().unwrap_or_default(), id.to_owned())
        };
        let mut twins = HashMap::<_, Vec<String>>::new();
        for row in &messages {
            if let Some(external_id) = &row.external_id {
                let twins = twins.entry(key(&row.organization_id, external_id)).or_default();
                twins.push(row.id.clone());
            }
        }
        Self {
            logs: logs.into_iter().map(|row| (key(&row.organization_id, &row.id), row)).collect(),
            twins,
            messages: messages
                .into_iter()
                .map(|row| (key(&row.organization_id, &row.id), row))
                .collect(),
            recipients: recipients
                .into_iter()
                .map(|row| ((row.organization_id.clone(), row.room_id.clone()), row))
                .collect(),
            channels: integrations
                .into_iter()
                .map(|row| ((row.organization_id, row.channel_integration_id), row.channel))
                .collect(),
        }
    }

    fn row(&self, key: Place) -> Delivery {
        let within = |id: &str| (key.organization_id.clone(), id.to_owned());
        let log = self.logs.get(&within(&key.id)).filter(|_| key.is_log);
        let message = self.messages.get(&within(&key.id)).filter(|_| !key.is_log);
        let wamid = match log {
            Some(log) => log.whatsapp_message_id.as_deref(),
            None => message.and_then(|message| message.external_id.as_deref()),
        };
        let twins = wamid.and_then(|wamid| self.twins.get(&within(wamid)));
        let twins = twins.into_iter().flatten().filter_map(|id| self.messages.get(&within(id)));
        let message = message.or_else(|| twins.clone().next());
        let room_id = message.and_then(|message| message.room_id.as_deref());
        let recipient = room_id.and_then(|room_id| self.recipients.get(&within(room_id)));
        let integration = log.and_then(|log| log.channel_integration_id.as_deref());
        let channel = integration.and_then(|id| self.channels.get(&within(id))).cloned();
        let mut message = message.cloned().unwrap_or_default();
        twins.for_each(|twin| add_statuses(&mut message, twin));
        let mut delivery = Delivery::new(key, log.cloned().unwrap_or_default(), message, recipient);
        delivery.channel = delivery.channel.or(channel);
        delivery
    }
}

impl Delivery {
    /// Joins a log and its message; either may be empty.
    fn new(
        key: Place,
        mut log: LogRow,
        message: MessageRow,
        recipient: Option<&Recipient>,
    ) -> Self {
        let progress = progress(&log, &message);
        // Only the message may tell that a later attempt was delivered.
        let is_delivered = matches!(progress.status(), Some("delivered" | "read"));
        if is_delivered && !log.is_error_of_attempt {
            (log.error_code, log.error_title, log.error_details) = (None, None, None);
            log.whatsapp_error_message = None;
        }
        // The message's own error, or that of its log.
        let is_same = log.error_code.is_none() || log.error_code == message.error_code;
        let error_code = log.error_code.or(message.error_code);
        let error_title = log
            .error_title
            .or(log.whatsapp_error_message)
            .or(message.error_title.filter(|_| is_same));
        let error_details = log.error_details.or(message.error_details.filter(|_| is_same));
        let some = |id: String| (!id.is_empty()).then_some(id);
        let (log_id, message_id) = (some(log.id), some(message.id));
        let known =
            |of: fn(&Recipient) -> &Option<String>| recipient.and_then(|one| of(one).clone());
        let channel = message.channel.or_else(|| known(|one| &one.channel));
        let (contact_phone_number, contact_id) = match (log.contact_phone_number, log.contact_id) {
            (None, None) => contact(channel.as_deref(), known(|one| &one.account_uniq_id)),
            of_log => of_log,
        };
        Self {
            is_campaign: log_id.is_some() || message.is_campaign == Some(true),
            message_id,
            log_id,
            messages_broadcast_id: log.messages_broadcast_id.or(message.broadcast_id),
            external_id: log.whatsapp_message_id.or(message.external_id),
            room_id: message.room_id,
            organization_id: some(key.organization_id.clone()),
            channel,
            channel_integration_id: log.channel_integration_id.or(message.channel_integration_id),
            contact_phone_number,
            contact_id,
            contact_full_name: log.contact_full_name.or_else(|| known(|one| &one.name)),
            participant_type: message.participant_type,
            r#type: message.r#type,
            status: progress.status(),
            progress,
            explained: Explained::of(error_code),
            error_code,
            error_title,
            error_details,
            billable: log.billable,
            pricing_category: log.pricing_category,
            pricing_model: log.pricing_model,
            created_at: log.created_at.or(message.created_at),
            key,
        }
    }
}

/// The account of a room as phone number or as other id. Digits are a phone number on WhatsApp only.
fn contact(channel: Option<&str>, account: Option<String>) -> (Option<String>, Option<String>) {
    let is_whatsapp = channel.is_some_and(|channel| channel.to_ascii_lowercase().starts_with("wa"));
    let is_phone = is_whatsapp && account.as_deref().and_then(phone::normalize).is_some();
    if is_phone { (account, None) } else { (None, account) }
}

/// Adds the statuses of another message with the same id at the channel, and its error if the first
/// one has none.
fn add_statuses(message: &mut MessageRow, other: &MessageRow) {
    for (one, other) in [
        (&mut message.created_seen_at, other.created_seen_at),
        (&mut message.pending_seen_at, other.pending_seen_at),
        (&mut message.sent_seen_at, other.sent_seen_at),
        (&mut message.delivered_seen_at, other.delivered_seen_at),
        (&mut message.read_seen_at, other.read_seen_at),
        (&mut message.failed_seen_at, other.failed_seen_at),
        (&mut message.failed_at, other.failed_at),
    ] {
        *one = first(*one, other);
    }
    if message.error_code.is_none() && other.error_code.is_some() {
        message.error_code = other.error_code;
        message.error_title.clone_from(&other.error_title);
        message.error_details.clone_from(&other.error_details);
    }
}

fn first(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Status times of log and message together.
fn progress(log: &LogRow, message: &MessageRow) -> Progress {
    let created = first(log.created_seen_at, message.created_seen_at);
    let pending = first(log.pending_seen_at, message.pending_seen_at);
    let sent = first(log.sent_seen_at, message.sent_seen_at);
    let delivered = first(log.delivered_seen_at, message.delivered_seen_at);
    let read = first(log.read_seen_at, message.read_seen_at);
    let failed = first(log.failed_seen_at, message.failed_seen_at);
    let created_at = log.created_at.or(message.created_at);
    Progress::outgoing([
        ("created", StatusTime::best(None, created_at, created)),
        ("pending", StatusTime::best(log.pending_at, None, pending)),
        ("sent", StatusTime::best(log.sent_at, None, sent)),
        ("delivered", StatusTime::best(log.delivered_at, None, delivered)),
        ("read", StatusTime::best(log.read_at, None, read)),
        ("failed", StatusTime::best(log.failed_at.or(message.failed_at), None, failed)),
    ])
}
