//! A message, as the pages show it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::media;
use crate::console::api::encode;
use crate::console::format::text::{cut, name_or};
use crate::console::icon::icon;
use crate::console::language::Words;
use crate::console::session::Visitor;
use crate::console::translated::Translated;

/// A message of the API. What Qontak defines stays JSON, because it may have any shape.
#[derive(Deserialize)]
pub struct Message {
    pub id: String,
    pub room_id: Option<String>,
    pub r#type: Option<String>,
    pub text: Option<String>,
    pub status: Option<String>,
    pub other_statuses: Option<Vec<String>>,
    pub error_code: Option<i64>,
    pub error_title: Option<String>,
    pub error_details: Option<String>,
    pub error_meaning: Option<Translated>,
    pub error_advice: Option<Translated>,
    direction: Option<String>,
    participant_type: Option<String>,
    sender_id: Option<String>,
    pub external_id: Option<String>,
    pub broadcast_id: Option<String>,
    is_campaign: Option<bool>,
    pub is_edited: Option<bool>,
    pub file: Option<Value>,
    pub stored_file: Option<StoredFile>,
    pub reply: Option<Value>,
    pub buttons: Option<Value>,
    pub raw_message: Option<Value>,
    created_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    pub status_times: BTreeMap<String, StatusTime>,
    pub implied: Vec<String>,
    sender: Sender,
}

/// Link to a message in its conversation, with these parameters of the list beside it.
pub fn message_link(
    visitor: &Visitor,
    room_id: &str,
    message_id: &str,
    kept: &[(&str, &str)],
) -> String {
    let path = format!("/console/conversations/{}", encode(room_id));
    let link = visitor.link(&path, &[kept, &[("message", message_id)]].concat());
    format!("{link}#m-{}", encode(message_id))
}

/// The copy of a message's file.
#[derive(Deserialize)]
pub struct StoredFile {
    pub content_type: String,
    pub bytes: i64,
}

/// When a status was reached, and by whose clock.
#[derive(Deserialize)]
pub struct StatusTime {
    pub at: DateTime<Utc>,
    pub source: String,
}

#[derive(Deserialize)]
struct Sender {
    name: Option<String>,
}

impl Message {
    /// When it was sent, as far as known.
    pub fn at(&self) -> DateTime<Utc> {
        self.status_times
            .get("created")
            .map(|created| created.at)
            .or(self.created_at)
            .unwrap_or(self.received_at)
    }

    /// Whether it went to the customer.
    pub fn is_out(&self) -> bool {
        self.direction.as_deref() != Some("in")
    }

    /// Whether it is nobody's word, such as "the agent joined".
    pub fn is_notice(&self) -> bool {
        self.r#type.as_deref() == Some("system")
    }

    /// Kind of sender, as a class.
    pub fn class(&self) -> &'static str {
        match self.participant_type.as_deref() {
            _ if self.is_campaign == Some(true) => "out campaign",
            Some("bot") if self.is_out() => "out bot",
            _ if self.is_out() => "out",
            _ => "in",
        }
    }

    /// Whether a broadcast sent it.
    pub fn is_campaign(&self) -> bool {
        self.is_campaign == Some(true)
    }

    /// Whether a bot sent it.
    pub fn is_bot(&self) -> bool {
        self.participant_type.as_deref() == Some("bot")
    }

    /// Whether it was deleted after it was sent.
    pub fn is_deleted(&self) -> bool {
        self.other_statuses.iter().flatten().any(|status| status == "deleted")
    }

    /// The name of this sender, if it sent the message.
    pub fn name_of(&self, sender_id: &str) -> Option<&str> {
        let is_sender = self.sender_id.as_deref() == Some(sender_id);
        self.sender.name.as_deref().filter(|name| is_sender && !name.trim().is_empty())
    }

    /// Whether the name of its sender is known.
    pub fn has_sender(&self) -> bool {
        self.sender.name.as_deref().is_some_and(|name| !name.trim().is_empty())
    }

    /// Name of its sender.
    pub fn sender(&self, words: &Words) -> Markup {
        let other = match self.is_out() {
            _ if self.is_campaign() => words.broadcast,
            true if self.is_bot() => words.bot,
            true => words.agent,
            false => words.customer,
        };
        name_or(self.sender.name.as_deref(), other)
    }

    /// The reaction: the id of a message at the channel, and an emoji.
    pub fn reaction(&self) -> Option<(&str, &str)> {
        let message = self.raw_message.as_ref()?.pointer("/messages/0/reaction")?;
        Some((message["message_id"].as_str()?, message["emoji"].as_str().unwrap_or_default()))
    }

    /// Its text; of a choice from a list or of a button, what was chosen.
    pub fn words(&self) -> Option<&str> {
        let has_words = |text: &&str| !text.trim().is_empty();
        let chosen =
            ["interactive/list_reply/title", "interactive/button_reply/title", "button/text"];
        let raw =
            |name| self.raw_message.as_ref()?.pointer(&format!("/messages/0/{name}"))?.as_str();
        let text = self.text.as_deref().filter(has_words);
        text.or_else(|| chosen.into_iter().find_map(raw).filter(has_words))
    }

    /// One line of it, for lists.
    pub fn preview(&self, words: &Words) -> Markup {
        self.preview_of(words, "")
    }

    /// One line of it, from before the first word of a search on, which is marked.
    pub fn preview_of(&self, words: &Words, search: &str) -> Markup {
        let kind = self.r#type.as_deref().unwrap_or("text");
        let picture = media::picture(kind);
        html! {
            @if let Some(picture) = picture { (icon(picture)) " " }
            @match self.words() {
                Some(text) => bdi { (found(text, search)) },
                None => (media::name_of(kind, words)),
            }
        }
    }
}

/// Characters before a word that was found.
const BEFORE: usize = 30;

/// The part of a text with the first word of a search, marked; or else its beginning.
fn found(text: &str, search: &str) -> Markup {
    // Of the same length in bytes as the text, unlike `to_lowercase`.
    let lower = text.to_ascii_lowercase();
    let words = search.split_whitespace().map(str::to_ascii_lowercase);
    let place = words.filter_map(|word| Some((lower.find(&word)?, word.len()))).min();
    let Some((start, length)) = place else { return html! { (cut(text, 160)) } };
    let from = text[..start].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
    html! {
        @if from > 0 { "…" }
        (cut(&text[from..start], BEFORE + 1)) mark { (cut(&text[start..start + length], 80)) } (cut(&text[start + length..], 120))
    }
}
