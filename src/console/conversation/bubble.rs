//! A message in a conversation: a bubble with sender, text, media, reactions, time and status.

use maud::{Markup, html};
use serde_json::Value;

use super::media;
use super::message::Message;
use crate::console::api::encode;
use crate::console::format;
use crate::console::format::text::{MAX_CHARACTERS, cut, name, rich};
use crate::console::icon::{Icon, icon};
use crate::console::language::term::term;
use crate::console::session::Visitor;

/// Order of statuses in the list of times.
const STATUSES: [&str; 6] = ["created", "pending", "sent", "delivered", "read", "failed"];

/// Draws a message. `quoted` is the message it replies to, if that is on the page.
pub fn draw(
    visitor: &Visitor,
    message: &Message,
    quoted: Option<&Message>,
    reactions: &[&str],
) -> Markup {
    let words = visitor.words();
    let text = message.words();
    let kind = message.r#type.as_deref().unwrap_or("text");
    let events = visitor.link("/console/events", &[("subject_id", &message.id)]);
    let is_hit = visitor.parameters.get("message") == message.id;
    let is_cut = text.is_some_and(|text| text.chars().nth(MAX_CHARACTERS).is_some());
    html! {
        li.message.{ (if message.is_notice() { "notice" } else { message.class() }) }.hit[is_hit] id={ "m-" (message.id) } {
            div.bubble {
                @if !message.is_notice() {
                    div.sender {
                        (message.sender(words))
                        @if !message.has_sender() {}
                        @else if message.is_campaign() { span.chip.warn { (words.broadcast) } }
                        @else if message.is_bot() { span.chip.ok { (words.bot) } }
                        @if message.is_edited == Some(true) { span.chip { (words.edited) } }
                        @if message.is_deleted() { span.chip.bad { (words.deleted) } }
                    }
                }
                (quote(visitor, message, quoted))
                (media::draw(visitor, message))
                @match text {
                    Some(text) => { (rich(text)) (media::description(message)) }
                    None if media::is_shown(message) => {},
                    None => p.muted { "(" (term(visitor.preferences.language, media::name_of(kind, words))) ")" },
                }
                @if is_cut { p.small { a href=(events) { (words.long_text) } } }
                (media::buttons(message))
                (failure(visitor, message))
                div.meta {
                    @if let Some(id) = message.broadcast_id.as_deref().filter(|_| message.is_campaign()) {
                        a href=(visitor.link(&format!("/console/broadcasts/{}", encode(id)), &[])) { (words.show_broadcast) }
                    }
                    a href=(events) title=(words.show_events) { (format::clock(&visitor.preferences, message.at())) }
                    @if message.is_out() && !message.is_notice() { (statuses(visitor, message)) }
                }
            }
            @if !reactions.is_empty() {
                div.reactions { @for emoji in reactions.iter().take(8) { span { (cut(emoji, 8)) } } }
            }
        }
    }
}

/// Ticks, which open the times of all statuses.
fn statuses(visitor: &Visitor, message: &Message) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let status = message.status.as_deref().unwrap_or_default();
    let picture = match status {
        "sent" => Icon::Tick,
        "delivered" | "read" => Icon::Ticks,
        "failed" => Icon::Failed,
        _ => Icon::Clock,
    };
    let known = STATUSES.iter().filter_map(|one| Some((one, message.status_times.get(*one)?)));
    html! {
        details.statuses {
            summary.ticks.{ (status) } { (icon(picture)) span { (term(preferences.language, status)) } }
            ul {
                @for (status, time) in known {
                    li {
                        (term(preferences.language, status)) " " (format::exact(preferences, time.at))
                        @if time.source == "received" { " " span title=(words.upper_bound) { "≤" } }
                    }
                }
                @for status in &message.implied { li { (term(preferences.language, status)) " " (words.no_report) } }
            }
        }
    }
}

/// Why it failed, and what to do.
fn failure(visitor: &Visitor, message: &Message) -> Markup {
    let title = message.error_title.as_deref();
    if message.status.as_deref() != Some("failed") && message.error_code.is_none() {
        return html! {};
    }
    html! {
        div.failure {
            p {
                @match (&message.error_meaning, title) {
                    (Some(meaning), _) => (meaning.of(visitor)),
                    (None, Some(title)) => (name(title)),
                    (None, None) => (visitor.words().no_reason),
                }
                @if let Some(code) = message.error_code { " (" (code) ")" }
            }
            @if let Some(advice) = &message.error_advice { p { (advice.of(visitor)) } }
            @if let Some(details) = &message.error_details { p { (name(details)) } }
        }
    }
}

/// What it replies to: the message on this page, or what the event has of it.
fn quote(visitor: &Visitor, message: &Message, quoted: Option<&Message>) -> Markup {
    let words = visitor.words();
    let text = |value: &Value| value["text"].as_str().map(str::to_owned);
    html! {
        @match (quoted, &message.reply) {
            (Some(quoted), _) => {
                a.quote href={ "#m-" (quoted.id) } { (quoted.sender(words)) ": " (quoted.preview(words)) }
            }
            (None, Some(reply)) if !reply.is_null() => {
                span.quote {
                    @match text(reply) { Some(text) => (rich(&cut(&text, 200))), None => (words.reply) }
                }
            }
            _ => {}
        }
    }
}
