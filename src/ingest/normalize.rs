//! Normalizes a webhook: body → event.
//!
//! Never fails: Qontak may not send a rejected event again.

use super::json::{self, Document, Object, ParseError};
use super::payload::{self, Class, EventContext, Fields, Handshake, ParseIssues, ReadPaths};
use crate::event::{BodyHash, Changes, DedupKey, Event, Outcome, Webhook};
use crate::model::{EventId, Timestamp};

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
    // A second handle to the same bytes: values are slices of them.
    let body = webhook.body.clone();
    let object = match parse(&body) {
        Ok(Document::Object(object)) => object,
        Ok(Document::Other(other)) => {
            let reason = format!(
                "not_an_object: expected a JSON object, but it is {}",
                payload::describe(other)
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
    if object.get("verify_info").is_some() {
        let issues = ParseIssues::new(webhook.received_at);
        if payload::is_handshake(&Fields::of_body(object.clone(), &issues))
            && let Ok(handshake) = serde_json::from_slice::<Handshake>(without_bom(&body))
        {
            return Normalized::Handshake(handshake);
        }
    }
    Normalized::Event(Box::new(event(webhook, object)))
}

/// The event of a body that is an object and no handshake.
fn event(webhook: Webhook, object: Object<'_>) -> Event {
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

/// Paths of what the parser reads of a body, for people who look at it; `None` if it is no object.
pub fn read_paths(body: &[u8], received_at: Timestamp) -> Option<ReadPaths> {
    let Ok(Document::Object(object)) = parse(body) else { return None };
    let issues = ParseIssues::recording(received_at);
    let fields = Fields::of_body(object, &issues);
    let kind = payload::classify(&fields).kind;
    let organization_id = payload::organization_id(&fields).unwrap_or_default();
    let context = EventContext {
        event_id: EventId::next(received_at),
        received_at,
        organization_id: &organization_id,
        hash: BodyHash::of(body),
    };
    if let Some(kind) = kind {
        payload::changes(&fields, kind, &context);
    }
    drop(fields);
    Some(issues.into_read())
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

fn parse(body: &[u8]) -> Result<Document<'_>, ParseError> {
    let text = std::str::from_utf8(without_bom(body)).map_err(|error| {
        ParseError::NotJson(format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1))
    })?;
    json::parse(text)
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}
