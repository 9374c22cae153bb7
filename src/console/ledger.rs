//! Accounting: what is in quarantine and why, deliveries per hour, and what Qontak had that was missing.

use axum::response::Response;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::api::{ApiError, List};
use super::chart::{bar_of, legend};
use super::document::problem;
use super::event::{self, Event};
use super::format;
use super::format::text::{cut, name};
use super::language::term::term;
use super::language::{Words, fill};
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::table::{Column, list, table};

/// Events of which quarantine is grouped.
const MAX_EVENTS: usize = 200;

#[derive(Deserialize)]
struct Hour {
    hour: DateTime<Utc>,
    received: i64,
    applied: i64,
    recorded: i64,
    quarantined: i64,
    malformed: i64,
    duplicate: i64,
}

#[derive(Deserialize)]
struct Reconciled {
    day: NaiveDate,
    kind: String,
    fetched: i64,
    missing: i64,
    changed: i64,
    checked_at: DateTime<Utc>,
}

/// Colour and name of the parts of an hour's bar.
const fn parts(words: &Words) -> [(&'static str, &'static str); 5] {
    [
        ("ok", words.applied),
        ("info", words.recorded),
        ("muted", words.duplicates),
        ("warn", words.quarantined),
        ("bad", words.malformed),
    ]
}

/// `GET /console/ledger`.
pub async fn show(visitor: Visitor) -> Response {
    let words = visitor.words();
    let api = &visitor.api;
    let quarantine = [("outcome", "quarantined,malformed"), ("limit", "200")];
    let hours = [("limit", "48"), ("cursor", visitor.parameters.get("cursor"))];
    let (events, hours, days) = tokio::join!(
        api.list::<Event>("/v1/events", &quarantine),
        api.list::<Hour>("/v1/ledger", &hours),
        api.list::<Reconciled>("/v1/reconciliation", &[("limit", "30")]),
    );
    let export = visitor.link("/console/exports/ledger", &[]);
    let export_days = visitor.link("/console/exports/reconciliation", &[]);
    let content = Content {
        title: words.ledger.to_owned(),
        heading: None,
        parent: None,
        actions: html! { @if visitor.can_export { a.button href=(export) download { (words.export_csv) } } },
        body: html! {
            div #ledger hx-get="" hx-select="#ledger > *" hx-trigger=(visitor.trigger("changed-slowly from:body", true)) {
                section.card { h2 { (words.quarantine) } (groups(&visitor, &events)) }
                section.card {
                    h2 { (words.per_hour) }
                    p.muted.lead { (words.adds_up) }
                    (legend(&parts(words)))
                    (per_hour(&visitor, &hours))
                }
                section.card {
                    h2 { (words.reconciliation) }
                    p.muted.lead { (words.reconciliation_hint) }
                    (reconciliation(&visitor, &days))
                    @if visitor.can_export { p.end { a.button href=(export_days) download { (words.export_csv) } } }
                }
            }
        },
    };
    page(&visitor, Section::Ledger, Ok(content)).await
}

/// Events in quarantine by their first reason, most frequent first.
fn groups(visitor: &Visitor, events: &Result<List<Event>, ApiError>) -> Markup {
    let (words, language) = (visitor.words(), visitor.preferences.language);
    let events = match events {
        Ok(list) => &list.data,
        Err(error) => return problem(words, error),
    };
    let mut groups: Vec<(i64, &Event)> = Vec::new();
    for event in events {
        let same = |(_, first): &&mut (i64, &Event)| {
            first.outcome == event.outcome && reason(first) == reason(event)
        };
        match groups.iter_mut().find(same) {
            Some((count, _)) => *count += 1,
            None => groups.push((1, event)),
        }
    }
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let columns = [
        Column(words.reason, false),
        Column(words.outcome, false),
        Column(words.events, true),
        Column(words.newest, false),
    ];
    let rows = groups.iter().take(20).map(|(count, event)| {
        vec![
            html! { a data-row href=(event::link(visitor, &event.event_id)) { (name(&cut(reason(event), 200))) } },
            html! { span.chip.warn { (term(language, &event.outcome)) } },
            html! { (format::number(&visitor.preferences, *count)) },
            html! { (format::time(&visitor.preferences, event.received_at)) },
        ]
    });
    html! {
        @if events.is_empty() { p.tone-ok { "✓ " (words.nothing_quarantined) } }
        @else { (table(&columns, rows)) }
        @if events.len() == MAX_EVENTS { p.muted.small { (fill(words.newest_only, &[&MAX_EVENTS.to_string()])) } }
    }
}

/// The first reason, up to the values in it.
fn reason(event: &Event) -> &str {
    event.reasons.first().map_or("", |reason| reason.split(" at line").next().unwrap_or(reason))
}

fn per_hour(visitor: &Visitor, hours: &Result<List<Hour>, ApiError>) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let number = |count| html! { (format::number(preferences, count)) };
    let rows = hours.as_ref().map_or(&[][..], |list| &list.data);
    let most = rows.iter().map(|hour| hour.received).max().unwrap_or_default();
    let columns = [
        Column(words.hour_of_day, false),
        Column(words.received, true),
        Column("", false),
        Column(words.applied, true),
        Column(words.recorded, true),
        Column(words.duplicates, true),
        Column(words.quarantined, true),
        Column(words.malformed, true),
    ];
    list(visitor, hours, &columns, (words.no_events, words.no_events_hint), |hour| {
        let [start, end] = [hour.hour, hour.hour + TimeDelta::hours(1)]
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let counts =
            [hour.applied, hour.recorded, hour.duplicate, hour.quarantined, hour.malformed];
        let parts = parts(words).into_iter().zip(counts);
        let parts: Vec<_> = parts.map(|((color, name), count)| (color, name, count)).collect();
        let events = visitor.link("/console/events", &[("start_date", &start), ("end_date", &end)]);
        vec![
            html! { a data-row href=(events) { (format::time(preferences, hour.hour)) } },
            number(hour.received),
            bar_of(preferences, most, &parts),
            number(hour.applied),
            number(hour.recorded),
            number(hour.duplicate),
            html! { span.tone-warn[hour.quarantined > 0] { (format::number(preferences, hour.quarantined)) } },
            html! { span.tone-bad[hour.malformed > 0] { (format::number(preferences, hour.malformed)) } },
        ]
    })
}

fn reconciliation(visitor: &Visitor, days: &Result<List<Reconciled>, ApiError>) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let days = match days {
        Ok(list) => &list.data,
        Err(error) => return problem(words, error),
    };
    let columns = [
        Column(words.day, false),
        Column(words.kind, false),
        Column(words.fetched, true),
        Column(words.missing, true),
        Column(words.changed, true),
        Column(words.checked, false),
    ];
    let rows = days.iter().map(|day| {
        let number = |count| html! { (format::number(preferences, count)) };
        vec![
            html! { (format::date(preferences, day.day)) },
            html! { (day.kind) },
            number(day.fetched),
            html! { span.tone-bad[day.missing > 0] { (format::number(preferences, day.missing)) } },
            number(day.changed),
            format::time(preferences, day.checked_at),
        ]
    });
    html! {
        @if days.is_empty() { p.muted { (words.never_compared) " " code { "backfill" } } }
        @else { (table(&columns, rows)) }
    }
}
