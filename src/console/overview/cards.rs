//! Lists of the overview: waiting customers, sessions that expire, failures, and the last events.

use maud::{Markup, html};
use serde::Deserialize;

use super::figures::LastEvent;
use crate::console::api::{ApiError, List};
use crate::console::conversation::room::Room;
use crate::console::document::problem;
use crate::console::format;
use crate::console::format::text::name;
use crate::console::language::fill;
use crate::console::language::term::term;
use crate::console::session::Visitor;
use crate::console::table::{Column, table};
use crate::console::translated::Translated;

/// Number of failed deliveries that reasons are counted of.
const MAX_FAILURES: usize = 200;
/// Number of rooms shown.
const MAX_ROOMS: usize = 6;
/// Rooms of which those that wait longest are shown.
pub const MAX_WAITING: &str = "50";
/// Filter of open conversations of which the session ends soon: the others need no answer.
pub const EXPIRING: [(&str, &str); 2] =
    [("session", "expiring"), ("status", "unassigned,assigned")];

/// A failed delivery.
#[derive(Deserialize)]
pub struct Failure {
    error_code: Option<i64>,
    error_title: Option<String>,
    error_meaning: Option<Translated>,
    error_advice: Option<Translated>,
}

/// Customers who wait for an answer, those who wait longest first.
pub fn waiting_list(visitor: &Visitor, rooms: &Result<List<Room>, ApiError>) -> Markup {
    let words = visitor.words();
    let list = match rooms {
        Ok(list) => list,
        Err(error) => return problem(words, error),
    };
    let mut rooms: Vec<&Room> = list.data.iter().collect();
    rooms.sort_by_key(|room| room.waits_since());
    let is_sample = list.cursors().next.is_some();
    html! {
        @if rooms.is_empty() { p.muted { (words.nobody_waits_long) } }
        ul.plain {
            @for room in rooms.iter().take(MAX_ROOMS) {
                li.row {
                    a data-row href=(room.link(visitor, &[])) { (name(room.title(words))) }
                    span.muted { (format::ago(&visitor.preferences, room.waits_since())) }
                }
            }
        }
        @if is_sample { p.muted.small { (fill(words.waiting_sample, &[MAX_WAITING])) } }
        @if !rooms.is_empty() {
            p { a href=(visitor.link("/console/conversations", &[("response_state", "unanswered")])) { (words.show_all) } }
        }
    }
}

/// Conversations of which WhatsApp's window for free replies ends soon.
pub fn expiring_list(visitor: &Visitor, rooms: &Result<List<Room>, ApiError>) -> Markup {
    let words = visitor.words();
    let list = match rooms {
        Ok(list) => list,
        Err(error) => return problem(words, error),
    };
    html! {
        @if list.data.is_empty() { p.muted { (words.no_session_expires) } }
        ul.plain {
            @for room in &list.data {
                li.row {
                    a data-row href=(room.link(visitor, &[])) { (name(room.title(words))) }
                    (room.session(visitor))
                }
            }
        }
        @if list.total() > list.data.len() as i64 {
            p { a href=(visitor.link("/console/conversations", &EXPIRING)) { (words.show_all) } }
        }
    }
}

/// Failures grouped by reason, most frequent first.
pub fn reasons(visitor: &Visitor, failed: &Result<List<Failure>, ApiError>) -> Markup {
    let words = visitor.words();
    let failed = match failed {
        Ok(list) => &list.data,
        Err(error) => return problem(words, error),
    };
    let mut groups: Vec<(i64, &Failure)> = Vec::new();
    for failure in failed {
        match groups.iter_mut().find(|(_, first)| first.error_code == failure.error_code) {
            Some((count, _)) => *count += 1,
            None => groups.push((1, failure)),
        }
    }
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let text = |failure: &Failure| match (&failure.error_meaning, &failure.error_title) {
        (Some(text), _) => html! { (text.of(visitor)) },
        (None, Some(title)) => name(title),
        (None, None) => html! { (words.no_reason) },
    };
    html! {
        @if groups.is_empty() { p.muted { (words.no_failures) } }
        ul.plain {
            @for (count, failure) in groups.iter().take(5) {
                @let code = failure.error_code.map(|code| code.to_string()).unwrap_or_default();
                @let link = visitor.link("/console/deliveries", &[("status", "failed"), ("error", &code)]);
                li.reason {
                    div.row {
                        // The API has no filter for those without a code.
                        @if code.is_empty() { span { (text(failure)) } }
                        @else { a data-row href=(link) { (text(failure)) } }
                        strong { (format::number(&visitor.preferences, *count)) }
                    }
                    @if let Some(advice) = &failure.error_advice { p.muted { (advice.of(visitor)) } }
                }
            }
        }
        @if failed.len() == MAX_FAILURES {
            p.muted.small { (fill(words.failures_sample, &[&MAX_FAILURES.to_string()])) }
        }
    }
}

/// The last event of each channel of each organisation: what went silent, and since when.
pub fn last_events(visitor: &Visitor, events: &[LastEvent]) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let has_several = events.iter().any(|one| one.organization_id != events[0].organization_id);
    let mut columns = vec![
        Column(words.channel, false),
        Column(words.last_event, false),
        Column(words.kind, false),
    ];
    if has_several {
        columns.push(Column(words.organization, false));
    }
    let rows = events.iter().map(|event| {
        let channel = event.channel.as_str();
        let organization = event.organization_id.as_deref().unwrap_or_default();
        let filter = [("channel", channel), ("organization_id", organization)];
        let link = match visitor.organization.as_str() {
            "" => super::super::parameters::link("/console/conversations", &filter),
            _ => visitor.link("/console/conversations", &filter[..1]),
        };
        vec![
            html! {
                a data-row href=(link) { (term(preferences.language, channel)) }
                @if channel.contains('_') { " " span.muted.small { (name(channel)) } }
            },
            html! { (format::time(preferences, event.at)) " " span.muted { "(" (format::ago(preferences, event.at)) ")" } },
            name(&event.kind),
            name(organization),
        ]
    });
    html! {
        @if events.is_empty() { p.muted { (words.not_counted) } }
        @else { (table(&columns, rows)) }
    }
}
