//! Files, places, contacts, buttons and choices of a message.
//!
//! Files are shown from the copies of this service. Those without one are links: their host is Qontak's, and
//! the content security policy allows no images of others.

use maud::{Markup, html};
use serde_json::Value;

use super::message::{Message, StoredFile};
use crate::console::api::encode;
use crate::console::format;
use crate::console::format::text::{cut, is_web, name, outside};
use crate::console::icon::{Icon, icon};
use crate::console::language::Words;
use crate::console::session::Visitor;

/// Icon of a type of message; `None` for texts.
pub fn picture(kind: &str) -> Option<Icon> {
    Some(match kind {
        "image" | "sticker" => Icon::Image,
        "video" => Icon::Video,
        "audio" | "voice" => Icon::Voice,
        "location" => Icon::Place,
        "contacts" | "contact" => Icon::Contact,
        "document" | "file" => Icon::Document,
        _ => return None,
    })
}

/// Name of a type of message.
pub fn name_of<'a>(kind: &'a str, words: &'a Words) -> &'a str {
    match kind {
        "image" => words.image,
        "sticker" => words.sticker,
        "video" => words.video,
        "audio" | "voice" => words.voice,
        "location" => words.location,
        "contacts" | "contact" => words.contact,
        "document" | "file" => words.document,
        "text" => words.empty_message,
        other => other,
    }
}

/// Everything but the text.
pub fn draw(visitor: &Visitor, message: &Message) -> Markup {
    let kind = message.r#type.as_deref().unwrap_or_default();
    let part = |name: &str| message.raw_message.as_ref()?.pointer(&format!("/messages/0/{name}"));
    html! {
        @if let Some(file) = message.file.as_ref().filter(|file| file.is_object()) {
            (stored_image(visitor.words(), kind, message))
            (file_card(visitor, kind, file, message))
        }
        @if let Some(location) = part("location") { (place(visitor.words(), location)) }
        @for contact in part("contacts").and_then(Value::as_array).into_iter().flatten().take(10) { (contact_card(visitor.words(), contact)) }
    }
}

/// Whether [`draw`] shows anything, so that a message without text is not empty.
pub fn is_shown(message: &Message) -> bool {
    let part = |name: &str| message.raw_message.as_ref()?.pointer(&format!("/messages/0/{name}"));
    let has_contact = part("contacts/0").is_some();
    message.file.as_ref().is_some_and(Value::is_object) || part("location").is_some() || has_contact
}

/// Description of what was chosen from a list, under its title.
pub fn description(message: &Message) -> Markup {
    let raw = message.raw_message.as_ref();
    let choice = raw.and_then(|raw| raw.pointer("/messages/0/interactive/list_reply/description"));
    html! { @if let Some(choice) = choice { p.muted.small { (text(choice)) } } }
}

/// Buttons of a template or list, under the text.
pub fn buttons(message: &Message) -> Markup {
    let buttons = message.buttons.as_ref().and_then(Value::as_array);
    let texts = buttons.into_iter().flatten().filter_map(|button| match button {
        Value::String(text) => Some(text.as_str()),
        button => ["text", "title"].iter().find_map(|name| button[*name].as_str()),
    });
    let texts: Vec<&str> = texts.take(10).collect();
    html! {
        @if !texts.is_empty() {
            div.option-list { @for text in texts { span { (name(text)) } } }
        }
    }
}

/// Types of images that every browser shows, and that can have no script.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

fn stored_image(words: &Words, kind: &str, message: &Message) -> Markup {
    let is_image = |file: &StoredFile| IMAGES.contains(&file.content_type.as_str());
    html! {
        @if message.stored_file.as_ref().is_some_and(is_image) {
            a.picture href=(stored_url(message)) target="_blank" {
                img src=(stored_url(message)) alt=(name_of(kind, words)) loading="lazy";
            }
        }
    }
}

/// URL of the copy of a message's file.
fn stored_url(message: &Message) -> String {
    format!("/console/files/{}", encode(&message.id))
}

fn file_card(visitor: &Visitor, kind: &str, file: &Value, message: &Message) -> Markup {
    let words = visitor.words();
    let url = file["url"].as_str().unwrap_or_default();
    let bytes = message.stored_file.as_ref().map(|file| file.bytes);
    let title = file["filename"].as_str().filter(|text| !text.trim().is_empty());
    let title = title.unwrap_or_else(|| name_of(kind, words));
    html! {
        div.file {
            (icon(picture(kind).unwrap_or(Icon::Document)))
            span.about {
                @if message.stored_file.is_some() { a href=(stored_url(message)) target="_blank" { (name(title)) } }
                @else if is_web(url) { (outside(url, &name(title))) }
                @else { (name(title)) }
                span.muted.small {
                    (name_of(kind, words))
                    @if let Some(size) = bytes.or_else(|| file["size"].as_i64()) { " · " (format::bytes(&visitor.preferences, size)) }
                }
            }
        }
    }
}

fn place(words: &Words, location: &Value) -> Markup {
    let (latitude, longitude) = (location["latitude"].as_f64(), location["longitude"].as_f64());
    let title = location["name"].as_str().unwrap_or(words.location);
    let map = latitude.zip(longitude).map(|(latitude, longitude)| {
        format!("https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=17/{latitude}/{longitude}")
    });
    html! {
        div.file {
            (icon(Icon::Place))
            span.about {
                @match &map {
                    Some(url) => (outside(url, &name(title))),
                    None => (name(title)),
                }
                @if let Some(address) = location["address"].as_str() { span.muted.small { (name(address)) } }
            }
        }
    }
}

fn contact_card(words: &Words, contact: &Value) -> Markup {
    let title = contact["name"]["formatted_name"].as_str().unwrap_or(words.contact);
    let phones = contact["phones"].as_array().into_iter().flatten();
    let phones: Vec<&str> = phones.filter_map(|phone| phone["phone"].as_str()).take(5).collect();
    html! {
        div.file {
            (icon(Icon::Contact))
            span.about { (name(title)) span.muted.small { (name(&phones.join(", "))) } }
        }
    }
}

fn text(value: &Value) -> Markup {
    name(&cut(value.as_str().unwrap_or_default(), 200))
}
