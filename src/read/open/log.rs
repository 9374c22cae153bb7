//! A recipient of a broadcast in the format of Qontak's API.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::response::{MessagesResponse, Own};
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
    /// WhatsApp's responses and status reports, as Qontak sent them. If the events were dropped from
    /// the journal by age, `messages`, `sent`, `delivered`, `read`, `failed` and `errors` are rebuilt
    /// from what is stored, and the rest is missing.
    #[schema(value_type = BTreeMap<String, Value>)]
    messages_response: MessagesResponse,
    /// Template and its parameters.
    messages: Option<Value>,
    created_at: Option<Timestamp>,
    /// Whether WhatsApp holds the message back to assess the quality of its template.
    is_pacing: Option<bool>,
}

impl Log {
    /// Converts a row; `own` is what Qontak sent as `messages_response`.
    pub fn new(mut row: LogRow, own: Option<Own>) -> Self {
        // Qontak has one field for both.
        row.contact_phone_number = row.contact_phone_number.or(row.contact_id.take());
        let messages_response = MessagesResponse::new(&row, own);
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
