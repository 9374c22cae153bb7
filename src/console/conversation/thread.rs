//! One conversation: messages and the life of the room, by day, newest at the bottom.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::bubble;
use super::message::Message;
use super::page::Page;
use super::room::Room;
use crate::console::api::{ApiError, encode};
use crate::console::document::empty;
use crate::console::format;
use crate::console::format::text::{cut, name, name_or};
use crate::console::icon::{Icon, icon};
use crate::console::language::term::term;
use crate::console::layout::back;
use crate::console::session::Visitor;

/// Values of the parameter `part`: messages that the script puts before or after those that are shown.
const OLDER: &str = "older";
const NEWER: &str = "newer";

/// A conversation.
pub struct Thread {
    /// The room.
    pub room: Room,
    /// Oldest first.
    messages: Vec<Message>,
    life: Vec<RoomEvent>,
    older: Option<String>,
    newer: Option<String>,
    is_newest: bool,
    /// Whether the message that a link names is not in the conversation.
    is_lost: bool,
}

#[derive(Deserialize)]
struct RoomEvent {
    r#type: String,
    at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    actor_id: Option<String>,
    actor_name: Option<String>,
    event_id: String,
}

impl RoomEvent {
    fn time(&self) -> DateTime<Utc> {
        self.at.unwrap_or(self.received_at)
    }
}

impl Thread {
    /// Requests one page of the conversation. A refresh names the oldest message that is shown, and
    /// gets all from there. A hit of a search names its message: then the page has those around it.
    pub async fn load(visitor: &Visitor, id: &str) -> Result<Self, ApiError> {
        let (api, path) = (&visitor.api, format!("/v1/rooms/{}", encode(id)));
        let (events, whole) = (format!("{path}/events"), [("limit", "200")]);
        let (room, page, events) = tokio::join!(
            api.one::<Room>(&path, &[]),
            Page::load(visitor, &path),
            api.list::<RoomEvent>(&events, &whole),
        );
        let room = room?;
        let Page { mut messages, older, newer, is_newest, is_lost } = page?;
        let oldest = visitor.parameters.get("oldest");
        let shown = messages.iter().position(|message| message.id == oldest);
        let older = if shown.is_some() { None } else { older };
        messages.truncate(shown.map_or(usize::MAX, |place| place + 1));
        messages.reverse();
        Ok(Self { room, messages, life: events?.data, older, newer, is_newest, is_lost })
    }

    /// Draws it with its head.
    pub fn draw(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        let oldest = self.messages.first().map_or("", |message| message.id.as_str());
        let whole = if self.has_beginning(visitor) { "1" } else { "" };
        let hit = visitor.parameters.get("message");
        let refresh =
            self.room.link(visitor, &[("oldest", oldest), ("whole", whole), ("message", hit)]);
        let trigger = match self.is_newest {
            true => visitor.trigger("room-changed", true),
            false => "never".to_owned(),
        };
        let has_cursor = !visitor.parameters.get("cursor").is_empty();
        // What the script puts before or after the messages that are shown needs no link to these.
        let part = visitor.parameters.get("part");
        html! {
            section.card.thread {
                (self.head(visitor))
                div.messages #messages tabindex="0" role="log" aria-label=(words.messages) aria-live="off" {
                    div {
                        @if self.is_lost { p.banner.bad role="status" { (words.message_is_gone) } }
                        @if !has_cursor { (self.earlier(visitor)) }
                        ol #newest data-room=(self.room.id) hx-get=(refresh) hx-select="#newest" hx-select-oob="#thread-head" hx-swap="outerHTML" hx-trigger=(trigger) {
                            @if has_cursor && part != NEWER { (self.load_older(visitor)) }
                            (self.items(visitor))
                            @if part != OLDER { (self.load_newer(visitor)) }
                        }
                        @if self.messages.is_empty() { (empty(words.no_messages, words.no_messages_hint)) }
                    }
                }
            }
        }
    }

    /// Whether the page reaches back to the first message. A refresh passes it on as a parameter.
    fn has_beginning(&self, visitor: &Visitor) -> bool {
        let parameters = &visitor.parameters;
        match parameters.get("oldest") {
            "" => self.older.is_none(),
            _ => !parameters.get("whole").is_empty(),
        }
    }

    /// Where older messages are put. Apart from the newest, which are replaced when they change.
    fn earlier(&self, visitor: &Visitor) -> Markup {
        html! { ol #earlier { (self.load_older(visitor)) } }
    }

    fn load_older(&self, visitor: &Visitor) -> Markup {
        let Some(cursor) = &self.older else { return html! {} };
        let before = self.messages.first().map(|message| message.at().to_rfc3339());
        let page = [("cursor", cursor.as_str()), ("before", before.as_deref().unwrap_or_default())];
        let link = self.room.link(visitor, &page);
        let part = self.room.link(visitor, &[&page[..], &[("part", OLDER)]].concat());
        html! {
            li.more #older {
                a.button href=(link) hx-get=(part) hx-select="#newest > li" hx-target="#older" hx-swap="outerHTML"
                    hx-trigger="click, intersect once root:#messages" { (visitor.words().older_messages) }
            }
        }
    }

    /// Loads newer messages below a hit, and leads to the newest ones, where new ones arrive.
    fn load_newer(&self, visitor: &Visitor) -> Markup {
        if self.is_newest {
            return html! {};
        }
        let words = visitor.words();
        let newest = self.room.link(visitor, &[]);
        let after = self.messages.last().map(|message| message.at().to_rfc3339());
        let cursor = self.newer.as_deref().unwrap_or_default();
        let page = [("cursor", cursor), ("after", after.as_deref().unwrap_or_default())];
        let link = self.room.link(visitor, &page);
        let part = self.room.link(visitor, &[&page[..], &[("part", NEWER)]].concat());
        html! {
            li.more #newer {
                @if self.newer.is_some() {
                    a.button href=(link) hx-get=(part) hx-select="#newest > li" hx-target="#newer" hx-swap="outerHTML"
                        hx-trigger="click, intersect once root:#messages" { (words.newer_messages) }
                }
                a.button href=(newest) { (words.newest_messages) }
            }
        }
    }

    fn head(&self, visitor: &Visitor) -> Markup {
        let (words, room) = (visitor.words(), &self.room);
        let back = back(visitor, Some(&super::list::link(visitor))).unwrap_or_default();
        html! {
            header.thread-head #thread-head {
                a.button.back href=(back) data-back aria-label=(words.back) { (icon(Icon::Back)) }
                (room.avatar(words))
                div.who {
                    h2 { (name(room.title(words))) }
                    div.chips { (room.chips(visitor, 5)) }
                }
                details.thread-facts {
                    summary { (words.details) }
                    div.panel { (self.facts(visitor)) }
                }
            }
        }
    }

    fn facts(&self, visitor: &Visitor) -> Markup {
        let (words, room, preferences) = (visitor.words(), &self.room, &visitor.preferences);
        let channel = room.channel.as_deref().unwrap_or_default();
        let agents: Vec<&str> =
            room.agents.iter().map(|agent| agent.name.as_deref().unwrap_or(&agent.id)).collect();
        let trace = visitor.link("/console/trace", &[("id", &room.id)]);
        let export = format!("/console/exports/rooms/{}/messages", encode(&room.id));
        let export = visitor.link(&export, &[]);
        html! {
            dl.facts {
                dt { (words.account) } dd { (name_or(room.account_uniq_id.as_deref(), words.unknown)) }
                dt { (words.channel) } dd {
                    (term(preferences.language, channel)) " "
                    (name_or(room.channel_name.as_deref().or(room.channel_account.as_deref()), ""))
                }
                dt { (words.agents) } dd { (name_or(Some(&agents.join(", ")), words.none)) }
                @if let Some(division) = &room.division_name { dt { (words.division) } dd { (name(division)) } }
                @if let Some(at) = room.created_at { dt { (words.created) } dd { (format::exact(preferences, at)) } }
                @if let Some(at) = room.resolved_at { dt { (words.resolved) } dd { (format::exact(preferences, at)) } }
                @if let Some(id) = &room.organization_id { dt { (words.organization) } dd { code { (name(id)) } } }
                dt { "ID" } dd { code { (name(&room.id)) } }
            }
            p { a href=(trace) { (words.trace_room) } }
            p { a href=(visitor.link("/console/events", &[("subject_id", &room.id)])) { (words.show_events) } }
            @if visitor.can_export { p { a href=(export) download { (words.export_messages) } } }
        }
    }

    /// Messages and events of the room, each day under its date.
    fn items(&self, visitor: &Visitor) -> Markup {
        let preferences = &visitor.preferences;
        let day = |at: DateTime<Utc>| at.with_timezone(&preferences.zone).date_naive();
        let by_id: HashMap<&str, &Message> = self
            .messages
            .iter()
            .flat_map(|message| {
                [Some(&message.id), message.external_id.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(move |id| (id.as_str(), message))
            })
            .collect();
        let mut reactions: HashMap<&str, Vec<&str>> = HashMap::new();
        for message in &self.messages {
            if let Some((id, emoji)) = message.reaction()
                && let Some(target) = by_id.get(id)
            {
                reactions.entry(&target.id).or_default().push(emoji);
            }
        }
        let is_shown_above =
            |message: &Message| message.reaction().is_some_and(|(id, _)| by_id.contains_key(id));
        let mut items: Vec<(DateTime<Utc>, Markup)> = Vec::new();
        for message in self.messages.iter().filter(|message| !is_shown_above(message)) {
            let quoted = message.reply.as_ref().and_then(|reply| {
                let ids = [reply.as_str(), reply["id"].as_str(), reply["external_id"].as_str()];
                ids.into_iter().flatten().find_map(|id| by_id.get(id).copied())
            });
            let reactions = reactions.get(message.id.as_str()).map_or(&[][..], Vec::as_slice);
            items.push((message.at(), bubble::draw(visitor, message, quoted, reactions)));
        }
        for event in self.life_of_page(visitor) {
            items.push((event.time(), life(visitor, event, self.actor(event))));
        }
        items.sort_by_key(|(at, _)| *at);
        let mut last = None;
        html! {
            @for (at, item) in &items {
                @if last != Some(day(*at)) {
                    li.day { (format::date(preferences, day(*at))) }
                }
                @let _ = last.insert(day(*at));
                (item)
            }
        }
    }

    /// The name of who caused an event: from the event, the agents of the room, or their messages.
    fn actor<'a>(&'a self, event: &'a RoomEvent) -> Option<&'a str> {
        let id = event.actor_id.as_deref().unwrap_or_default();
        let of_agent = || self.room.agents.iter().find(|agent| agent.id == id)?.name.as_deref();
        let of_message = || self.messages.iter().find_map(|message| message.name_of(id));
        event.actor_name.as_deref().or_else(of_agent).or_else(of_message)
    }

    /// Events of the room in the time of this page: after the page before it, up to the page after it.
    /// From the first message on, or all before it if there is no older page.
    fn life_of_page(&self, visitor: &Visitor) -> impl Iterator<Item = &RoomEvent> {
        let time = |name| visitor.parameters.get(name).parse::<DateTime<Utc>>().ok();
        let (before, after) = (time("before"), time("after"));
        let until = self.messages.last().map(Message::at).filter(|_| self.newer.is_some());
        let since = self.messages.first().map(Message::at);
        let has_all = self.has_beginning(visitor);
        self.life.iter().filter(move |event| {
            let at = event.time();
            let is_early = match (before, until) {
                (Some(before), _) => at < before,
                (None, Some(until)) => at <= until,
                (None, None) => true,
            };
            let is_late = match after {
                Some(after) => at > after,
                None => has_all || since.is_none_or(|since| at >= since),
            };
            is_early && is_late
        })
    }
}

fn life(visitor: &Visitor, event: &RoomEvent, actor: Option<&str>) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let id = event.actor_id.as_deref().map(|id| cut(id, 8));
    let actor = actor.or(id.as_deref());
    html! {
        li.life {
            @match (event.r#type.as_str(), actor) {
                // The agent was taken off, it did not act.
                ("unassigned", Some(actor)) => { (words.unassigned_from) " " (name(actor)) }
                (kind, actor) => {
                    (term(preferences.language, kind))
                    @if let Some(actor) = actor { " · " (name(actor)) }
                }
            }
            " · " (format::clock(preferences, event.time())) " · "
            a href=(visitor.link(&format!("/console/events/{}", encode(&event.event_id)), &[])) { (words.event) }
        }
    }
}
