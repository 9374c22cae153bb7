//! Parser of broadcast logs: one recipient of a broadcast and its delivery statuses so far.
//!
//! `messages_response` accumulates: the event for `read` still contains `sent` and `delivered`, so
//! every part is read on every event. Its timestamps are WhatsApp's; Qontak sends no other times of
//! a status.

use super::delivery_error::{DeliveryError, code_from_text};
use super::fields::Element;
use super::value::is_placeholder;
use super::{EventContext, Fields};
use crate::model::{
    Broadcast, BroadcastLog, DeliveryFailure, OlderKeys, Statuses, Timestamp, phone,
};

/// Reads a log and its fields about the broadcast.
pub fn broadcast_log(
    body: &Fields<'_>,
    log_id: String,
    context: &EventContext<'_>,
) -> (BroadcastLog, Option<Broadcast>) {
    // A spreadsheet or a hidden number: it may be an e-mail address, or an id that WhatsApp made up.
    let contact = body.id("contact_phone_number");
    let contact_phone_digits = contact.as_deref().and_then(phone::normalize);
    let (contact_phone_number, contact_id) = match contact_phone_digits {
        Some(_) => (contact, None),
        None => (None, contact.map(|text| phone::visible(&text)).filter(|id| !id.is_empty())),
    };
    let mut log = BroadcastLog {
        organization_id: context.organization_id.to_owned(),
        log_id,
        received_at: context.received_at,
        broadcast_id: body.id("messages_broadcast_id"),
        created_at: body.time("created_at"),
        template_id: body.id("messages_broadcast_template_id"),
        channel_integration_id: body.id("channel_integration_id"),
        contact_phone_number,
        contact_phone_digits,
        contact_id,
        contact_full_name: body.non_placeholder("contact_full_name"),
        whatsapp_message_id: body.id("whatsapp_message_id"),
        is_pacing: body.boolean("is_pacing"),
        messages: body.raw_object("messages"),
        ..BroadcastLog::default()
    };
    if let Some(status) = body.non_blank_str("status") {
        log.statuses.add(&status, context.received_at);
    }
    let response = body.object("messages_response");
    if let Some(response) = &response {
        read_response(response, &mut log, context.received_at);
    }
    // `code` next to `errors` resembles an HTTP status; WhatsApp's code is inside `errors`.
    let raw = body.object("raw_message");
    let error = DeliveryError::read(&[response.as_ref(), Some(body), raw.as_ref()]);
    log.failed_at = log.failed_at.or(error.at);
    let message = body.non_placeholder("whatsapp_error_message");
    let code = error.code.or_else(|| code_from_text(message.as_deref()?));
    let texts = [&error.title, &error.details, &message];
    if code.is_some() || texts.into_iter().any(Option::is_some) {
        log.last_error = Some(DeliveryFailure {
            key: DeliveryFailure::key(context.latest([error.at]), code),
            code,
            title: error.title,
            details: error.details,
            message,
            message_id: error.message_id.or_else(|| log.whatsapp_message_id.clone()),
        });
    }
    log.key = log.fold_key(context.hash.tie());
    let broadcast = log.broadcast_id.as_ref().map(|broadcast_id| Broadcast {
        organization_id: log.organization_id.clone(),
        broadcast_id: broadcast_id.clone(),
        received_at: log.received_at,
        created_at: log.created_at,
        key: log.key.reversed(),
        older_keys: OlderKeys::default(),
        name: None,
        template_id: log.template_id.clone(),
        channel_integration_id: log.channel_integration_id.clone(),
    });
    (log, broadcast)
}

fn read_response(response: &Fields<'_>, log: &mut BroadcastLog, received_at: Timestamp) {
    let accepted = response.first("messages");
    let is_held = accepted
        .and_then(|message| message.non_blank_str("message_status"))
        .is_some_and(|status| status == "held_for_quality_assessment");
    if is_held {
        log.statuses.add("pending", received_at);
    }
    let statuses = &mut log.statuses;
    let mut time_of = |name| status_time(response, name, statuses, received_at);
    log.pending_at = time_of("pending");
    log.sent_at = time_of("sent");
    log.delivered_at = time_of("delivered");
    let read_at = time_of("read");
    let played_at = time_of("played");
    log.read_at = read_at.into_iter().chain(played_at).min();
    log.failed_at = time_of("failed");

    // The pricing of `sent` is an estimate, so it comes last.
    for name in ["delivered", "read", "played", "sent"] {
        let Some(part) = response.object(name) else { continue };
        for status in part.elements("statuses") {
            let Element::Object(status) = status else { continue };
            if let Some(pricing) = status.object("pricing") {
                read_pricing(&pricing, log);
            }
            if let Some(conversation) = status.object("conversation") {
                log.conversation_id = log.conversation_id.take().or_else(|| conversation.id("id"));
                log.conversation_origin = log.conversation_origin.take().or_else(|| {
                    conversation.object("origin").and_then(|origin| origin.non_blank("type"))
                });
            }
        }
    }
}

/// Since July 2025 Meta prices per message and may name only the `type` of the pricing.
fn read_pricing(pricing: &Fields<'_>, log: &mut BroadcastLog) {
    let word = |key| {
        let word = pricing.non_blank_str(key).filter(|word| !is_placeholder(word))?;
        Some(word.trim().to_ascii_lowercase())
    };
    let is_regular = || word("type").map(|word| word == "regular");
    log.billable = log.billable.or_else(|| pricing.boolean("billable")).or_else(is_regular);
    log.pricing_category = log.pricing_category.take().or_else(|| word("category"));
    // Meta's names are in upper case: `PMP`, `CBP`.
    let model = || Some(word("pricing_model")?.to_ascii_uppercase());
    log.pricing_model = log.pricing_model.take().or_else(model);
}

/// Adds a status if `messages_response` contains it, and returns WhatsApp's time of it.
fn status_time(
    response: &Fields<'_>,
    name: &str,
    statuses: &mut Statuses,
    received_at: Timestamp,
) -> Option<Timestamp> {
    let part = response.object(name)?;
    statuses.add(name, received_at);
    part.elements("statuses").find_map(|status| match status {
        Element::Object(status) => status.time("timestamp"),
        Element::Text(_) => None,
    })
}
