//! Replay of one or several events, at first as a dry run that shows what would become of each, and of the
//! rows that it changes.

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::link;
use crate::console::api::{ApiError, encode};
use crate::console::conversation::room::tone;
use crate::console::document::empty;
use crate::console::format::text::{cut, name};
use crate::console::language::fill;
use crate::console::language::term::term;
use crate::console::layout::{Content, Section, page};
use crate::console::parameters::Parameters;
use crate::console::session::Visitor;
use crate::console::table::{Column, table};

/// Maximum number of events of one request: those of a page.
const MAX_EVENTS: usize = 50;
/// Rows of one event that are shown.
const MAX_ROWS: usize = 20;

#[derive(Deserialize)]
struct Replayed {
    outcome_before: String,
    outcome: String,
    reasons: Vec<String>,
    /// Rows that would change, in a dry run.
    changes: Option<Vec<ChangedRow>>,
}

impl Replayed {
    /// Rows that would change.
    fn rows(&self) -> &[ChangedRow] {
        self.changes.as_deref().unwrap_or_default()
    }
}

/// A row that would change.
#[derive(Deserialize)]
struct ChangedRow {
    table: String,
    key: String,
    is_new: bool,
    columns: Vec<ChangedColumn>,
}

#[derive(Deserialize)]
struct ChangedColumn {
    column: String,
    before: Value,
    after: Value,
}

/// `POST /console/events/replay`.
pub async fn replay(visitor: Visitor, body: Bytes) -> Response {
    let form = Parameters::parse(&body);
    let is_dry = form.get("dry_run") != "false";
    let ids: Vec<&str> = form.all("id").into_iter().take(MAX_EVENTS).collect();
    if !is_dry && form.get("is_confirmed") != "true" && !ids.is_empty() {
        return page(&visitor, Section::Events, Ok(confirmation(&visitor, &ids))).await;
    }
    let mut results = Vec::new();
    for id in ids {
        let path = format!("/v1/events/{}/replay", encode(id));
        let query: &[(&str, &str)] = if is_dry { &[("dry_run", "true")] } else { &[] };
        results.push((id, visitor.api.post::<Replayed>(&path, query).await));
    }
    let content = content(&visitor, is_dry, &results);
    page(&visitor, Section::Events, Ok(content)).await
}

/// Asks before anything is written.
fn confirmation(visitor: &Visitor, ids: &[&str]) -> Content {
    let words = visitor.words();
    Content {
        title: words.replay.to_owned(),
        heading: None,
        parent: Some(visitor.link("/console/events", &[])),
        actions: html! {},
        body: html! {
            section.card {
                p.lead { strong { (fill(words.replay_count, &[&ids.len().to_string()])) } " " (words.replay_consequence) }
                form.actions method="post" action=(visitor.link("/console/events/replay", &[])) {
                    @for id in ids { input type="hidden" name="id" value=(id); }
                    input type="hidden" name="is_confirmed" value="true";
                    button.primary name="dry_run" value="true" { (words.dry_run) }
                    button name="dry_run" value="false" { (words.replay_now) }
                }
            }
        },
    }
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
        Column(words.one_event, false),
        Column(words.before, false),
        Column(if is_dry { words.would_be } else { words.after }, false),
        Column(words.reasons, false),
        Column(words.rows_that_change, true),
    ];
    // Only a dry run knows them.
    let columns = if is_dry { &columns[..] } else { &columns[..4] };
    let rows = results.iter().map(|(id, result)| {
        let event = html! { a data-row href=(link(visitor, id)) { code { (name(id)) } } };
        match result {
            Ok(replayed) => vec![
                event,
                chip(&replayed.outcome_before),
                chip(&replayed.outcome),
                reasons(&replayed.reasons),
                html! { (replayed.rows().len()) },
            ],
            Err(error) => vec![
                event,
                html! { "–" },
                html! { span.chip.bad { (error.status.as_u16()) } },
                reasons(&error.messages),
                html! { "–" },
            ],
        }
    });
    let changed = results.iter().filter_map(|(_, result)| result.as_ref().ok());
    let changed = changed.filter(|one| one.outcome != one.outcome_before).count();
    let replayed = results.iter().filter_map(|(_, result)| result.as_ref().ok());
    let rows_changed: usize = replayed.map(|one| one.rows().len()).sum();
    Content {
        title: if is_dry { words.dry_run } else { words.replay }.to_owned(),
        heading: None,
        parent: Some(visitor.link("/console/events", &[])),
        actions: html! {
            @if is_dry && !results.is_empty() {
                form method="post" action=(visitor.link("/console/events/replay", &[])) {
                    @for (id, _) in results { input type="hidden" name="id" value=(id); }
                    input type="hidden" name="is_confirmed" value="true";
                    button.primary name="dry_run" value="false" { (words.replay_now) }
                }
            }
        },
        body: html! {
            section.card {
                @if results.is_empty() { (empty(words.nothing_chosen, words.nothing_chosen_hint)) }
                @else {
                    p.banner.ok {
                        @if is_dry { (words.dry_run_hint) " " }
                        strong { (changed) "/" (results.len()) } " " (words.outcomes_change)
                        @if is_dry { " " strong { (rows_changed) } " " (words.rows_change) }
                    }
                    (table(columns, rows))
                }
            }
            @for (id, result) in results {
                @if let Ok(replayed) = result && !replayed.rows().is_empty() {
                    (differences(visitor, id, replayed.rows()))
                }
            }
        },
    }
}

fn reasons(reasons: &[String]) -> Markup {
    html! { div { @for reason in reasons.iter().take(5) { div { (name(&cut(reason, 200))) } } } }
}

/// Rows that a replay would change: each column with its value now and then.
fn differences(visitor: &Visitor, id: &str, changes: &[ChangedRow]) -> Markup {
    let words = visitor.words();
    let columns =
        [Column(words.column, false), Column(words.before, false), Column(words.would_be, false)];
    html! {
        section.card.differences {
            h2 { (words.one_event) " " a href=(link(visitor, id)) { code { (name(id)) } } }
            @for row in changes.iter().take(MAX_ROWS) {
                h3 {
                    code { (row.table) } " " bdi { (cut(&row.key, 120)) } " "
                    span.chip.{ (if row.is_new { "ok" } else { "warn" }) } {
                        (if row.is_new { words.new_row } else { words.changed_row })
                    }
                }
                (table(&columns, row.columns.iter().map(|one| {
                    vec![html! { code { (one.column) } }, value(&one.before), value(&one.after)]
                })))
            }
            @if changes.len() > MAX_ROWS { p.muted { (fill(words.more_rows, &[&(changes.len() - MAX_ROWS).to_string()])) } }
        }
    }
}

/// A value as JSON; texts without quotes.
fn value(value: &Value) -> Markup {
    match value {
        Value::Null => html! { span.muted { "–" } },
        Value::String(text) => name(text),
        other => html! { code { bdi { (cut(&other.to_string(), 400)) } } },
    }
}
