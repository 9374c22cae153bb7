//! Overview: traffic, deliveries, waiting customers and health. Each part is requested and shown on its own:
//! the person on call needs the health most when the database is slow.

mod cards;
mod figures;
mod health;
mod tiles;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use self::cards::{
    EXPIRING, Failure, MAX_WAITING, expiring_list, last_events, reasons, waiting_list,
};
use self::figures::{LedgerHour, Span, Stats, by_kind, by_outcome, by_sender, rates};
use self::health::{Health, health_list};
use self::tiles::tiles;
use super::api::ApiError;
use super::chart::Chart;
use super::conversation::room::Room;
use super::demo;
use super::document::{empty, problem};
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::state::ConsoleState;

/// `GET /console`.
pub async fn show(visitor: Visitor, State(state): State<ConsoleState>) -> Response {
    let spooled = state.read.ingest.spooled();
    let demo = demo::button(&visitor, &state);
    let content = content(&visitor, spooled as i64, &demo).await;
    page(&visitor, Section::Overview, content).await
}

async fn content(visitor: &Visitor, spooled: i64, demo: &Markup) -> Result<Content, ApiError> {
    let (words, api) = (visitor.words(), &visitor.api);
    let is_week = visitor.parameters.get("period") == "week";
    let interval = if is_week { "day" } else { "hour" };
    let length = TimeDelta::days(if is_week { 7 } else { 1 });
    let since = (Utc::now() - length).to_rfc3339_opts(SecondsFormat::Secs, true);
    let zone = visitor.preferences.zone.name();

    let stats = [("interval", interval), ("time_zone", zone)];
    let ledger = [("start_date", since.as_str()), ("limit", "500")];
    let failed = [("status", "failed"), ("start_date", &since), ("limit", "200")];
    let expiring = [&EXPIRING[..], &[("is_counted", "true"), ("limit", "6")]].concat();
    let waiting = [("response_state", "unanswered"), ("limit", MAX_WAITING)];
    // The health is that of the service.
    let everything = api.of_all_organizations();
    let (stats, ledger, failed, expiring, waiting, health) = tokio::join!(
        api.one::<Stats>("/v1/stats", &stats),
        api.list::<LedgerHour>("/v1/ledger", &ledger),
        api.list::<Failure>("/v1/delivery-statuses", &failed),
        api.list::<Room>("/v1/rooms", &expiring),
        api.list::<Room>("/v1/rooms", &waiting),
        everything.one::<Health>("/v1/health", &[]),
    );
    let stats = match stats {
        // The key was revoked since the request began.
        Err(error) if error.status == StatusCode::UNAUTHORIZED => return Err(error),
        stats => stats,
    };
    let (start, end) = stats
        .as_ref()
        .map_or_else(|_| (Utc::now() - length, Utc::now()), |stats| (stats.start, stats.end));
    let span = Span { start, end, is_week };
    let period = |value: &str, name: &str, is_chosen: bool| {
        let href = visitor.link("/console", &[("period", value)]);
        html! { a href=(href) aria-current=[is_chosen.then_some("true")] { (name) } }
    };
    // A part that needs the statistics.
    let part = |draw: &dyn Fn(&Stats) -> Markup| match &stats {
        Ok(stats) => draw(stats),
        Err(error) => problem(words, error),
    };
    let chart = |name: &'static str, chart: Chart| chart.draw(&visitor.preferences, words, name);
    let has_traffic = ledger.as_ref().map_or(true, |hours| !hours.data.is_empty());
    Ok(Content {
        title: words.overview.to_owned(),
        heading: None,
        parent: None,
        actions: html! {
            nav.switch aria-label=(words.period) {
                (period("", words.last_24_hours, !is_week))
                (period("week", words.last_7_days, is_week))
            }
        },
        body: html! {
            div #overview hx-get="" hx-select="#overview" hx-swap="outerHTML"
                hx-trigger=(visitor.trigger("changed-slowly from:body", true)) {
                @if !has_traffic { (first_steps(visitor, demo)) }
                (tiles(visitor, &stats, &ledger, &expiring))
                div.columns {
                    div.stack.wide {
                        section.card {
                            h2 { (words.messages_over_time) }
                            (part(&|stats| chart(words.messages_over_time, by_sender(words, &stats.messages, &span))))
                        }
                        section.card {
                            h2 { (words.webhooks_over_time) }
                            @match &ledger {
                                Ok(hours) => (chart(words.webhooks_over_time, by_outcome(words, &hours.data, &span))),
                                Err(error) => (problem(words, error)),
                            }
                        }
                        section.card {
                            h2 { (words.webhooks_by_kind) }
                            (part(&|stats| if stats.events.is_empty() {
                                html! { p.muted { (words.not_counted) } }
                            } else {
                                chart(words.webhooks_by_kind, by_kind(words, &stats.events, &span))
                            }))
                        }
                        section.card {
                            h2 { (words.rate_over_time) }
                            (part(&|stats| chart(words.rate_over_time, rates(words, &stats.deliveries, &span))))
                        }
                    }
                    div.stack {
                        section.card { h2 { (words.health) } (health_list(visitor, &health, spooled)) }
                        section.card { h2 { (words.waiting) } (waiting_list(visitor, &waiting)) }
                        section.card { h2 { (words.sessions_expiring) } (expiring_list(visitor, &expiring)) }
                        section.card { h2 { (words.failures_by_reason) } (reasons(visitor, &failed)) }
                    }
                    section.card.whole {
                        h2 { (words.last_events) }
                        (part(&|stats| last_events(visitor, &stats.last_events)))
                    }
                }
            }
        },
    })
}

fn first_steps(visitor: &Visitor, demo: &Markup) -> Markup {
    let words = visitor.words();
    html! {
        section.card {
            (empty(words.no_events_yet, words.no_events_hint))
            pre.center { code {
                "curl -H 'content-type: application/json' \\\n  --data-binary @tests/fixtures/01-message-customer-text.json \\\n  "
                (visitor.origin) "/webhooks/qontak/TOKEN"
            } }
            div.empty { (demo) }
        }
    }
}
