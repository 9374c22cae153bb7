//! Parser of messages: as a body, or as `last_message` of a room.
//!
//! A `status_message` repeats the whole message with another status, so all events of a message are
//! read the same way.

use super::delivery_error::{DeliveryError, code_from_text};
use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{Broadcast, FoldKey, Message, Precedence, Room, Sender, Statuses, TextKey};

/// Reads a message, without its clock.
pub fn message(body: &Fields<'_>, id: String, kind: Kind, context: &EventContext<'_>) -> Message {
    // The event name implies the participant if the body lacks it.
    let from_customer = kind == Kind::ReceiveMessageFromCustomer;
    let mut message = fields(body, id, from_customer, context);
    let room = body.object("room");
    message.room_id = body.id("room_id").or_else(|| room.as_ref()?.id("id"));
    if let Some(integration) = body.object("channel_integration") {
        message.channel_integration_id = integration.id("id");
        message.channel = integration.non_blank("target_channel");
    }
    if let Some(room) = room {
        message.channel = message.channel.or_else(|| room.non_blank("channel"));
        message.channel_integration_id =
            message.channel_integration_id.or_else(|| room.id("channel_integration_id"));
    }
    message
}

/// Sets the clock of a message: that of the room in the same event, or else its creation. A message
/// has no time of a change.
pub fn set_clock(message: &mut Message, room: Option<&Room>, context: &EventContext<'_>) {
    let clock = room.and_then(|room| room.clock);
    let clock = clock.or_else(|| context.latest([message.created_at]));
    message.clock = clock.unwrap_or_default();
    if message.text.is_some() {
        message.text_key = TextKey::new(message.is_edited == Some(true), message.clock);
    }
}

/// Reads the `last_message` of a room; `None` if it has no id.
pub fn embedded_message(
    room: &Fields<'_>,
    room_id: &str,
    context: &EventContext<'_>,
) -> Option<Message> {
    let body = room.object("last_message")?;
    let mut message = fields(&body, body.id("id")?, false, context);
    message.room_id = body.id("room_id").or_else(|| Some(room_id.to_owned()));
    message.channel = body.non_blank("channel");
    Some(message)
}

/// Type of the author: `customer`, `agent` or `bot`. A field of the message, not of its sender.
pub fn participant_type(body: &Fields<'_>) -> Option<String> {
    let given = body.non_blank("participant_type");
    given.map(|given| given.trim().to_ascii_lowercase()).or_else(|| {
        let derived = match body.non_blank("sender_type")?.trim() {
            "Models::Contact" => "customer",
            "Models::User" => "agent",
            "Models::SystemAccount" => "bot",
            _ => return None,
        };
        Some(derived.to_owned())
    })
}

fn fields(
    body: &Fields<'_>,
    message_id: String,
    from_customer: bool,
    context: &EventContext<'_>,
) -> Message {
    let mut statuses = Statuses::default();
    if let Some(status) = body.non_blank("status") {
        statuses.add(&status, context.received_at);
    }
    let participant_type =
        participant_type(body).or_else(|| from_customer.then(|| "customer".to_owned()));
    let is_incoming = participant_type.as_deref() == Some("customer");
    let response = body.object("messages_response");
    let raw = body.object("raw_message");
    let error = DeliveryError::read(&[Some(body), response.as_ref(), raw.as_ref()]);
    let error_message = body.non_placeholder("whatsapp_error_message");
    let channel_at = || raw.as_ref()?.first("messages")?.time("timestamp");
    Message {
        organization_id: context.organization_id.to_owned(),
        message_id,
        received_at: context.received_at,
        created_at: body.time("created_at"),
        channel_at: if is_incoming { channel_at() } else { None },
        r#type: body.non_blank("type"),
        participant_type,
        participant_id: body.id("participant_id"),
        sender_type: body.non_blank("sender_type"),
        sender_id: body.id("sender_id"),
        text: body.text("text"),
        external_id: body.id("external_id"),
        file_uniq_id: body.id("file_uniq_id"),
        is_campaign: body.boolean("is_campaign"),
        is_edited: body.boolean("is_edited"),
        review_star: body.integer("review_star"),
        file: body.raw_object("file"),
        reply: body.raw("reply"),
        buttons: body.raw_array("buttons"),
        raw_message: body.raw_object("raw_message"),
        error_code: error.code.or_else(|| code_from_text(error_message.as_deref()?)),
        error_title: error.title.or(error_message),
        error_details: error.details,
        failed_at: error.at,
        statuses,
        ..Message::default()
    }
}

/// Reads the sender of a message.
pub fn sender(body: &Fields<'_>, message: &Message, context: &EventContext<'_>) -> Option<Sender> {
    let sender_id = message.sender_id.clone()?;
    let profile = body.object("sender");
    let profile = profile.as_ref();
    Some(Sender {
        organization_id: context.organization_id.to_owned(),
        sender_id,
        key: FoldKey::new(&Precedence {
            clock: Some(message.clock),
            tie: context.hash.tie(),
            ..Precedence::default()
        }),
        r#type: message.participant_type.clone(),
        name: profile.and_then(|profile| profile.non_blank("name")),
        username: profile.and_then(|profile| profile.non_blank("username")),
        avatar: profile.and_then(|profile| profile.avatar("avatar")),
    })
}

/// Reads the broadcast that sent a message.
pub fn broadcast(body: &Fields<'_>, message: &Message) -> Option<Broadcast> {
    let campaign = body.object("last_campaign")?;
    let broadcast_id = campaign.id("id")?;
    // A reply of the customer also contains the last campaign of its room.
    if message.is_campaign != Some(true) {
        return None;
    }
    Some(Broadcast {
        organization_id: message.organization_id.clone(),
        broadcast_id,
        received_at: message.received_at,
        name: campaign.non_placeholder("name"),
        channel_integration_id: message.channel_integration_id.clone(),
        ..Broadcast::default()
    })
}
