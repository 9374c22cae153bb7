//! The list of conversations, with filters and search.

use maud::{Markup, html};
use serde::Deserialize;

use super::message::{Message, message_link};
use super::room::Room;
use crate::console::api::{self, ApiError};
use crate::console::document::{empty, problem};
use crate::console::filter::{Field, form};
use crate::console::format;
use crate::console::format::text::name;
use crate::console::language::fill;
use crate::console::pages::pages;
use crate::console::session::Visitor;

/// Parameters of the list of rooms.
pub const FILTERS: &[&str] = &[
    "q",
    "status",
    "channel",
    "agent",
    "tag",
    "response_state",
    "session",
    "unread",
    "start_date",
    "end_date",
];

/// Those of them that a search in messages takes.
const MESSAGE_FILTERS: &[&str] = &["q", "channel", "start_date", "end_date"];

/// Link to the list with its filters.
pub fn link(visitor: &Visitor) -> String {
    visitor.link("/console/conversations", &visitor.parameters.only(FILTERS))
}

/// What the list shows.
pub struct List {
    rooms: Result<api::List<Room>, ApiError>,
    /// Messages with the words of a search.
    messages: Option<Result<api::List<Message>, ApiError>>,
    facets: Facets,
    is_first: bool,
}

#[derive(Default, Deserialize)]
struct Facets {
    room_statuses: Values,
    channels: Values,
    tags: Values,
    agents: Agents,
}

#[derive(Default, Deserialize)]
struct Values {
    values: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Agents {
    values: Vec<Agent>,
}

#[derive(Deserialize)]
struct Agent {
    id: String,
    name: Option<String>,
}

impl List {
    /// Requests the rooms, and the messages that are searched for. While a conversation is shown, the
    /// cursor of the page belongs to its messages.
    pub async fn load(visitor: &Visitor, open: Option<&str>) -> Self {
        let api = &visitor.api;
        let mut query = visitor.parameters.only(FILTERS);
        query.push(("limit", "40"));
        let cursor = visitor.parameters.get(if open.is_some() { "list" } else { "cursor" });
        query.push(("cursor", cursor));
        let text = visitor.parameters.get("q");
        // Filters that messages have as well.
        let mut found = visitor.parameters.only(MESSAGE_FILTERS);
        found.push(("limit", "20"));
        let (rooms, messages, facets) = tokio::join!(
            api.list("/v1/rooms", &query),
            async {
                if text.is_empty() { None } else { Some(api.list("/v1/messages", &found).await) }
            },
            api.one::<Facets>("/v1/facets", &[]),
        );
        let facets = facets.unwrap_or_default();
        Self { rooms, messages, facets, is_first: cursor.is_empty() }
    }

    /// Draws it; `open` is the id of the room that is shown beside it.
    pub fn draw(&self, visitor: &Visitor, open: Option<&str>) -> Markup {
        let words = visitor.words();
        let refresh = visitor.trigger("changed from:body", self.is_first);
        html! {
            section.card.inbox-list aria-label=(words.conversations) {
                (self.filters(visitor))
                div.rooms #rooms tabindex="-1" hx-get="" hx-select="#rooms > *" hx-trigger=(refresh) {
                    @match &self.rooms {
                        Err(error) => (problem(words, error)),
                        Ok(list) => {
                            @if list.data.is_empty() && self.messages.is_none() { (empty(words.no_conversations, words.no_conversations_hint)) }
                            @if self.messages.is_some() { h3 { (words.conversations) } }
                            @for room in &list.data { (row(visitor, room, open)) }
                            @if list.data.is_empty() && self.messages.is_some() { p.muted.nothing { (words.no_conversations) } }
                            (self.found(visitor))
                            @let cursor = if open.is_some() { "list" } else { "cursor" };
                            (pages(visitor, list.cursors(), cursor))
                        },
                    }
                }
            }
        }
    }

    fn filters(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        let agents = self.facets.agents.values.iter();
        let agents =
            agents.map(|agent| (agent.id.as_str(), agent.name.as_deref().unwrap_or(&agent.id)));
        let more = [
            Field::terms("status", words.status, &self.facets.room_statuses.values),
            Field::terms("channel", words.channel, &self.facets.channels.values),
            Field::choice(
                "agent",
                words.agent,
                [("none", words.without_agent)].into_iter().chain(agents),
            ),
            Field::choice(
                "tag",
                words.tag,
                self.facets.tags.values.iter().map(|tag| (tag.as_str(), tag.as_str())),
            ),
            Field::choice(
                "session",
                words.session,
                [
                    ("open", words.session_long),
                    ("expiring", words.session_expiring),
                    ("expired", words.session_over),
                ]
                .into_iter(),
            ),
            Field::choice(
                "unread",
                words.unread,
                [("true", words.yes), ("false", words.no)].into_iter(),
            ),
            Field::date("start_date", words.from),
            Field::date("end_date", words.until),
        ];
        let mut first = vec![Field::choice(
            "response_state",
            words.answer,
            [("unanswered", words.unanswered), ("answered", words.answered)].into_iter(),
        )];
        if !visitor.is_masked {
            first.insert(0, Field::search("q", words.search_conversations));
        }
        form(visitor, "#rooms", &first, &more)
    }

    /// Messages with the words of a search.
    fn found(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        let Some(messages) = &self.messages else { return html! {} };
        let list = match messages {
            Ok(list) => list,
            Err(error) => return problem(words, error),
        };
        let messages = &list.data;
        let export =
            visitor.link("/console/exports/messages", &visitor.parameters.only(MESSAGE_FILTERS));
        html! {
            h3.hits {
                span {
                    (words.messages)
                    @if list.cursors().next.is_some() { " · " (fill(words.newest_hits, &[&messages.len().to_string()])) }
                }
                @if visitor.can_export && !messages.is_empty() { a href=(export) download { (words.export_messages) } }
            }
            @if messages.is_empty() { p.muted.nothing { (words.no_message_found) } }
            @for message in messages {
                @if let Some(room) = &message.room_id {
                    @let link = message_link(visitor, room, &message.id, &visitor.parameters.only(FILTERS));
                    @let is_open = visitor.parameters.get("message") == message.id;
                    a.room.hit data-row href=(link)
                        aria-current=[is_open.then_some("true")] {
                        span.top {
                            strong { (message.sender(words)) }
                            (format::time(&visitor.preferences, message.at()))
                        }
                        span.preview { (message.preview_of(words, visitor.parameters.get("q"))) }
                    }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, room: &Room, open: Option<&str>) -> Markup {
    let words = visitor.words();
    let mut kept = visitor.parameters.only(FILTERS);
    let cursor = visitor.parameters.get(if open.is_some() { "list" } else { "cursor" });
    kept.push(("list", cursor));
    html! {
        a.room data-row id={ "room-" (room.id) } href=(room.link(visitor, &kept))
            aria-current=[(open == Some(&room.id)).then_some("true")] {
            (room.avatar(words))
            span.top {
                strong { (name(room.title(words))) }
                (format::time(&visitor.preferences, room.activity_at))
            }
            span.top {
                span.preview {
                    @if let Some(message) = &room.last_message {
                        @if message.is_out() { (words.you) " " }
                        (message.preview(words))
                    }
                }
                @if let Some(count) = room.unread_count.filter(|count| *count > 0) {
                    span.unread title=(words.unread) { (count.min(99)) }
                }
            }
            span.chips { (room.chips(visitor, 2)) }
        }
    }
}
