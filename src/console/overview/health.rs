//! Health on the overview: what is wrong, and since when.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::api::ApiError;
use crate::console::document::problem;
use crate::console::format;
use crate::console::format::text::cut;
use crate::console::language::{Words, fill};
use crate::console::session::Visitor;

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

    /// The events that it is about.
    fn link(&self, visitor: &Visitor) -> Option<String> {
        let filter = match self.code.as_str() {
            "unknown_event" if !self.subject.is_empty() => ("name", self.subject.as_str()),
            "quarantine" => ("outcome", "quarantined,malformed"),
            _ => return None,
        };
        Some(visitor.link("/console/events", &[filter]))
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

/// One line of the list.
struct Wrong {
    text: String,
    since: Option<DateTime<Utc>>,
    /// The events that it is about.
    link: Option<String>,
}

/// What is wrong, and since when.
pub fn health_list(visitor: &Visitor, health: &Result<Health, ApiError>, spooled: i64) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let health = match health {
        Ok(health) => health,
        Err(error) => return problem(words, error),
    };
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut add = |text: String, since: Option<DateTime<Utc>>, link: Option<String>| {
        wrong.push(Wrong { text, since, link });
    };
    if spooled > 0 {
        add(fill(words.spool_waits, &[&format::number(preferences, spooled)]), None, None);
    }
    for problem in &health.problems {
        add(problem.text(words), Some(problem.since), problem.link(visitor));
    }
    // The same faults are problems once an alarm has found them.
    let is_told = |code: &str| health.problems.iter().any(|problem| problem.code == code);
    for hook in health.hooks.iter().filter(|_| !is_told("hook")) {
        if let Some(problem) = &hook.problem {
            add(format!("{} · {}: {problem}", hook.name, hook.event), Some(hook.since), None);
        }
    }
    for check in health.checks.iter().filter(|_| !is_told("check")) {
        if let Some(error) = &check.error {
            add(format!("{} · {}: {error}", check.name, check.kind), check.failing_since, None);
        }
    }
    for incident in &health.incidents {
        add(format!("Qontak: {}", incident.name), incident.started_at, None);
    }
    html! {
        @if wrong.is_empty() { p.tone-ok { "✓ " (words.all_well) } }
        ul.plain {
            @for one in wrong.iter().take(10) {
                li.reason {
                    span.tone-bad { bdi { (cut(&one.text, 300)) } }
                    @if let Some(since) = one.since {
                        p.muted { (words.since) " " (format::time(preferences, since)) }
                    }
                    @if let Some(link) = &one.link { p { a data-row href=(link) { (words.events) } } }
                }
            }
        }
    }
}
