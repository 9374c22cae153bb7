//! Broadcasts: the list with rates, and one broadcast with funnel, reasons, costs and recipients.

mod funnel;
mod recipient;
mod times;

use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use self::funnel::Funnel;
use super::api::{ApiError, encode};
use super::chart::{bar, legend};
use super::document::problem;
use super::filter::{Field, form};
use super::format;
use super::format::text::{name, name_or};
use super::language::Words;
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::state::ConsoleState;
use super::table::{Column, list as table};

const FILTERS: &[&str] =
    &["name", "start_date", "end_date", "channel_integration_id", "template_id"];

/// Values of filters, with the names that Qontak has for them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Facets {
    templates: Values,
    channel_integrations: Values,
}

#[derive(Default, Deserialize)]
struct Values {
    values: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: Option<String>,
}

impl Named {
    fn pair(&self) -> (&str, &str) {
        (&self.id, self.name.as_deref().unwrap_or(&self.id))
    }
}

/// A broadcast of the list.
#[derive(Deserialize)]
struct Broadcast {
    id: String,
    name: Option<String>,
    template_name: Option<String>,
    channel_name: Option<String>,
    created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    counts: Counts,
}

/// Recipients by status.
#[derive(Deserialize)]
struct Counts {
    total: i64,
    created: i64,
    pending: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed: i64,
    other: i64,
    reached: Reached,
}

#[derive(Deserialize)]
struct Reached {
    sent: i64,
    delivered: i64,
    read: i64,
}

impl Counts {
    /// One bar with all recipients by their status now.
    fn bar(&self, visitor: &Visitor) -> Markup {
        let words = visitor.words();
        let waiting = self.created + self.pending + self.other;
        let counts = [self.read, self.delivered, self.sent, waiting, self.failed];
        let parts = Self::parts(words).into_iter().zip(counts);
        let parts: Vec<_> = parts.map(|((color, name), count)| (color, name, count)).collect();
        bar(&visitor.preferences, &parts)
    }

    /// Colour and name of the parts of the bar.
    const fn parts(words: &Words) -> [(&'static str, &'static str); 5] {
        [
            ("accent", words.read_share),
            ("ok", words.delivered_share),
            ("info", words.sent),
            ("muted", words.waiting_to_send),
            ("bad", words.failed),
        ]
    }
}

/// `GET /console/broadcasts`.
pub async fn list(visitor: Visitor) -> Response {
    let words = visitor.words();
    let mut query = visitor.parameters.only(FILTERS);
    query.extend(visitor.parameters.only(&["cursor"]));
    let (rows, facets) = tokio::join!(
        visitor.api.list::<Broadcast>("/v1/broadcasts", &query),
        visitor.api.one::<Facets>("/v1/facets", &[]),
    );
    let facets = facets.unwrap_or_default();
    let named = |one: &'static str, label, values: &[Named]| {
        Field::choice(one, label, values.iter().map(Named::pair))
    };
    let fields = [
        Field::search("name", words.search_broadcasts),
        named("template_id", words.template, &facets.templates.values),
        named("channel_integration_id", words.channel, &facets.channel_integrations.values),
        Field::date("start_date", words.from),
        Field::date("end_date", words.until),
    ];
    let columns = [
        Column(words.broadcast, false),
        Column(words.time, false),
        Column(words.recipients, true),
        Column(words.status, false),
        Column(words.delivered_share, true),
        Column(words.read_share, true),
        Column(words.failed, true),
    ];
    let nothing = (words.no_broadcasts, words.no_broadcasts_hint);
    let preferences = &visitor.preferences;
    let share = |part: i64, total: i64| format::percent(preferences, part, total);
    let body = table(&visitor, &rows, &columns, nothing, |row| {
        let link = visitor.link(&format!("/console/broadcasts/{}", encode(&row.id)), &[]);
        let Counts { total, failed, ref reached, .. } = row.counts;
        vec![
            html! {
                div {
                    a data-row href=(link) { (name_or(row.name.as_deref(), &row.id)) }
                    div.muted.small { (name_or(row.template_name.as_deref(), "")) " " (name_or(row.channel_name.as_deref(), "")) }
                }
            },
            row.created_at.map_or(html! { "–" }, |at| format::time(preferences, at)),
            html! { (format::number(preferences, total)) },
            row.counts.bar(&visitor),
            html! { (share(reached.delivered, total)) },
            html! { (share(reached.read, total)) },
            html! { span.tone-bad[failed > 0] { (share(failed, total)) } },
        ]
    });
    let export = visitor.link("/console/exports/broadcasts", &visitor.parameters.only(FILTERS));
    let content = Content {
        title: words.broadcasts.to_owned(),
        heading: None,
        parent: None,
        actions: html! { @if visitor.can_export { a.button href=(export) download { (words.export_csv) } } },
        body: html! {
            (form(&visitor, "#list", &fields, &[]))
            section.card #list hx-get="" hx-select="#list > *" hx-trigger=(visitor.list_trigger()) { (legend(&Counts::parts(words))) (body) }
        },
    };
    page(&visitor, Section::Broadcasts, Ok(content)).await
}

/// A broadcast with its funnel.
#[derive(Deserialize)]
struct Shown {
    #[serde(flatten)]
    broadcast: Broadcast,
    #[serde(flatten)]
    funnel: Funnel,
}

/// `GET /console/broadcasts/{id}`.
pub async fn show(
    visitor: Visitor,
    State(state): State<ConsoleState>,
    Path(id): Path<String>,
) -> Response {
    let content = content(&visitor, &state, &id).await;
    page(&visitor, Section::Broadcasts, content).await
}

async fn content(visitor: &Visitor, state: &ConsoleState, id: &str) -> Result<Content, ApiError> {
    let words = visitor.words();
    let path = format!("/v1/broadcasts/{}", encode(id));
    let logs = format!("{path}/logs");
    let query = visitor.parameters.only(&["status", "cursor"]);
    let (shown, recipients) = tokio::join!(
        visitor.api.one::<Shown>(&path, &[]),
        visitor.api.list::<recipient::Recipient>(&logs, &query),
    );
    let shown = match shown {
        Err(error) if !error.is_cut() => return Err(error),
        shown => shown,
    };
    let export = visitor.link(
        &format!("/console/exports/broadcasts/{}/logs", encode(id)),
        &visitor.parameters.only(&["status"]),
    );
    let title = shown.as_ref().ok().and_then(|shown| shown.broadcast.name.clone());
    let title = title.filter(|name| !name.trim().is_empty());
    Ok(Content {
        title: title.unwrap_or_else(|| id.to_owned()),
        heading: None,
        parent: Some(visitor.link("/console/broadcasts", &[])),
        actions: html! {
            @if visitor.can_export { a.button href=(export) download { (words.export_recipients) } }
        },
        body: html! {
            div #broadcast hx-get="" hx-select="#broadcast > *" hx-trigger=(visitor.trigger("changed-slowly from:body", true)) {
                @match &shown {
                    Err(error) => section.card { (problem(words, error)) },
                    Ok(shown) => (shown.draw(visitor, state, id)),
                }
                section.card { h2 { (words.recipients) } (recipient::draw(visitor, id, &recipients)) }
            }
        },
    })
}

impl Shown {
    /// Everything but the recipients.
    fn draw(&self, visitor: &Visitor, state: &ConsoleState, id: &str) -> Markup {
        let (words, Self { broadcast, funnel }) = (visitor.words(), self);
        html! {
            p.muted.lead {
                @if let Some(at) = broadcast.created_at { (format::exact(&visitor.preferences, at)) }
                @if let Some(template) = &broadcast.template_name { " · " (name(template)) }
                @if let Some(channel) = &broadcast.channel_name { " · " (name(channel)) }
                " · " a href=(visitor.link("/console/trace", &[("id", id)])) { (words.trace) }
            }
            div.halves {
                section.card {
                    h2 { (words.funnel) }
                    (funnel.steps(visitor, &broadcast.counts))
                }
                section.card {
                    h2 { (words.failures_by_reason) }
                    (funnel.reasons(visitor, id))
                }
            }
            div.columns {
                section.card.wide { h2 { (words.over_time) } (funnel.over_time(visitor)) }
                section.card { h2 { (words.cost) } (funnel.costs(visitor, state)) }
            }
            div.halves {
                section.card { h2 { (words.until_delivered) } (funnel.to_delivery(visitor)) }
                section.card { h2 { (words.until_read) } (funnel.to_read(visitor)) }
            }
        }
    }
}
