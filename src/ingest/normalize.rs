//! What does this body say? Reads what it can and keeps the rest.
//!
//! This never fails: an event that we refuse is one that Qontak may not send again.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::payload::{self, Class, EventContext, Fields, Handshake, ParseIssues};
use crate::event::{BodyHash, Changes, DedupKey, Event, Outcome, Webhook};

/// What a body turned out to be.
#[derive(Debug)]
pub enum Normalized {
    /// The check that Qontak makes when a URL is saved; it is to be echoed.
    Handshake(Handshake),
    /// Anything else.
    Event(Box<Event>),
}

/// Normalises a webhook: one just received, or one that was kept.
pub fn normalize(webhook: Webhook) -> Normalized {
    let object = match parse(&webhook.body) {
        Ok(Value::Object(object)) => object,
        Ok(other) => {
            let reason = format!(
                "not_an_object: expected a JSON object, but it is {}",
                payload::found(&other)
            );
            return unread(webhook, Outcome::Quarantined, reason);
        }
        Err(Unparsed::TooMuch(reason)) => {
            let reason = format!(
                "unparsable: expected no nesting of 128 and more, no number beyond 1e308 and no \
                 lone surrogate, but there is: {reason}"
            );
            return unread(webhook, Outcome::Quarantined, reason);
        }
        Err(Unparsed::NotJson(reason)) => return unread(webhook, Outcome::Malformed, reason),
    };
    if payload::is_handshake(&object)
        && let Ok(handshake) = serde_json::from_slice::<Handshake>(without_bom(&webhook.body))
    {
        return Normalized::Handshake(handshake);
    }
    Normalized::Event(Box::new(read(webhook, &object)))
}

/// Reads a body that is an object and no handshake.
fn read(webhook: Webhook, object: &Map<String, Value>) -> Event {
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
    let read = match kind {
        None => Err(format!("unclassifiable: {}", payload::TELLING)),
        Some(kind) => payload::changes(&body, kind, &context).ok_or_else(|| {
            format!("missing_subject_id: {}", payload::missing_subject(&body, kind))
        }),
    };
    let mut reasons = issues.into_reasons();
    let (outcome, subject_id, changes) = read.unwrap_or_else(|reason| {
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
        changes,
        is_replay: false,
    }
}

/// The event of a body that is not an object.
fn unread(webhook: Webhook, outcome: Outcome, reason: String) -> Normalized {
    let hash = BodyHash::of(&webhook.body);
    Normalized::Event(Box::new(Event {
        dedup_key: DedupKey::new(&webhook.endpoint, hash, None, webhook.received_at),
        kind: None,
        name: None,
        organization_id: webhook.organization_id.as_deref().unwrap_or_default().to_owned(),
        subject_id: None,
        outcome,
        reasons: vec![reason],
        changes: Changes::default(),
        is_replay: false,
        webhook,
    }))
}

/// Why a body has no value. The texts are for the caller.
enum Unparsed {
    /// JSON, but with more than the parser holds: a resend would not help.
    TooMuch(String),
    /// Not JSON, perhaps cut off: a resend may be whole.
    NotJson(String),
}

fn parse(body: &Bytes) -> Result<Value, Unparsed> {
    let body = without_bom(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        Unparsed::NotJson(format!("not UTF-8 from byte {}", error.valid_up_to() + 1))
    })?;
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            if text.contains(r"\u0000") {
                strip_nul(&mut value);
            }
            Ok(value)
        }
        // Deep nesting, lone surrogates and huge numbers stop serde_json although they are
        // JSON. A reader that keeps nothing minds none of them, and so tells the two apart.
        Err(error) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(Unparsed::TooMuch(error.to_string())),
            Err(error) => Err(Unparsed::NotJson(format!("not JSON: {error}"))),
        },
    }
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Postgres holds NUL neither in text nor in jsonb. The journal's bytes keep it.
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
