//! A recipient of a broadcast in the format of Qontak's API.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::Timestamp;
use crate::store::broadcast_log::LogRow;

/// Qontak's value for a missing text.
const NONE: &str = "n/a";

/// A recipient of a broadcast.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenLog)]
pub struct Log {
    id: String,
    messages_broadcast_id: Option<String>,
    messages_broadcast_template_id: Option<String>,
    channel_integration_id: Option<String>,
    organization_id: Option<String>,
    contact_phone_number: Option<String>,
    contact_full_name: Option<String>,
    /// created, pending, sent, delivered, read, failed.
    status: Option<String>,
    /// Message id of WhatsApp; `n/a` if WhatsApp did not accept the message.
    whatsapp_message_id: String,
    /// Error message; `n/a` if there is none.
    whatsapp_error_message: String,
    messages_response: MessagesResponse,
    /// Template and its parameters.
    messages: Option<Value>,
    created_at: Option<Timestamp>,
    /// Whether WhatsApp holds the message back to assess the quality of its template.
    is_pacing: Option<bool>,
}

/// Responses and status reports of WhatsApp, rebuilt from the stored columns.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = OpenMessagesResponse)]
struct MessagesResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    messaging_product: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Accepted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sent: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    read: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failed: Option<StatusReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

#[derive(Serialize, ToSchema)]
struct Contact {
    input: String,
    wa_id: String,
}

#[derive(Serialize, ToSchema)]
struct Accepted {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message_status: Option<&'static str>,
}

/// Report of one status.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenStatuses)]
struct StatusReport {
    statuses: [Status; 1],
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenStatus)]
struct Status {
    id: String,
    status: &'static str,
    recipient_id: Option<String>,
    /// Seconds since 1970, as reported by WhatsApp.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    conversation: Option<Conversation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

#[derive(Serialize, ToSchema)]
struct Conversation {
    origin: Origin,
}

#[derive(Serialize, ToSchema)]
struct Origin {
    r#type: String,
}

#[derive(Serialize, ToSchema)]
struct Pricing {
    billable: Option<bool>,
    category: Option<String>,
    pricing_model: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenError)]
struct Problem {
    /// WhatsApp error code.
    code: Option<i64>,
    title: Option<String>,
    details: Option<String>,
}

impl Log {
    /// Converts a row.
    pub fn new(mut row: LogRow) -> Self {
        // Qontak has one field for both.
        row.contact_phone_number = row.contact_phone_number.or(row.contact_id.take());
        let messages_response = MessagesResponse::of(&row);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        Self {
            id: row.id,
            messages_broadcast_id: row.messages_broadcast_id,
            messages_broadcast_template_id: row.messages_broadcast_template_id,
            channel_integration_id: row.channel_integration_id,
            organization_id: row.organization_id,
            contact_phone_number: row.contact_phone_number,
            contact_full_name: row.contact_full_name,
            status: row.status,
            whatsapp_message_id: or_none(row.whatsapp_message_id),
            whatsapp_error_message: or_none(row.whatsapp_error_message),
            messages_response,
            messages: row.messages,
            created_at: row.created_at,
            is_pacing: row.is_pacing,
        }
    }
}

impl MessagesResponse {
    fn of(row: &LogRow) -> Self {
        let Some(id) = &row.whatsapp_message_id else {
            return Self { errors: problems(row), ..Self::default() };
        };
        let report = |status, seen_at: Option<Timestamp>, at: Option<Timestamp>| {
            seen_at.map(|_| StatusReport { statuses: [Status::of(row, id, status, at)] })
        };
        let phone = row.contact_phone_number.iter().cloned();
        let is_held = row.pending_seen_at.is_some();
        let message_status = if is_held { "held_for_quality_assessment" } else { "accepted" };
        Self {
            messaging_product: Some("whatsapp"),
            contacts: phone.map(|phone| Contact { input: phone.clone(), wa_id: phone }).collect(),
            messages: vec![Accepted { id: id.clone(), message_status: Some(message_status) }],
            sent: report("sent", row.sent_seen_at, row.sent_at),
            delivered: report("delivered", row.delivered_seen_at, row.delivered_at),
            read: report("read", row.read_seen_at, row.read_at),
            failed: report("failed", row.failed_seen_at, row.failed_at),
            errors: Vec::new(),
        }
    }
}

impl Status {
    fn of(row: &LogRow, id: &str, status: &'static str, at: Option<Timestamp>) -> Self {
        // WhatsApp reports pricing with the status `delivered`.
        let is_delivered = status == "delivered";
        let origin = row.conversation_origin.clone().filter(|_| is_delivered);
        let pricing = Pricing {
            billable: row.billable,
            category: row.pricing_category.clone(),
            pricing_model: row.pricing_model.clone(),
        };
        let is_priced = row.billable.is_some() || row.pricing_category.is_some();
        Self {
            id: id.to_owned(),
            status,
            recipient_id: row.contact_phone_number.clone(),
            timestamp: at.map(|at| at.0.timestamp().to_string()),
            conversation: origin.map(|origin| Conversation { origin: Origin { r#type: origin } }),
            pricing: (is_delivered && is_priced).then_some(pricing),
            errors: if status == "failed" { problems(row) } else { Vec::new() },
        }
    }
}

fn problems(row: &LogRow) -> Vec<Problem> {
    if row.error_code.is_none() && row.error_title.is_none() && row.whatsapp_error_message.is_none()
    {
        return Vec::new();
    }
    let title = row.error_title.clone().or_else(|| row.whatsapp_error_message.clone());
    let details = row.error_details.clone().or_else(|| row.whatsapp_error_message.clone());
    vec![Problem { code: row.error_code, title, details }]
}
