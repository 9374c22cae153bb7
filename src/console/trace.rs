//! Trace: everything about an id or a phone number, in one timeline.

use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::{ApiError, encode};
use super::conversation::message::{Message, message_link};
use super::conversation::room::{Room, tone};
use super::csv;
use super::document::{empty, problem_of_page};
use super::event::{self, Event};
use super::format;
use super::format::text::{cut, name, name_or};
use super::language::Words;
use super::language::term::term;
use super::layout::{Content, Section, page};
use super::session::Visitor;

#[derive(Deserialize)]
struct Trace {
    broadcasts: Vec<Broadcast>,
    logs: Vec<Log>,
    messages: Vec<Message>,
    rooms: Vec<Room>,
    events: Vec<Event>,
    timeline: Vec<Entry>,
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Broadcast {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Log {
    id: String,
    contact_full_name: Option<String>,
    contact_phone_number: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = ConsoleTraceEntry)]
struct Entry {
    #[schema(value_type = String)]
    at: DateTime<Utc>,
    source: String,
    subject: String,
    id: String,
    what: String,
}

/// `GET /console/trace`.
pub async fn show(visitor: Visitor) -> Response {
    let content = content(&visitor).await;
    page(&visitor, Section::Trace, content).await
}

/// `GET /console/trace/export`: the timeline.
pub async fn export(visitor: Visitor) -> Response {
    let trace = find(&visitor, visitor.parameters.get("id").trim()).await;
    csv::respond(&visitor, Section::Trace, "trace", trace.map(|trace| trace.timeline)).await
}

async fn find(visitor: &Visitor, id: &str) -> Result<Trace, ApiError> {
    visitor.api.one(&format!("/v1/trace/{}", encode(id)), &[]).await
}

async fn content(visitor: &Visitor) -> Result<Content, ApiError> {
    let words = visitor.words();
    let id = visitor.parameters.get("id").trim();
    let mut export = None;
    let body = if id.is_empty() {
        html! { section.card { (empty(words.trace_what, words.trace_hint)) } }
    } else {
        match find(visitor, id).await {
            Ok(trace) => {
                export = Some(visitor.link("/console/trace/export", &[("id", id)]));
                trace.draw(visitor)
            }
            // Another id may be faster.
            Err(error) if error.is_cut() => {
                html! { section.card { (problem_of_page(words, &error)) } }
            }
            Err(error) if error.status == 404 => {
                html! { section.card { (empty(words.not_found, words.trace_hint)) } }
            }
            Err(error) => return Err(error),
        }
    };
    Ok(Content {
        title: words.trace.to_owned(),
        heading: None,
        parent: None,
        actions: html! {
            @if let Some(export) = export.filter(|_| visitor.can_export) {
                a.button href=(export) download { (words.export_csv) }
            }
        },
        body: html! {
            form.trace-form method="get" action="/console/trace" role="search" {
                @if !visitor.organization.is_empty() { input type="hidden" name="organization_id" value=(visitor.organization); }
                input type="search" name="id" value=(id) aria-label=(words.trace_what) placeholder=(words.trace_what) autofocus[id.is_empty()];
                button.primary { (words.trace) }
            }
            (body)
        },
    })
}

impl Trace {
    fn draw(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        html! {
            div.columns {
                section.card.wide {
                    h2 { (words.timeline) }
                    ol.timeline { @for entry in &self.timeline { (self.entry(visitor, entry)) } }
                }
                section.card {
                    (self.found(visitor))
                    @if !self.more.is_empty() { p.muted.small { (words.newest_rows) } }
                }
            }
        }
    }

    fn entry(&self, visitor: &Visitor, entry: &Entry) -> Markup {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let link = self.link(visitor, entry);
        html! {
            li.{ (tone(&entry.what)) } {
                (format::exact(preferences, entry.at))
                @if entry.source == "received" && entry.subject != "event" { " " span.muted title=(words.upper_bound) { "≤" } }
                " · " strong { (term(preferences.language, &entry.what)) } " "
                a data-row href=(link) { (subject(words, &entry.subject)) " " (self.label(words, entry)) }
            }
        }
    }

    /// The page of what an entry is about.
    fn link(&self, visitor: &Visitor, entry: &Entry) -> String {
        let id = entry.id.as_str();
        match entry.subject.as_str() {
            "event" => event::link(visitor, id),
            "room" => visitor.link(&format!("/console/conversations/{}", encode(id)), &[]),
            "broadcast" => visitor.link(&format!("/console/broadcasts/{}", encode(id)), &[]),
            "message" => {
                let message = self.messages.iter().find(|message| message.id == id);
                match message.and_then(|message| message.room_id.as_deref()) {
                    Some(room) => message_link(visitor, room, id, &[]),
                    None => visitor.link("/console/trace", &[("id", id)]),
                }
            }
            _ => visitor.link("/console/trace", &[("id", id)]),
        }
    }

    /// A word on what an entry is about.
    fn label(&self, words: &Words, entry: &Entry) -> Markup {
        let id = &entry.id;
        let message = || self.messages.iter().find(|message| message.id == *id);
        let room = || self.rooms.iter().find(|room| room.id == *id);
        let log = || self.logs.iter().find(|log| log.id == *id);
        html! {
            @match entry.subject.as_str() {
                "message" => { @if let Some(message) = message() { span.muted { (message.preview(words)) } } },
                "room" => { @if let Some(room) = room() { span.muted { (name(room.title(words))) } } },
                "log" => { @if let Some(log) = log() { span.muted { (name_or(log.contact_full_name.as_deref(), "")) } } },
                _ => { code.small { (name(&cut(id, 13))) } }
            }
        }
    }

    /// What was found, with links.
    fn found(&self, visitor: &Visitor) -> Markup {
        let (words, language) = (visitor.words(), visitor.preferences.language);
        html! {
            @if !self.rooms.is_empty() {
                h2 { (words.conversations) }
                ul.plain { @for room in &self.rooms { li.reason {
                    a href=(visitor.link(&format!("/console/conversations/{}", encode(&room.id)), &[])) { (name(room.title(words))) }
                    div.chips { (room.chips(visitor, 2)) }
                } } }
            }
            @if !self.broadcasts.is_empty() {
                h2 { (words.broadcasts) }
                ul.plain { @for broadcast in &self.broadcasts { li.reason {
                    a href=(visitor.link(&format!("/console/broadcasts/{}", encode(&broadcast.id)), &[])) { (name_or(broadcast.name.as_deref(), &broadcast.id)) }
                } } }
            }
            @if !self.logs.is_empty() {
                h2 { (words.recipients) }
                ul.plain { @for log in self.logs.iter().take(10) { li.row {
                    span { (name_or(log.contact_full_name.as_deref().or(log.contact_phone_number.as_deref()), words.unknown)) }
                    @let status = log.status.as_deref().unwrap_or_default();
                    span.chip.{ (tone(status)) } { (term(language, status)) }
                } } }
            }
            @if !self.events.is_empty() {
                h2 { (words.events) }
                ul.plain { @for event in self.events.iter().take(10) { li.row {
                    a href=(event::link(visitor, &event.event_id)) { (name_or(event.kind.as_deref().or(event.name.as_deref()), words.unknown)) }
                    span.chip.{ (tone(&event.outcome)) } { (term(language, &event.outcome)) }
                } } }
            }
        }
    }
}

fn subject<'a>(words: &'a Words, subject: &'a str) -> &'a str {
    match subject {
        "message" => words.message,
        "room" => words.conversation,
        "broadcast" => words.broadcast,
        "log" => words.recipient,
        "event" => words.event,
        other => other,
    }
}
