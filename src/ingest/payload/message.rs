//! A message as Qontak sends it: on its own, or as a room's `last_message`.
//!
//! A `status_message` is the whole message again with another status, so every event of a
//! message is read alike.

use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{Broadcast, FoldKey, Message, Sender, Statuses, TextRank};

/// Reads a message event: the message, its sender, and the broadcast that sent it.
pub fn message(
    body: &Fields<'_>,
    id: String,
    kind: Kind,
    context: &EventContext<'_>,
) -> (Message, Option<Sender>, Option<Broadcast>) {
    // The name tells what the body may leave out.
    let from_customer = kind == Kind::ReceiveMessageFromCustomer;
    let mut message = fields(body, id, from_customer, context);
    let room = body.object("room");
    message.room_id = body.id("room_id").or_else(|| room.as_ref()?.id("id"));
    message.text_rank = match message.text {
        None => TextRank::Embedded,
        Some(_) if message.is_edited == Some(true) => TextRank::Edited(context.event_id),
        Some(_) => TextRank::Sent,
    };
    if let Some(integration) = body.object("channel_integration") {
        message.channel_integration_id = integration.id("id");
        message.channel = integration.word("target_channel");
    }
    if let Some(room) = room {
        message.channel = message.channel.or_else(|| room.word("channel"));
        message.channel_integration_id =
            message.channel_integration_id.or_else(|| room.id("channel_integration_id"));
    }
    let broadcast = campaign(body, &message);
    message.broadcast_id = broadcast.as_ref().map(|broadcast| broadcast.broadcast_id.clone());
    let sender = sender(body, &message, context);
    (message, sender, broadcast)
}

/// Reads the message that a room carries as its last one, if it can be identified.
pub fn embedded_message(
    room: &Fields<'_>,
    room_id: &str,
    context: &EventContext<'_>,
) -> Option<Message> {
    let body = room.object("last_message")?;
    let mut message = fields(&body, body.id("id")?, false, context);
    message.room_id = body.id("room_id").or_else(|| Some(room_id.to_owned()));
    message.channel = body.word("channel");
    Some(message)
}

/// Who wrote it: `customer`, `agent` or `bot`. It stands beside the sender, not in it.
pub fn participant_type(body: &Fields<'_>) -> Option<String> {
    let said = body.word("participant_type");
    said.map(|said| said.trim().to_ascii_lowercase()).or_else(|| {
        let derived = match body.word("sender_type")?.trim() {
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
    if let Some(status) = body.word("status") {
        statuses.add(&status, context.received_at);
    }
    let participant_type =
        participant_type(body).or_else(|| from_customer.then(|| "customer".to_owned()));
    let is_incoming = participant_type.as_deref() == Some("customer");
    let channel_at = || body.object("raw_message")?.first("messages")?.time("timestamp");
    Message {
        organization_id: context.organization_id.to_owned(),
        message_id,
        received_at: context.received_at,
        created_at: body.time("created_at"),
        channel_at: if is_incoming { channel_at() } else { None },
        r#type: body.word("type"),
        participant_type,
        participant_id: body.id("participant_id"),
        sender_type: body.word("sender_type"),
        sender_id: body.id("sender_id"),
        text: body.text("text"),
        external_id: body.id("external_id"),
        file_uniq_id: body.id("file_uniq_id"),
        is_campaign: body.boolean("is_campaign"),
        is_edited: body.boolean("is_edited"),
        review_star: body.integer("review_star"),
        file: body.object_as_is("file"),
        reply: body.as_is("reply"),
        buttons: body.array_as_is("buttons"),
        raw_message: body.object_as_is("raw_message"),
        statuses,
        ..Message::default()
    }
}

fn sender(body: &Fields<'_>, message: &Message, context: &EventContext<'_>) -> Option<Sender> {
    let sender_id = message.sender_id.clone()?;
    let face = body.object("sender");
    let face = face.as_ref();
    Some(Sender {
        organization_id: context.organization_id.to_owned(),
        sender_id,
        // Events of one message show its sender at different times, but hold no clock but that
        // of the message; the hash decides between them, so that order cannot.
        key: FoldKey::new(message.created_at, None, 0, context.hash.tie()),
        r#type: message.participant_type.clone(),
        name: face.and_then(|face| face.word("name")),
        username: face.and_then(|face| face.word("username")),
        avatar: face.and_then(|face| face.avatar("avatar")),
    })
}

fn campaign(body: &Fields<'_>, message: &Message) -> Option<Broadcast> {
    let campaign = body.object("last_campaign")?;
    let broadcast_id = campaign.id("id")?;
    // A customer's answer also carries the last campaign of its room.
    if message.is_campaign != Some(true) {
        return None;
    }
    Some(Broadcast {
        organization_id: message.organization_id.clone(),
        broadcast_id,
        received_at: message.received_at,
        name: campaign.said("name"),
        channel_integration_id: message.channel_integration_id.clone(),
        ..Broadcast::default()
    })
}
