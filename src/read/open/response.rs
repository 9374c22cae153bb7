//! `messages_response` of a recipient: WhatsApp's responses and status reports as Qontak sent them.
//!
//! They are read from the journal, because a column for them would cost every event of a broadcast a
//! copy of what is stored already. The journal forgets; then they are rebuilt from the columns.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgPool;

use crate::model::Timestamp;
use crate::store::broadcast_log::LogRow;
use crate::store::event::subject::{self, Subject};

/// Parts of `messages_response` by name, byte for byte.
pub type Own = BTreeMap<String, Box<RawValue>>;

/// Adds to each recipient what Qontak sent; `None` if the journal has none of its events.
pub async fn with_own(db: &PgPool, rows: Vec<LogRow>) -> sqlx::Result<Vec<(LogRow, Option<Own>)>> {
    let subject = |row: &LogRow| Subject {
        organization_id: row.organization_id.clone().unwrap_or_default(),
        id: row.id.clone(),
        since: row.received_at,
    };
    let subjects: Vec<Subject> = rows.iter().map(subject).collect();
    let bodies = subject::bodies(db, &subjects).await?;
    let with_own = |(row, bodies): (LogRow, Vec<Vec<u8>>)| {
        let own = own(&row, &bodies);
        (row, own)
    };
    Ok(rows.into_iter().zip(bodies).map(with_own).collect())
}

/// What the bodies, newest first, say about the attempt that the row shows.
///
/// Qontak repeats the earlier reports in each event, so the event with the latest report has them
/// all. Parts that it lacks are taken from the others.
fn own(row: &LogRow, bodies: &[Vec<u8>]) -> Option<Own> {
    let mut responses: Vec<(bool, i64, Own)> = Vec::new();
    for body in bodies {
        let Some(own) = response_in(body) else { continue };
        let parts: BTreeMap<&str, Value> =
            own.iter().filter_map(|(name, part)| Some((name.as_str(), parse(part)?))).collect();
        let ids: Vec<&str> = reports(&parts).filter_map(|report| report["id"].as_str()).collect();
        let is_shown = match row.whatsapp_message_id.as_deref() {
            Some(id) => ids.contains(&id),
            None => ids.is_empty(),
        };
        let at = reports(&parts).filter_map(|report| seconds(&report["timestamp"])).max();
        let at = at.unwrap_or_default();
        responses.push((is_shown, at, own));
    }
    // Stable: between equal ones the newest event comes first.
    responses.sort_by_key(|(is_shown, at, own)| Reverse((*is_shown, *at, own.len())));
    let mut responses = responses.into_iter();
    let (is_shown, _, mut own) = responses.next()?;
    for (_, _, other) in responses.filter(|(other, _, _)| *other == is_shown) {
        for (name, part) in other {
            own.entry(name).or_insert(part);
        }
    }
    Some(own)
}

/// The object `messages_response` in a body, or in its object `data`.
fn response_in(body: &[u8]) -> Option<Own> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let response = match fields.get("messages_response") {
        Some(response) => response.get(),
        None => {
            let data: BTreeMap<String, &RawValue> =
                serde_json::from_str(fields.get("data")?.get()).ok()?;
            data.get("messages_response")?.get()
        }
    };
    serde_json::from_str(response).ok()
}

/// The accepted messages and the reports of all statuses.
fn reports<'a>(parts: &'a BTreeMap<&str, Value>) -> impl Iterator<Item = &'a Value> {
    let messages = parts.get("messages").and_then(Value::as_array);
    let statuses = parts.values().filter_map(|part| part.get("statuses")?.as_array());
    messages.into_iter().chain(statuses).flatten()
}

fn parse(part: &RawValue) -> Option<Value> {
    serde_json::from_str(part.get()).ok()
}

fn seconds(timestamp: &Value) -> Option<i64> {
    timestamp.as_i64().or_else(|| timestamp.as_str()?.trim().parse().ok())
}

/// `messages_response` as it is shown.
#[derive(Serialize)]
#[serde(untagged)]
pub enum MessagesResponse {
    /// Qontak's own.
    Own(Own),
    /// Rebuilt from the columns.
    Rebuilt(Box<Rebuilt>),
}

impl MessagesResponse {
    /// Qontak's own, or else what is known about the recipient.
    pub fn new(row: &LogRow, own: Option<Own>) -> Self {
        own.map_or_else(|| Self::Rebuilt(Box::new(Rebuilt::of(row))), Self::Own)
    }
}

/// The parts that follow from the columns.
#[derive(Default, Serialize)]
pub struct Rebuilt {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Accepted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<StatusReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<StatusReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

#[derive(Serialize)]
struct Accepted {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
}

#[derive(Serialize)]
struct StatusReport {
    statuses: [Status; 1],
}

#[derive(Serialize)]
struct Status {
    id: String,
    status: &'static str,
    /// Seconds since 1970, as reported by WhatsApp.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Conversation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

#[derive(Serialize)]
struct Conversation {
    origin: Origin,
}

#[derive(Serialize)]
struct Origin {
    r#type: String,
}

#[derive(Serialize)]
struct Pricing {
    billable: Option<bool>,
    category: Option<String>,
    pricing_model: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    code: Option<i64>,
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

impl Rebuilt {
    fn of(row: &LogRow) -> Self {
        let Some(id) = &row.whatsapp_message_id else {
            return Self { errors: problems(row), ..Self::default() };
        };
        let report = |status, seen_at: Option<Timestamp>, at: Option<Timestamp>| {
            seen_at.map(|_| StatusReport { statuses: [Status::of(row, id, status, at)] })
        };
        let message_status = row.pending_seen_at.map(|_| "held_for_quality_assessment");
        Self {
            messages: vec![Accepted { id: id.clone(), message_status }],
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
            timestamp: at.map(|at| at.0.timestamp().to_string()),
            conversation: origin.map(|origin| Conversation { origin: Origin { r#type: origin } }),
            pricing: (is_delivered && is_priced).then_some(pricing),
            errors: if status == "failed" { problems(row) } else { Vec::new() },
        }
    }
}

fn problems(row: &LogRow) -> Vec<Problem> {
    let title = row.error_title.clone().or_else(|| row.whatsapp_error_message.clone());
    let details = row.error_details.clone();
    if row.error_code.is_none() && title.is_none() && details.is_none() {
        return Vec::new();
    }
    vec![Problem { code: row.error_code, title, details }]
}
