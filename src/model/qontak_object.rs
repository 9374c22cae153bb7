//! Objects of Qontak and WhatsApp that are stored and returned as received: their types in the
//! OpenAPI document.
//!
//! The fields are those that were seen. None of them is certain, so all are optional and may be null,
//! and there may be others. The types describe; nothing is checked against them.
#![expect(dead_code, clippy::large_enum_variant, reason = "for the OpenAPI document")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// An attached file.
#[derive(ToSchema)]
pub struct Attachment {
    /// Name of the file.
    filename: Option<String>,
    /// Address of the file. Its lifetime is unknown.
    url: Option<String>,
    /// Size in bytes.
    size: Option<i64>,
    /// Large rendition of an image.
    large: Option<Rendition>,
    /// Medium rendition of an image.
    medium: Option<Rendition>,
    /// Small rendition of an image.
    small: Option<Rendition>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// An image in one size.
#[derive(ToSchema)]
pub struct Rendition {
    /// Address of the image.
    url: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// An avatar: an object, or the address of an image.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Avatar {
    /// Qontak's object.
    Object(AvatarObject),
    /// Address of the image.
    Url(String),
}

/// An avatar in several sizes.
#[derive(ToSchema)]
pub struct AvatarObject {
    /// Address of the image.
    url: Option<String>,
    /// Name of the file.
    filename: Option<String>,
    /// Size in bytes.
    size: Option<i64>,
    /// Large rendition.
    large: Option<Rendition>,
    /// Medium rendition.
    medium: Option<Rendition>,
    /// Small rendition.
    small: Option<Rendition>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The message that another one replies to: an object, or a text.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Reply {
    /// Qontak's object.
    Object(RepliedMessage),
    /// A text, often empty.
    Text(String),
}

/// The message that another one replies to.
#[derive(ToSchema)]
pub struct RepliedMessage {
    /// Id of the message.
    id: Option<String>,
    /// Id of the message at the channel (`wamid.…`).
    external_id: Option<String>,
    /// Type, as of a message.
    r#type: Option<String>,
    /// Text or caption.
    text: Option<String>,
    /// Id of the sender.
    sender_id: Option<String>,
    /// Type of the sender at Qontak.
    sender_type: Option<String>,
    /// `customer`, `agent`, `bot`, …
    participant_type: Option<String>,
    /// Time the message was created.
    created_at: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A button of a message.
#[derive(ToSchema)]
pub struct Button {
    /// Type, such as `QUICK_REPLY`.
    r#type: Option<String>,
    /// Label.
    text: Option<String>,
    /// Address that the button opens.
    url: Option<String>,
    /// Number that the button calls.
    phone_number: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// WhatsApp's object with a message: the `value` of Meta's webhook.
#[derive(ToSchema)]
pub struct RawMessage {
    /// `whatsapp`.
    messaging_product: Option<String>,
    /// The receiving number: `display_phone_number`, `phone_number_id`.
    metadata: Option<BTreeMap<String, Value>>,
    /// The sender.
    contacts: Option<Vec<RawContact>>,
    /// The message, usually one.
    messages: Option<Vec<RawContent>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A sender in WhatsApp's object.
#[derive(ToSchema)]
pub struct RawContact {
    /// Number of the contact.
    wa_id: Option<String>,
    /// `name` of the contact.
    profile: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A message in WhatsApp's object. Its content is in the field that `type` names: `location`,
/// `contacts`, `order`, `interactive`, `reaction`, …
#[derive(ToSchema)]
pub struct RawContent {
    /// Id of the message (`wamid.…`).
    id: Option<String>,
    /// Number of the sender.
    from: Option<String>,
    /// Seconds since 1970, as text.
    timestamp: Option<String>,
    /// Type, which is also the name of the field with the content.
    r#type: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A note: an object, or a text.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Note {
    /// Qontak's object.
    Object(NoteObject),
    /// The text.
    Text(String),
}

/// A note of the agents.
#[derive(ToSchema)]
pub struct NoteObject {
    /// The text.
    text: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Details of a room's channel.
#[derive(ToSchema)]
pub struct Extra {
    /// Whether the contact is online.
    is_participant_online: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A recipient of a copy of an e-mail: an address, or an object.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum CcRecipient {
    /// Address.
    Address(String),
    /// Qontak's object.
    Object(BTreeMap<String, Value>),
}

/// Content of a broadcast for one recipient.
#[derive(ToSchema)]
pub struct Content {
    /// Header of the template.
    header: Option<ContentPart>,
    /// Body of the template.
    body: Option<ContentPart>,
    /// Buttons of the template.
    buttons: Option<ContentPart>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A part of a template, and its values.
#[derive(ToSchema)]
pub struct ContentPart {
    /// Type of the part.
    r#type: Option<String>,
    /// The part itself: a text, an object or an array.
    template: Option<Value>,
    /// Values of the placeholders: an array, or an object with their numbers as names.
    parameters: Option<Value>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}
