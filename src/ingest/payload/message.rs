//! Parser of messages: as a body, or as `last_message` of a room.
//!
//! A `status_message` repeats the whole message with another status, so all events of a message are
//! read the same way.

use super::delivery_error::{DeliveryError, code_from_text};
use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{
    Author, Broadcast, Direction, FoldKey, Message, OlderKeys, Room, Sender, Statuses, TextKey,
};

/// Reads a message, without its clock.
pub fn message(body: &Fields<'_>, id: String, kind: Kind, context: &EventContext<'_>) -> Message {
    // The event name implies the direction if the body lacks a sender.
    let named = match kind {
        Kind::ReceiveMessageFromCustomer => Some(Direction::In),
        Kind::ReceiveMessageFromAgent => Some(Direction::Out),
        _ => None,
    };
    let mut message = fields(body, id, named, context);
    let room = body.object("room");
    message.room_id = body.id("room_id").or_else(|| room.as_ref()?.id("id"));
    if let Some(integration) = body.object("channel_integration") {
        message.channel_integration_id = integration.id("id");
        message.channel = integration.word("target_channel");
    }
    if let Some(room) = room {
        message.channel = message.channel.or_else(|| room.word("channel"));
        message.channel_integration_id =
            message.channel_integration_id.or_else(|| room.id("channel_integration_id"));
    }
    message
}

/// Sets the keys of a message. Its clock is that of the room in the same event, or else its
/// creation: a message has no time of a change.
pub fn set_keys(message: &mut Message, room: Option<&Room>, context: &EventContext<'_>) {
    let clock = room.and_then(|room| room.clock);
    let clock = clock.or_else(|| context.latest([message.created_at.or(message.channel_at)]));
    message.key = FoldKey::at(clock, context.hash.tie());
    if message.text.is_some() {
        message.text_key = TextKey::new(message.is_edited == Some(true), message.key);
    }
}

/// Reads the `last_message` of a room; `None` if it has no id.
pub fn embedded_message(
    room: &Fields<'_>,
    room_id: &str,
    context: &EventContext<'_>,
) -> Option<Message> {
    let body = room.object("last_message")?;
    let mut message = fields(&body, body.id("id")?, None, context);
    message.room_id = body.id("room_id").or_else(|| Some(room_id.to_owned()));
    message.channel = body.word("channel");
    // A copy is older than any event of the message itself.
    message.key = FoldKey::at(None, context.hash.tie());
    if message.text.is_some() {
        message.text_key = TextKey::embedded(message.key);
    }
    Some(message)
}

/// Author of a message. A field of the message, not of its sender. Both lists are open: a supervisor
/// is an agent by the type of the sender, and a sender of another type has no author here.
pub fn author(body: &Fields<'_>) -> Option<Author> {
    let author = |key, names: [&str; 3]| {
        let word = body.non_blank_str(key)?;
        let i = names.iter().position(|name| word.trim().eq_ignore_ascii_case(name))?;
        Some([Author::Customer, Author::Agent, Author::Bot][i])
    };
    author("participant_type", ["customer", "agent", "bot"]).or_else(|| {
        author("sender_type", ["models::contact", "models::user", "models::systemaccount"])
    })
}

fn fields(
    body: &Fields<'_>,
    message_id: String,
    named: Option<Direction>,
    context: &EventContext<'_>,
) -> Message {
    let mut statuses = Statuses::default();
    if let Some(status) = body.non_blank_str("status") {
        statuses.add(&status, context.received_at);
    }
    let author = author(body);
    let is_incoming = match author {
        Some(author) => author == Author::Customer,
        None => named == Some(Direction::In),
    };
    let implied = || author.or(is_incoming.then_some(Author::Customer));
    let participant_type = body.word("participant_type");
    let participant_type =
        participant_type.or_else(|| implied().map(|author| author.as_str().to_owned()));
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
        r#type: body.word("type"),
        participant_type,
        participant_id: body.id("participant_id"),
        sender_type: body.non_blank("sender_type"),
        sender_id: body.id("sender_id"),
        author_by_sender: author,
        direction_by_name: named,
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

/// Whether WhatsApp's 24-hour customer service window starts with the message. Notices and reactions are
/// no messages of the customer: the SQL function `author_of` has the same rule.
pub fn starts_session(body: &Fields<'_>, message: &Message) -> bool {
    let is_incoming = match message.author_by_sender {
        Some(author) => author == Author::Customer,
        None => message.direction_by_name == Some(Direction::In),
    };
    let of_whatsapp = || body.object("raw_message")?.first("messages")?.word("type");
    let is_message = |r#type: Option<&str>| !matches!(r#type, Some("system" | "reaction"));
    is_incoming && is_message(message.r#type.as_deref()) && is_message(of_whatsapp().as_deref())
}

/// Reads the sender of a message.
pub fn sender(body: &Fields<'_>, message: &Message, context: &EventContext<'_>) -> Option<Sender> {
    let sender_id = message.sender_id.clone()?;
    let profile = body.object("sender");
    let profile = profile.as_ref();
    Some(Sender {
        organization_id: context.organization_id.to_owned(),
        sender_id,
        key: message.key,
        older_keys: OlderKeys::default(),
        r#type: match message.author_by_sender {
            Some(author) => Some(author.as_str().to_owned()),
            None => message.participant_type.clone(),
        },
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
        key: message.key.reversed(),
        name: campaign.non_placeholder("name"),
        channel_integration_id: message.channel_integration_id.clone(),
        ..Broadcast::default()
    })
}
