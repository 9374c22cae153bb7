//! Lists of the overview: waiting customers, failures, health and channels.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Room, Translated};
use crate::console::api::{ApiError, List, encode};
use crate::console::document::problem;
use crate::console::format;
use crate::console::format::text::{cut, name_or};
use crate::console::language::term::term;
use crate::console::language::{Words, fill};
use crate::console::session::Visitor;

/// Number of failed deliveries that reasons are counted of.
const MAX_FAILURES: usize = 200;
/// Number of channels shown.
const MAX_CHANNELS: usize = 6;

/// A failed delivery.
#[derive(Deserialize)]
pub struct Failure {
    error_code: Option<i64>,
    error_title: Option<String>,
    error_meaning: Option<Translated>,
    error_advice: Option<Translated>,
}

/// Health of the service.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Health {
    problems: Vec<Problem>,
    hooks: Vec<Hook>,
    checks: Vec<Check>,
    incidents: Vec<Incident>,
}

/// A problem that is open.
#[derive(Deserialize)]
struct Problem {
    code: String,
    organization_id: Option<String>,
    subject: String,
    detail: String,
    since: DateTime<Utc>,
}

impl Problem {
    /// What is wrong, about what, and the figures.
    fn text(&self, words: &Words) -> String {
        let name = match self.code.as_str() {
            "silence" => words.problem_silence,
            "hook" => words.problem_hook,
            "check" => words.problem_check,
            "quarantine" => words.problem_quarantine,
            "spool" => words.problem_spool,
            "partitions" => words.problem_partitions,
            "unknown_event" => words.problem_unknown_event,
            other => other,
        };
        let about = [Some(&self.subject), self.organization_id.as_ref()].into_iter().flatten();
        let about: Vec<&str> = about.map(String::as_str).filter(|text| !text.is_empty()).collect();
        match about.as_slice() {
            [] => format!("{name}: {}", self.detail),
            about => format!("{name} ({}): {}", about.join(", "), self.detail),
        }
    }
}

#[derive(Deserialize)]
struct Hook {
    name: String,
    event: String,
    problem: Option<String>,
    since: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    kind: String,
    error: Option<String>,
    failing_since: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Incident {
    name: String,
    started_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Facets {
    channels: Values,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<String>,
}

/// Customers who wait for an answer.
pub fn waiting_list(visitor: &Visitor, rooms: &Result<List<Room>, ApiError>) -> Markup {
    let words = visitor.words();
    let rooms = match rooms {
        Ok(list) => &list.data,
        Err(error) => return problem(words, error),
    };
    html! {
        @if rooms.is_empty() { p.muted { (words.nobody_waits_long) } }
        ul.plain {
            @for room in rooms {
                li.row {
                    a href=(visitor.link(&format!("/console/conversations/{}", encode(&room.id)), &[])) {
                        (name_or(room.name.as_deref(), words.unknown))
                    }
                    span.muted { (format::ago(&visitor.preferences, room.activity_at)) }
                }
            }
        }
        @if !rooms.is_empty() {
            p { a href=(visitor.link("/console/conversations", &[("response_state", "unanswered")])) { (words.show_all) } }
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
    html! {
        @if groups.is_empty() { p.muted { (words.no_failures) } }
        ul.plain {
            @for (count, failure) in groups.iter().take(5) {
                @let code = failure.error_code.map(|code| code.to_string()).unwrap_or_default();
                @let link = visitor.link("/console/deliveries", &[("status", "failed"), ("error", &code)]);
                li.reason {
                    div.row {
                        a href=(link) {
                            @match (&failure.error_meaning, &failure.error_title) {
                                (Some(text), _) => (text.of(visitor)),
                                (None, title) => (title.as_deref().map_or(words.no_reason.to_owned(), |title| cut(title, 200))),
                            }
                        }
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

/// What is wrong, and since when.
pub fn health_list(visitor: &Visitor, health: &Result<Health, ApiError>, spooled: i64) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let health = match health {
        Ok(health) => health,
        Err(error) => return problem(words, error),
    };
    let mut wrong: Vec<(String, Option<DateTime<Utc>>)> = Vec::new();
    if spooled > 0 {
        wrong.push((fill(words.spool_waits, &[&format::number(preferences, spooled)]), None));
    }
    for problem in &health.problems {
        wrong.push((problem.text(words), Some(problem.since)));
    }
    // The same faults are problems once an alarm has found them.
    let is_told = |code: &str| health.problems.iter().any(|problem| problem.code == code);
    for hook in health.hooks.iter().filter(|_| !is_told("hook")) {
        if let Some(problem) = &hook.problem {
            wrong.push((format!("{} · {}: {problem}", hook.name, hook.event), Some(hook.since)));
        }
    }
    for check in health.checks.iter().filter(|_| !is_told("check")) {
        if let Some(error) = &check.error {
            wrong.push((format!("{} · {}: {error}", check.name, check.kind), check.failing_since));
        }
    }
    for incident in &health.incidents {
        wrong.push((format!("Qontak: {}", incident.name), incident.started_at));
    }
    html! {
        @if wrong.is_empty() { p.tone-ok { "✓ " (words.all_well) } }
        ul.plain {
            @for (text, since) in wrong.iter().take(10) {
                li.reason {
                    span.tone-bad { (cut(text, 300)) }
                    @if let Some(since) = since {
                        p.muted { (words.since) " " (format::time(preferences, *since)) }
                    }
                }
            }
        }
    }
}

/// The latest conversation of each channel.
pub async fn channels(visitor: &Visitor) -> Result<Vec<Room>, ApiError> {
    let facets: Facets = visitor.api.one("/v1/facets", &[]).await?;
    let mut rooms = Vec::new();
    for channel in facets.channels.values.iter().take(MAX_CHANNELS) {
        let query = [("channel", channel.as_str()), ("limit", "1")];
        rooms.extend(visitor.api.list::<Room>("/v1/rooms", &query).await?.data);
    }
    Ok(rooms)
}

/// Channels with their last activity.
pub fn channel_list(visitor: &Visitor, channels: &Result<Vec<Room>, ApiError>) -> Markup {
    let words = visitor.words();
    let rooms = match channels {
        Ok(rooms) => rooms,
        Err(error) => return problem(words, error),
    };
    html! {
        @if rooms.is_empty() { p.muted { (words.no_events_yet) } }
        ul.plain {
            @for room in rooms {
                @let channel = room.channel.as_deref().unwrap_or_default();
                li.row {
                    a href=(visitor.link("/console/conversations", &[("channel", channel)])) {
                        (term(visitor.preferences.language, channel))
                        @if channel.contains('_') { " " span.muted.small { (channel) } }
                    }
                    span.muted { (words.last_activity) " " (format::time(&visitor.preferences, room.activity_at)) }
                }
            }
        }
    }
}
