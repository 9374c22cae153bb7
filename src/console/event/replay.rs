//! Replay of one or several events, at first as a dry run that shows what would become of each.

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::link;
use crate::console::api::{ApiError, encode};
use crate::console::conversation::room::tone;
use crate::console::document::empty;
use crate::console::format::text::{cut, name};
use crate::console::language::term::term;
use crate::console::layout::{Content, Section, page};
use crate::console::parameters::Parameters;
use crate::console::session::Visitor;
use crate::console::table::{Column, table};

/// Maximum number of events of one request: those of a page.
const MAX_EVENTS: usize = 50;

#[derive(Deserialize)]
struct Replayed {
    outcome_before: String,
    outcome: String,
    reasons: Vec<String>,
}

/// `POST /console/events/replay`.
pub async fn replay(visitor: Visitor, body: Bytes) -> Response {
    let form = Parameters::parse(&body);
    let is_dry = form.get("dry_run") != "false";
    let mut results = Vec::new();
    for id in form.all("id").into_iter().take(MAX_EVENTS) {
        let path = format!("/v1/events/{}/replay", encode(id));
        let query: &[(&str, &str)] = if is_dry { &[("dry_run", "true")] } else { &[] };
        results.push((id, visitor.api.post::<Replayed>(&path, query).await));
    }
    let content = content(&visitor, is_dry, &results);
    page(&visitor, Section::Events, Ok(content)).await
}

fn content(
    visitor: &Visitor,
    is_dry: bool,
    results: &[(&str, Result<Replayed, ApiError>)],
) -> Content {
    let (words, language) = (visitor.words(), visitor.preferences.language);
    let chip =
        |outcome: &str| html! { span.chip.{ (tone(outcome)) } { (term(language, outcome)) } };
    let columns = [
        Column(words.event, false),
        Column(words.before, false),
        Column(if is_dry { words.would_be } else { words.after }, false),
        Column(words.reasons, false),
    ];
    let rows = results.iter().map(|(id, result)| {
        let event = html! { a data-row href=(link(visitor, id)) { code { (name(id)) } } };
        match result {
            Ok(replayed) => vec![
                event,
                chip(&replayed.outcome_before),
                chip(&replayed.outcome),
                reasons(&replayed.reasons),
            ],
            Err(error) => vec![
                event,
                html! { "–" },
                html! { span.chip.bad { (error.status.as_u16()) } },
                reasons(&error.messages),
            ],
        }
    });
    let changed = results.iter().filter_map(|(_, result)| result.as_ref().ok());
    let changed = changed.filter(|one| one.outcome != one.outcome_before).count();
    Content {
        title: if is_dry { words.dry_run } else { words.replay }.to_owned(),
        heading: None,
        actions: html! {
            @if is_dry && !results.is_empty() {
                form method="post" action=(visitor.link("/console/events/replay", &[])) {
                    @for (id, _) in results { input type="hidden" name="id" value=(id); }
                    button.primary name="dry_run" value="false" { (words.replay_now) }
                }
            }
            a.button href=(visitor.link("/console/events", &[])) { (words.events) }
        },
        body: html! {
            section.card {
                @if results.is_empty() { (empty(words.nothing_chosen, words.nothing_chosen_hint)) }
                @else {
                    p.banner.ok {
                        @if is_dry { (words.dry_run_hint) " " }
                        strong { (changed) "/" (results.len()) } " " (words.outcomes_change)
                    }
                    (table(&columns, rows))
                }
            }
        },
    }
}

fn reasons(reasons: &[String]) -> Markup {
    html! { div { @for reason in reasons.iter().take(5) { div { (name(&cut(reason, 200))) } } } }
}
