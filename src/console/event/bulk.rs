//! Replay of all events that match the filters. It runs in the background; its page shows the progress.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::Event;
use crate::console::api::{ApiError, encode};
use crate::console::conversation::room::tone;
use crate::console::format;
use crate::console::format::text::{cut, name, name_or};
use crate::console::language::fill;
use crate::console::language::term::term;
use crate::console::layout::{Content, Section, page};
use crate::console::parameters::Parameters;
use crate::console::session::Visitor;

/// Filters of events that a replay of many takes; at least one is needed.
const FILTERS: &[&str] = &["outcome", "kind", "start_date", "end_date"];
/// Other filters of events: with one of them, a replay would take more than the list shows.
const OTHERS: &[&str] = &["name", "subject_id", "has_reasons", "endpoint"];

/// A replay of many events.
#[derive(Deserialize)]
struct Replay {
    replay_id: String,
    created_at: DateTime<Utc>,
    state: String,
    from_at: Option<DateTime<Utc>>,
    to_at: DateTime<Utc>,
    kind: Option<String>,
    outcome: Option<String>,
    events: i64,
    changed: i64,
    error: Option<String>,
}

/// The button of the list of events, if such a replay would take what the list shows.
pub fn button(visitor: &Visitor) -> Markup {
    let chosen = visitor.parameters.only(FILTERS);
    let has_others = !visitor.parameters.only(OTHERS).is_empty();
    if !visitor.can_replay || chosen.is_empty() || has_others {
        return html! {};
    }
    html! {
        form method="post" action=(visitor.link("/console/replays", &[])) {
            @for (name, value) in &chosen { input type="hidden" name=(name) value=(value); }
            button { (visitor.words().replay_matching) }
        }
    }
}

/// `POST /console/replays`: asks, with the number of events; confirmed, it starts the replay and leads to its
/// page.
pub async fn start(visitor: Visitor, body: Bytes) -> Response {
    let form = Parameters::parse(&body);
    let mut query = form.only(FILTERS);
    if form.get("is_confirmed") != "true" {
        let content = confirmation(&visitor, &query).await;
        return page(&visitor, Section::Events, content).await;
    }
    if !visitor.organization.is_empty() {
        query.push(("organization_id", visitor.organization.as_str()));
    }
    match visitor.api.post::<Replay>("/v1/replays", &query).await {
        Ok(replay) => lead_to(&visitor, &replay.replay_id),
        Err(error) => page(&visitor, Section::Events, Err(error)).await,
    }
}

async fn confirmation(visitor: &Visitor, chosen: &[(&str, &str)]) -> Result<Content, ApiError> {
    let words = visitor.words();
    let counted = [chosen, &[("is_counted", "true"), ("limit", "1")]].concat();
    let events = visitor.api.list::<Event>("/v1/events", &counted).await?;
    let count = format::number(&visitor.preferences, events.total());
    let list = visitor.link("/console/events", chosen);
    Ok(Content {
        title: words.replay_of_many.to_owned(),
        heading: None,
        parent: Some(visitor.link("/console/events", &[])),
        actions: html! {},
        body: html! {
            section.card {
                p.lead { strong { (fill(words.replay_count, &[&count])) } " " (words.replay_consequence) }
                p.lead { (words.replay_many_hint) }
                form.actions method="post" action=(visitor.link("/console/replays", &[])) {
                    @for (name, value) in chosen { input type="hidden" name=(name) value=(value); }
                    a.button.primary href=(list) { (words.choose_events) }
                    button name="is_confirmed" value="true" { (words.replay_now) }
                }
            }
        },
    })
}

/// `GET /console/replays/{id}`.
pub async fn show(visitor: Visitor, Path(id): Path<String>) -> Response {
    // A replay belongs to its key, not to an organisation.
    let api = visitor.api.of_all_organizations();
    let replay = api.one::<Replay>(&format!("/v1/replays/{}", encode(&id)), &[]).await;
    let content = replay.map(|replay| replay.content(&visitor));
    page(&visitor, Section::Events, content).await
}

/// `POST /console/replays/{id}/cancel`.
pub async fn cancel(visitor: Visitor, Path(id): Path<String>) -> Response {
    match visitor.api.delete::<Replay>(&format!("/v1/replays/{}", encode(&id))).await {
        Ok(replay) => lead_to(&visitor, &replay.replay_id),
        Err(error) => page(&visitor, Section::Events, Err(error)).await,
    }
}

fn lead_to(visitor: &Visitor, id: &str) -> Response {
    let target = visitor.link(&format!("/console/replays/{}", encode(id)), &[]);
    (StatusCode::SEE_OTHER, [(LOCATION, target)]).into_response()
}

impl Replay {
    fn content(&self, visitor: &Visitor) -> Content {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let number = |count| format::number(preferences, count);
        let is_running = self.state == "running";
        let cancel = format!("/console/replays/{}/cancel", encode(&self.replay_id));
        let word = |word: &Option<String>| match word {
            Some(word) => html! { (term(preferences.language, word)) },
            None => name_or(None, words.any),
        };
        Content {
            title: words.replay_of_many.to_owned(),
            heading: None,
            parent: Some(visitor.link("/console/events", &[])),
            actions: html! {},
            body: html! {
                section.card #replay hx-get="" hx-select="#replay" hx-swap="outerHTML"
                    hx-trigger=(if is_running { "every 2s" } else { "never" }) {
                    p.lead {
                        span.chip.{ (tone(&self.state)) } { (term(preferences.language, &self.state)) } " "
                        (fill(words.replay_progress, &[&number(self.events), &number(self.changed)]))
                    }
                    @if let Some(error) = &self.error { p.banner.bad { (name(&cut(error, 300))) } }
                    dl.facts {
                        dt { (words.outcome) } dd { (word(&self.outcome)) }
                        dt { (words.kind) } dd { (word(&self.kind)) }
                        dt { (words.from) } dd {
                            @match self.from_at {
                                Some(at) => (format::exact(preferences, at)),
                                None => (name_or(None, words.any)),
                            }
                        }
                        dt { (words.until) } dd { (format::exact(preferences, self.to_at)) }
                        dt { (words.created) } dd { (format::exact(preferences, self.created_at)) }
                    }
                    @if is_running {
                        form method="post" action=(visitor.link(&cancel, &[])) { button { (words.cancel) } }
                    }
                }
            },
        }
    }
}
