//! Normalizes a webhook: body → event.
//!
//! Never fails: Qontak may not send a rejected event again.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::payload::{self, Class, EventContext, Fields, Handshake, ParseIssues};
use crate::event::{BodyHash, Changes, DedupKey, Event, Outcome, Webhook};

/// A normalized body.
#[derive(Debug)]
pub enum Normalized {
    /// Qontak's check of a URL when it is saved; must be echoed.
    Handshake(Handshake),
    /// Any other body.
    Event(Box<Event>),
}

/// Normalizes a webhook: one just received, or one from the spool or the journal.
pub fn normalize(webhook: Webhook) -> Normalized {
    if webhook.is_damaged {
        // Replays recognise it by this reason.
        let reason = "damaged: the disk of the spool changed the body, see the log";
        return unparsed(webhook, Outcome::Quarantined, reason.to_owned());
    }
    let object = match parse(&webhook.body) {
        Ok(Value::Object(object)) => object,
        Ok(other) => {
            let reason = format!(
                "not_an_object: expected a JSON object, but it is {}",
                payload::describe(&other)
            );
            return unparsed(webhook, Outcome::Quarantined, reason);
        }
        Err(ParseError::Unsupported(reason)) => {
            let reason = format!(
                "unparsable: expected fewer than 128 levels of nesting, numbers up to 1e308 and \
                 no lone surrogates, but the parser reports: {reason}"
            );
            return unparsed(webhook, Outcome::Quarantined, reason);
        }
        Err(ParseError::NotJson(reason)) => return unparsed(webhook, Outcome::Malformed, reason),
    };
    let issues = ParseIssues::new(webhook.received_at);
    if payload::is_handshake(&Fields::of_body(&object, &issues))
        && let Ok(handshake) = serde_json::from_slice::<Handshake>(without_bom(&webhook.body))
    {
        return Normalized::Handshake(handshake);
    }
    Normalized::Event(Box::new(event(webhook, &object)))
}

/// The event of a body that is an object and no handshake.
fn event(webhook: Webhook, object: &Map<String, Value>) -> Event {
    let issues = ParseIssues::new(webhook.received_at);
    let body = Fields::of_body(object, &issues);
    let Class { kind, name } = payload::classify(&body);
    let organization_id = payload::organization_id(&body)
        .or_else(|| webhook.organization_id.as_deref().map(str::to_owned))
        .unwrap_or_default();
    let hash = BodyHash::of(&webhook.body);
    let context = EventContext {
        event_id: webhook.id,
        received_at: webhook.received_at,
        organization_id: &organization_id,
        hash,
    };
    let changes = match kind {
        None => Err(format!("unclassifiable: {}", payload::EXPECTED_KIND)),
        Some(kind) => payload::changes(&body, kind, &context).ok_or_else(|| {
            format!("missing_subject_id: {}", payload::missing_subject(&body, kind))
        }),
    };
    let ignored_fields = issues.ignored();
    let mut reasons = issues.into_reasons();
    let (outcome, subject_id, changes) = changes.unwrap_or_else(|reason| {
        reasons.insert(0, reason);
        (Outcome::Quarantined, None, Changes::default())
    });
    Event {
        dedup_key: DedupKey::new(&webhook.endpoint, hash, kind, webhook.received_at),
        webhook,
        kind,
        name,
        organization_id,
        subject_id,
        outcome,
        reasons,
        ignored_fields,
        changes,
        is_replay: false,
    }
}

/// The event of a body that is not an object.
fn unparsed(webhook: Webhook, outcome: Outcome, reason: String) -> Normalized {
    let hash = BodyHash::of(&webhook.body);
    Normalized::Event(Box::new(Event {
        dedup_key: DedupKey::new(&webhook.endpoint, hash, None, webhook.received_at),
        kind: None,
        name: None,
        organization_id: webhook.organization_id.as_deref().unwrap_or_default().to_owned(),
        subject_id: None,
        outcome,
        reasons: vec![reason],
        ignored_fields: Vec::new(),
        changes: Changes::default(),
        is_replay: false,
        webhook,
    }))
}

/// Why a body could not be parsed. The texts are shown to the sender.
enum ParseError {
    /// JSON that the parser does not support; a retry would not help.
    Unsupported(String),
    /// Not JSON, perhaps truncated; a retry may be complete.
    NotJson(String),
}

fn parse(body: &Bytes) -> Result<Value, ParseError> {
    let body = without_bom(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        ParseError::NotJson(format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1))
    })?;
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            if text.contains(r"\u0000") {
                strip_nul(&mut value);
            }
            Ok(value)
        }
        // serde_json rejects deep nesting, lone surrogates and huge numbers although they are JSON.
        // `IgnoredAny` accepts them, so it tells the two cases apart.
        Err(error) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(ParseError::Unsupported(error.to_string())),
            Err(error) => Err(ParseError::NotJson(format!("not JSON: {error}"))),
        },
    }
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Removes NUL, which Postgres supports neither in text nor in jsonb. The body in the journal keeps
/// it.
fn strip_nul(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(stripped) = without_nul(text) {
                *text = stripped;
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip_nul),
        Value::Object(object) => {
            let fields = std::mem::take(object).into_iter().map(|(key, mut value)| {
                strip_nul(&mut value);
                (without_nul(&key).into_owned(), value)
            });
            object.extend(fields);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}
