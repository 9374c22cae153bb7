//! Agents with their load and times, and templates with their states.

use std::collections::HashMap;

use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::ApiError;
use super::csv;
use super::document::{empty, problem_of_page};
use super::format;
use super::format::text::{cut, name, name_or};
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::table::{Column, list, table};

#[derive(Deserialize)]
struct Stats {
    agents: Vec<Agent>,
}

/// An agent with its figures.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = ConsoleAgent)]
struct Agent {
    id: String,
    name: Option<String>,
    rooms: i64,
    opening_response: Times,
    next_response: Times,
    resolution: Times,
    open: i64,
    unanswered: i64,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = ConsoleAgentTimes)]
struct Times {
    count: i64,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
}

/// An agent as Qontak lists it.
#[derive(Deserialize)]
struct Listed {
    id: String,
    email: Option<String>,
    role: Option<String>,
    is_online: Option<bool>,
    state_at: Option<DateTime<Utc>>,
}

/// `GET /console/agents`.
pub async fn agents(visitor: Visitor) -> Response {
    let content = agents_content(&visitor).await;
    page(&visitor, Section::Agents, content).await
}

/// `GET /console/agents/export`: the figures of the page. The API's export of agents is Qontak's list of them.
pub async fn export(visitor: Visitor) -> Response {
    let agents = figures(&visitor).await;
    csv::respond(&visitor, Section::Agents, "agents", agents).await
}

fn is_day(visitor: &Visitor) -> bool {
    visitor.parameters.get("period") == "day"
}

/// Figures of the agents in the chosen period.
async fn figures(visitor: &Visitor) -> Result<Vec<Agent>, ApiError> {
    let interval = if is_day(visitor) { "hour" } else { "day" };
    let query = [("interval", interval), ("time_zone", visitor.preferences.zone.name())];
    visitor.api.one::<Stats>("/v1/stats", &query).await.map(|stats| stats.agents)
}

async fn agents_content(visitor: &Visitor) -> Result<Content, ApiError> {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let is_day = is_day(visitor);
    let (agents, listed) = tokio::join!(
        figures(visitor),
        visitor.api.list::<Listed>("/v1/agents", &[("limit", "500")]),
    );
    let agents = match agents {
        Err(error) if !error.is_cut() => return Err(error),
        agents => agents,
    };
    let listed = listed.map_or_else(|_| Vec::new(), |list| list.data);
    let listed: HashMap<&str, &Listed> = listed.iter().map(|one| (one.id.as_str(), one)).collect();
    let columns = [
        Column(words.agent, false),
        Column(words.open_now, true),
        Column(words.waiting_now, true),
        Column(words.handled, true),
        Column(words.first_response, true),
        Column(words.next_response, true),
        Column(words.resolved, true),
        Column(words.resolution_time, true),
    ];
    let times = |times: &Times| {
        let (half, most) = (times.p50_seconds, times.p95_seconds);
        let title = format!("95%: {}", format::duration_or_dash(preferences, most));
        html! { span title=(title) { (format::duration_or_dash(preferences, half)) } }
    };
    let row = |agent: &Agent| {
        let known = listed.get(agent.id.as_str());
        let rooms = visitor.link("/console/conversations", &[("agent", &agent.id)]);
        vec![
            html! {
                div {
                    a data-row href=(rooms) { (name_or(agent.name.as_deref(), &cut(&agent.id, 40))) }
                    @if let Some(one) = known { " " (availability(visitor, one)) }
                    @if let Some(one) = known {
                        div.muted.small { (name_or(one.role.as_deref(), "")) " " (name_or(one.email.as_deref(), "")) }
                    }
                }
            },
            html! { (format::number(preferences, agent.open)) },
            html! { span.tone-warn[agent.unanswered > 0] { (format::number(preferences, agent.unanswered)) } },
            html! { (format::number(preferences, agent.rooms)) },
            times(&agent.opening_response),
            times(&agent.next_response),
            html! { (format::number(preferences, agent.resolution.count)) },
            times(&agent.resolution),
        ]
    };
    let period_of_export = if is_day { [("period", "day")] } else { [("period", "")] };
    let period = |value: &str, label: &str, is_chosen: bool| {
        let href = visitor.link("/console/agents", &[("period", value)]);
        html! { a href=(href) aria-current=[is_chosen.then_some("true")] { (label) } }
    };
    Ok(Content {
        title: words.agents.to_owned(),
        heading: None,
        parent: None,
        actions: html! {
            @if visitor.can_export {
                a.button href=(visitor.link("/console/agents/export", &period_of_export)) download { (words.export_csv) }
            }
            nav.switch aria-label=(words.period) {
                (period("day", words.last_24_hours, is_day))
                (period("", words.last_7_days, !is_day))
            }
        },
        body: html! {
            section.card #list hx-get="" hx-select="#list > *" hx-trigger=(visitor.list_trigger()) {
                @match &agents {
                    Err(error) => (problem_of_page(words, error)),
                    Ok(agents) if agents.is_empty() => (empty(words.no_agents, words.no_agents_hint)),
                    Ok(agents) => (table(&columns, agents.iter().map(row))),
                }
            }
        },
    })
}

/// A template.
#[derive(Deserialize)]
struct Template {
    id: String,
    name: Option<String>,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
    quality_rating: Option<String>,
    body: Option<String>,
    reason: Option<String>,
    state_at: Option<DateTime<Utc>>,
    synced_at: Option<DateTime<Utc>>,
}

/// `GET /console/templates`.
pub async fn templates(visitor: Visitor) -> Response {
    let words = visitor.words();
    let cursor = [("cursor", visitor.parameters.get("cursor"))];
    let rows = visitor.api.list::<Template>("/v1/templates", &cursor).await;
    let columns = [
        Column(words.template, false),
        Column(words.language, false),
        Column(words.category, false),
        Column(words.status, false),
        Column(words.quality, false),
        Column(words.body, false),
        Column(words.synced, false),
    ];
    let body = list(
        &visitor,
        &rows,
        &columns,
        (words.no_templates, words.no_templates_hint),
        |row| {
            vec![
                html! { a data-row href=(visitor.link("/console/broadcasts", &[("template_id", &row.id)])) { (name_or(row.name.as_deref(), &row.id)) } },
                name_or(row.language.as_deref(), "–"),
                name_or(row.category.as_deref(), "–"),
                status(&visitor, row),
                chip(row.quality_rating.as_deref()),
                html! { @if let Some(body) = &row.body { (name(&cut(body, 160))) } },
                html! { @match row.synced_at { Some(at) => (format::time(&visitor.preferences, at)), None => "–" } },
            ]
        },
    );
    let content = Content {
        title: words.templates.to_owned(),
        heading: None,
        parent: None,
        actions: html! {
            @if visitor.can_export {
                a.button href=(visitor.link("/console/exports/templates", &[])) download { (words.export_csv) }
            }
        },
        body: html! {
            section.card #list hx-get="" hx-select="#list > *" hx-trigger=(visitor.list_trigger()) { (body) }
        },
    };
    page(&visitor, Section::Templates, Ok(content)).await
}

/// Whether an agent is online, as far as known, and since when that was reported.
fn availability(visitor: &Visitor, agent: &Listed) -> Markup {
    let words = visitor.words();
    let tone = if agent.is_online == Some(true) { "ok" } else { "" };
    html! {
        @if let Some(is_online) = agent.is_online {
            span.chip.{ (tone) } { (if is_online { words.online } else { words.not_online }) }
            @if let Some(at) = agent.state_at {
                " " span.muted.small title=(words.last_report) { (format::time(&visitor.preferences, at)) }
            }
        }
    }
}

/// State of a template, when it was last reported, and why.
fn status(visitor: &Visitor, template: &Template) -> Markup {
    let reason = template.reason.as_deref().filter(|reason| !reason.eq_ignore_ascii_case("none"));
    html! {
        div {
            (chip(template.status.as_deref()))
            @if let Some(at) = template.state_at {
                div.muted.small title=(visitor.words().last_report) { (format::time(&visitor.preferences, at)) }
            }
            @if let Some(reason) = reason { div.small { (name(&cut(reason, 160))) } }
        }
    }
}

/// Meta's words for the state and quality of a template.
fn chip(word: Option<&str>) -> Markup {
    let tone = match word.unwrap_or_default().to_ascii_uppercase().as_str() {
        "APPROVED" | "GREEN" | "HIGH" => "ok",
        "PENDING" | "IN_APPEAL" | "YELLOW" | "MEDIUM" => "warn",
        "REJECTED" | "DISABLED" | "PAUSED" | "DELETED" | "RED" | "LOW" => "bad",
        _ => "",
    };
    html! { @match word { Some(word) => span.chip.{ (tone) } { (name(word)) }, None => { "–" } } }
}
