//! A room, as the pages show it.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::message::Message;
use crate::console::api::encode;
use crate::console::format;
use crate::console::format::text::name_or;
use crate::console::language::term::term;
use crate::console::language::{Words, fill};
use crate::console::session::Visitor;

/// WhatsApp's customer service window.
const SESSION: TimeDelta = TimeDelta::hours(24);

/// A room of the API.
#[derive(Deserialize)]
pub struct Room {
    pub id: String,
    pub organization_id: Option<String>,
    name: Option<String>,
    pub status: Option<String>,
    pub channel: Option<String>,
    pub channel_name: Option<String>,
    pub channel_account: Option<String>,
    pub account_uniq_id: Option<String>,
    pub division_name: Option<String>,
    pub tags: Option<Vec<String>>,
    session_at: Option<DateTime<Utc>>,
    pub unread_count: Option<i64>,
    pub created_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub activity_at: DateTime<Utc>,
    pub is_blocked: Option<bool>,
    pub agents: Vec<Agent>,
    pub last_message: Option<Message>,
}

/// An agent of a room.
#[derive(Deserialize)]
pub struct Agent {
    pub id: String,
    pub name: Option<String>,
}

impl Room {
    /// Name of the contact, or else its number or account.
    pub fn title<'a>(&'a self, words: &'a Words) -> &'a str {
        let names = [&self.name, &self.account_uniq_id];
        let mut names = names.into_iter().flatten().filter(|name| !name.trim().is_empty());
        names.next().map_or(words.unknown, String::as_str)
    }

    /// Link to its page.
    pub fn link(&self, visitor: &Visitor, parameters: &[(&str, &str)]) -> String {
        visitor.link(&format!("/console/conversations/{}", encode(&self.id)), parameters)
    }

    /// The first letter of the name in a circle. Pictures of contacts are on hosts that the page must
    /// not ask.
    pub fn avatar(&self, words: &Words) -> Markup {
        let title = self.title(words);
        let letter =
            title.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().to_string());
        let hue =
            title.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
                % 5;
        html! { span.avatar.{ "hue-" (hue) } aria-hidden="true" { (letter.unwrap_or_else(|| "?".to_owned())) } }
    }

    /// Chips: status, session and tags.
    pub fn chips(&self, visitor: &Visitor, max_tags: usize) -> Markup {
        let (words, language) = (visitor.words(), visitor.preferences.language);
        let tags = self.tags.iter().flatten();
        html! {
            @if let Some(status) = &self.status {
                span.chip.{ (tone(status)) } { (term(language, status)) }
            }
            (self.session(visitor))
            @if self.is_blocked == Some(true) { span.chip.bad { (words.blocked) } }
            @for tag in tags.take(max_tags) { span.chip { (name_or(Some(tag), words.none)) } }
        }
    }

    /// Since when the customer waits, if nobody has answered.
    pub fn waits_since(&self) -> DateTime<Utc> {
        let last = self.last_message.as_ref().filter(|message| !message.is_out());
        last.map_or(self.activity_at, Message::at)
    }

    /// Time left to reply freely on WhatsApp. The script counts it down.
    pub fn session(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        let is_whatsapp = self.channel.as_deref().is_some_and(|channel| channel.starts_with("wa"));
        let end = self.session_at.map(|at| at + SESSION).filter(|_| is_whatsapp);
        let Some(end) = end.filter(|_| self.status.as_deref() != Some("resolved")) else {
            return html! {};
        };
        let left = end - Utc::now();
        let tone = match left.num_minutes() {
            ..0 => "",
            0..120 => "warn",
            _ => "info",
        };
        html! {
            @if left > TimeDelta::zero() {
                span.chip.{ (tone) } data-until=(end.to_rfc3339()) data-left=(words.session_left) data-over=(words.session_over)
                    data-hour=(words.hour) data-minute=(words.minute) {
                    (fill(words.session_left, &[&format::duration(&visitor.preferences, left.num_seconds() as f64)]))
                }
            } @else { span.chip { (words.session_over) } }
        }
    }
}

/// Colour of a status.
pub fn tone(status: &str) -> &'static str {
    match status {
        "unassigned" | "pending" | "quarantined" => "warn",
        "assigned" | "sent" | "recorded" | "running" => "info",
        "resolved" | "delivered" | "applied" | "done" => "ok",
        // As in the bars of broadcasts.
        "campaign" | "read" => "accent",
        "failed" | "malformed" | "deleted" => "bad",
        _ => "",
    }
}
