//! A broadcast log as one event shows it, and the keys by which several of them are merged.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Statuses, Timestamp, bit_mask};

/// A broadcast log: one recipient of a broadcast.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table broadcast_log")]
pub struct BroadcastLog {
    pub organization_id: String,
    pub log_id: String,
    pub received_at: Timestamp,
    pub broadcast_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub template_id: Option<String>,
    pub channel_integration_id: Option<String>,
    pub contact_phone_number: Option<String>,
    pub contact_phone_digits: Option<String>,
    pub contact_id: Option<String>,
    pub contact_full_name: Option<String>,
    pub whatsapp_message_id: Option<String>,
    pub error_at: Option<Timestamp>,
    pub error_message_id: Option<String>,
    pub error_code: Option<i64>,
    pub error_title: Option<String>,
    pub error_details: Option<String>,
    pub error_message: Option<String>,
    pub billable: Option<bool>,
    pub pricing_category: Option<String>,
    pub pricing_model: Option<String>,
    pub conversation_id: Option<String>,
    pub conversation_origin: Option<String>,
    pub is_pacing: Option<bool>,
    pub messages: Option<Box<RawValue>>,
    pub pending_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub read_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub statuses: Statuses,
}

impl BroadcastLog {
    /// Latest time of WhatsApp, or else the creation; the Unix epoch without either.
    pub fn clock(&self) -> Timestamp {
        let clock = self.whatsapp_clock().or(self.created_at);
        clock.map_or_else(Timestamp::default, |clock| clock.ordering(self.received_at))
    }

    /// Orders events that name an id at WhatsApp: by the latest time of WhatsApp in each.
    pub fn whatsapp_message_key(&self) -> Option<Uuid> {
        self.whatsapp_message_id.as_ref()?;
        Some(key(self.whatsapp_clock().map(|clock| clock.ordering(self.received_at)), 0))
    }

    fn whatsapp_clock(&self) -> Option<Timestamp> {
        let times =
            [self.pending_at, self.sent_at, self.delivered_at, self.read_at, self.failed_at];
        times.into_iter().max().flatten()
    }

    /// Bit mask of the fields of `broadcast_log.clocks` that are present, from `broadcast_id` (lowest
    /// bit) to `contact_id`.
    pub fn fields(&self) -> i32 {
        bit_mask(&[
            self.broadcast_id.is_some(),
            self.template_id.is_some(),
            self.channel_integration_id.is_some(),
            self.contact_phone_number.is_some(),
            self.contact_full_name.is_some(),
            self.billable.is_some(),
            self.pricing_category.is_some(),
            self.pricing_model.is_some(),
            self.conversation_id.is_some(),
            self.conversation_origin.is_some(),
            self.is_pacing.is_some(),
            self.messages.is_some(),
            self.contact_id.is_some(),
        ])
    }

    /// Orders errors: by the time of the failure, then by code.
    pub fn error_key(&self) -> Option<Uuid> {
        let texts = [&self.error_title, &self.error_details, &self.error_message];
        let has_text = texts.into_iter().any(Option::is_some);
        let code = self.error_code.map_or(0, |code| code.saturating_add(1).unsigned_abs());
        let at = self.error_at.map(|at| at.ordering(self.received_at));
        (code > 0 || has_text).then(|| key(at, code))
    }
}

/// A time in microseconds and a number, as Postgres compares them. Without a time it is the least.
fn key(at: Option<Timestamp>, number: u64) -> Uuid {
    let micros = at.map_or(0, |at| at.0.timestamp_micros().max(0).unsigned_abs());
    Uuid::from_u64_pair(micros, number)
}
