//! The journal: events with body, reasons and replay.

pub mod bulk;
mod json;
mod replay;

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

pub use self::replay::replay;
use super::api::{ApiError, encode};
use super::conversation::room::tone;
use super::document::problem;
use super::filter::{Field, form};
use super::format;
use super::format::text::{cut, name, name_or};
use super::language::term::term;
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::table::{Column, list as table};

const FILTERS: &[&str] =
    &["outcome", "kind", "name", "subject_id", "has_reasons", "endpoint", "start_date", "end_date"];

/// An event.
#[derive(Deserialize)]
pub struct Event {
    pub event_id: String,
    pub received_at: DateTime<Utc>,
    endpoint: String,
    pub kind: Option<String>,
    pub name: Option<String>,
    organization_id: Option<String>,
    subject_id: Option<String>,
    pub outcome: String,
    pub reasons: Vec<String>,
    deliveries: i64,
    body_bytes: i64,
    parser_version: i64,
    request_id: String,
}

#[derive(Default, Deserialize)]
struct Facets {
    event_kinds: Values,
    event_names: Values,
    endpoints: Values,
}

#[derive(Default, Deserialize)]
struct Values {
    values: Vec<String>,
}

/// `GET /console/events`.
pub async fn list(visitor: Visitor) -> Response {
    let (words, language) = (visitor.words(), visitor.preferences.language);
    let mut query = visitor.parameters.only(FILTERS);
    query.extend(visitor.parameters.only(&["cursor"]));
    let (rows, facets) = tokio::join!(
        visitor.api.list::<Event>("/v1/events", &query),
        visitor.api.one::<Facets>("/v1/facets", &[]),
    );
    let facets = facets.unwrap_or_default();
    let outcomes = ["applied", "recorded", "quarantined", "malformed"].map(str::to_owned);
    let fields = [
        Field::search("subject_id", words.search_events),
        Field::terms("outcome", words.outcome, &outcomes),
        Field::terms("kind", words.kind, &facets.event_kinds.values),
        Field::terms("name", words.name, &facets.event_names.values),
        Field::choice(
            "has_reasons",
            words.reasons,
            [("true", words.yes), ("false", words.no)].into_iter(),
        ),
        Field::terms("endpoint", words.endpoint, &facets.endpoints.values),
        Field::date("start_date", words.from),
        Field::date("end_date", words.until),
    ];
    let columns = [
        Column("", false),
        Column(words.kind, false),
        Column(words.time, false),
        Column(words.outcome, false),
        Column(words.reasons, false),
        Column(words.deliveries_of_event, true),
    ];
    let columns = if visitor.can_replay { &columns[..] } else { &columns[1..] };
    let nothing = (words.no_events, words.no_events_match);
    let body = table(&visitor, &rows, columns, nothing, |event| {
        let check = visitor.can_replay.then(|| {
            html! {
                input type="checkbox" name="id" value=(event.event_id) aria-label=(words.choose);
            }
        });
        let kind = event.kind.as_deref().or(event.name.as_deref());
        let cells = [
            html! {
                div {
                    a data-row href=(link(&visitor, &event.event_id)) { (name_or(kind, words.unknown)) }
                    @if event.name.as_deref().is_some_and(|name| Some(name.trim()) != kind) { div.muted.small { (name_or(event.name.as_deref(), "")) } }
                    @if let Some(id) = &event.subject_id { div.muted.small { code { (name(&cut(id, 60))) } } }
                }
            },
            format::time(&visitor.preferences, event.received_at),
            html! { span.chip.{ (tone(&event.outcome)) } { (term(language, &event.outcome)) } },
            html! {
                div {
                    @if let Some(reason) = event.reasons.first() { (name(&cut(reason, 160))) }
                    @if event.reasons.len() > 1 { " " span.muted { "+" (event.reasons.len() - 1) } }
                }
            },
            html! { (event.deliveries) },
        ];
        check.into_iter().chain(cells).collect()
    });
    let export = visitor.link("/console/exports/events", &visitor.parameters.only(FILTERS));
    let content = Content {
        title: words.events.to_owned(),
        heading: None,
        parent: None,
        actions: html! {
            (bulk::button(&visitor))
            @if visitor.can_export { a.button href=(export) download { (words.export_csv) } }
        },
        body: html! {
            (form(&visitor, "#list", &fields, &[]))
            form method="post" action=(visitor.link("/console/events/replay", &[])) {
                @if visitor.can_replay {
                    div.selection {
                        label.inline { input type="checkbox" data-all="id"; (words.choose_all) }
                        button.primary name="dry_run" value="true" { (words.dry_run_selected) }
                        button name="dry_run" value="false" { (words.replay_selected) }
                    }
                }
                section.card #list hx-get="" hx-select="#list > *" hx-trigger=(visitor.list_trigger()) { (body) }
            }
        },
    };
    page(&visitor, Section::Events, Ok(content)).await
}

/// Link to an event.
pub fn link(visitor: &Visitor, id: &str) -> String {
    visitor.link(&format!("/console/events/{}", encode(id)), &[])
}

/// `GET /console/events/{id}`.
pub async fn show(visitor: Visitor, Path(id): Path<String>) -> Response {
    let content = content(&visitor, &id).await;
    page(&visitor, Section::Events, content).await
}

async fn content(visitor: &Visitor, id: &str) -> Result<Content, ApiError> {
    let words = visitor.words();
    let path = format!("/v1/events/{}", encode(id));
    let body_path = format!("{path}/body");
    let (event, body) =
        tokio::join!(visitor.api.one::<Event>(&path, &[]), visitor.api.fetch(&body_path, &[]),);
    let event = event?;
    let raw = visitor.link(&format!("/console/events/{}/body", encode(id)), &[]);
    let kind = event.kind.as_deref().or(event.name.as_deref()).unwrap_or(words.unknown);
    Ok(Content {
        title: cut(kind, 100),
        heading: None,
        parent: Some(visitor.link("/console/events", &[])),
        actions: html! {
            @if !visitor.is_masked { a.button href=(raw) { (words.raw_body) } }
            @if visitor.can_replay { (replay_buttons(visitor, &event.event_id)) }
        },
        body: html! {
            div.columns {
                section.card.wide {
                    h2 { (words.body) }
                    @match &body {
                        Ok(body) => (json::draw(visitor, body, &event.reasons, event.received_at)),
                        Err(error) => (problem(words, error)),
                    }
                }
                section.card {
                    h2 { (words.details) }
                    (facts(visitor, &event))
                    @if !event.reasons.is_empty() {
                        h2 { (words.reasons) }
                        ul.reasons { @for reason in &event.reasons { li { bdi { (cut(reason, 4000)) } } } }
                    }
                }
            }
        },
    })
}

fn replay_buttons(visitor: &Visitor, id: &str) -> Markup {
    let words = visitor.words();
    html! {
        form.actions method="post" action=(visitor.link("/console/events/replay", &[])) {
            input type="hidden" name="id" value=(id);
            button.primary name="dry_run" value="true" { (words.dry_run) }
            button name="dry_run" value="false" { (words.replay) }
        }
    }
}

fn facts(visitor: &Visitor, event: &Event) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    html! {
        dl.facts {
            dt { (words.outcome) } dd { span.chip.{ (tone(&event.outcome)) } { (term(preferences.language, &event.outcome)) } }
            dt { (words.time) } dd { (format::exact(preferences, event.received_at)) }
            dt { (words.name) } dd { (name_or(event.name.as_deref(), words.none)) }
            dt { (words.subject) } dd {
                @match &event.subject_id {
                    Some(id) => a href=(visitor.link("/console/trace", &[("id", id)])) { (name(id)) },
                    None => span.muted { (words.none) },
                }
            }
            dt { (words.organization) } dd { (name_or(event.organization_id.as_deref(), words.unknown)) }
            dt { (words.endpoint) } dd { (name(&event.endpoint)) }
            dt { (words.deliveries_of_event) } dd { (event.deliveries) }
            dt { (words.size) } dd { (format::bytes(preferences, event.body_bytes)) }
            dt { (words.parser_version) } dd { (event.parser_version) }
            dt { (words.request_id) } dd { code { (name(&event.request_id)) } }
            dt { "ID" } dd {
                code { (event.event_id) } " "
                button.copy data-copy=(event.event_id) data-done=(words.copied) { (words.copy) }
            }
        }
    }
}

/// `GET /console/events/{id}/body`: the API's response, for links.
pub async fn body(visitor: Visitor, Path(id): Path<String>) -> Response {
    let path = format!("/v1/events/{}/body", encode(&id));
    visitor.api.forward(&path, "", &HeaderMap::new()).await
}
