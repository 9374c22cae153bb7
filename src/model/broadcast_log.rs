//! A broadcast log as one event shows it, and how several of them are folded.

use std::cmp::Ordering;

use chrono::SubsecRound;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fold::{OlderKeys, folded, greatest, least};
use super::status::{Status, Statuses};
use super::time::{FoldKey, Timestamp};

/// A broadcast log: one recipient of a broadcast.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table broadcast_log")]
pub struct BroadcastLog {
    pub organization_id: String,
    pub log_id: String,
    pub received_at: Timestamp,
    pub key: FoldKey,
    pub older_keys: OlderKeys,
    pub broadcast_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub template_id: Option<String>,
    pub channel_integration_id: Option<String>,
    pub contact_phone_number: Option<String>,
    pub contact_phone_digits: Option<String>,
    pub contact_id: Option<String>,
    pub contact_full_name: Option<String>,
    pub whatsapp_message_id: Option<String>,
    pub last_error: Option<DeliveryFailure>,
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

folded!(
    BroadcastLog: broadcast_id template_id channel_integration_id contact_phone_number
    contact_phone_digits contact_id contact_full_name whatsapp_message_id billable
    pricing_category pricing_model conversation_id conversation_origin is_pacing messages
);

impl BroadcastLog {
    /// Latest time of WhatsApp, or else the creation; `None` without either.
    pub fn clock(&self) -> Option<Timestamp> {
        let times =
            [self.pending_at, self.sent_at, self.delivered_at, self.read_at, self.failed_at];
        let clock = times.into_iter().max().flatten().or(self.created_at)?;
        Some(clock.ordering(self.received_at))
    }

    /// Key of an event with this hash of its body: by its clock, which has whole seconds. Within a second by how
    /// far the delivery got, because Meta's pricing is final once a message is delivered, and a failed attempt
    /// comes before the next one. Of two that failed the error with the greater code is shown, so they are
    /// ordered by code too.
    pub fn fold_key(&self, hash: u128) -> FoldKey {
        let progress = match self.statuses.effective() {
            Some(Status::Failed) => 0,
            None => 1,
            Some(status) => status as u128 + 1,
        };
        let code = self.last_error.as_ref().and_then(|error| error.code).unwrap_or(0);
        let code = u128::from(code.clamp(0, i64::from(u32::MAX)).unsigned_abs());
        let clock = self.clock().map(|clock| Timestamp(clock.0.trunc_subsecs(0)));
        FoldKey::at(clock, progress << 125 | code << 93 | hash >> 35)
    }

    /// Folds another event of the same log into this one.
    pub fn fold(&mut self, other: &Self) {
        self.received_at = self.received_at.min(other.received_at);
        least(&mut self.created_at, other.created_at);
        least(&mut self.pending_at, other.pending_at);
        least(&mut self.sent_at, other.sent_at);
        least(&mut self.delivered_at, other.delivered_at);
        least(&mut self.read_at, other.read_at);
        least(&mut self.failed_at, other.failed_at);
        match (&mut self.last_error, &other.last_error) {
            (Some(one), Some(other)) => one.fold(other),
            (one, other) => *one = one.take().or_else(|| other.clone()),
        }
        self.statuses.merge(&other.statuses);
        self.fold_fields(other);
    }
}

/// The last error of a delivery.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "documented by the columns of table broadcast_log")]
pub struct DeliveryFailure {
    /// Orders errors: by the time of the failure, then by code.
    pub key: Uuid,
    pub code: Option<i64>,
    pub title: Option<String>,
    pub details: Option<String>,
    pub message: Option<String>,
    pub message_id: Option<String>,
}

impl DeliveryFailure {
    /// Orders errors by time and then by code. Without a time an error is the least.
    pub fn key(at: Option<Timestamp>, code: Option<i64>) -> Uuid {
        let micros = at.map_or(0, |at| at.0.timestamp_micros().max(0).unsigned_abs());
        Uuid::from_u64_pair(micros, code.map_or(0, |code| code.saturating_add(1).unsigned_abs()))
    }

    /// Folds another error into this one: the later wins with all its fields, so that no text belongs
    /// to another code. Of the same error each event may have other texts.
    fn fold(&mut self, other: &Self) {
        match other.key.cmp(&self.key) {
            Ordering::Less => {}
            Ordering::Equal => {
                greatest(&mut self.title, &other.title);
                greatest(&mut self.details, &other.details);
                greatest(&mut self.message, &other.message);
                greatest(&mut self.message_id, &other.message_id);
            }
            Ordering::Greater => self.clone_from(other),
        }
    }
}
