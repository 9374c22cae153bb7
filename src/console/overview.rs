//! Overview: traffic, deliveries, waiting customers and health.

mod cards;
mod figures;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use self::cards::{Failure, Health, channel_list, channels, health_list, reasons, waiting_list};
use self::figures::{Deliveries, LedgerHour, Messages, by_outcome, by_sender, rates};
use super::api::{ApiError, List};
use super::demo;
use super::document::{empty, problem};
use super::format;
use super::language::fill;
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::state::ConsoleState;

#[derive(Deserialize)]
struct Stats {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    messages: Vec<Messages>,
    deliveries: Vec<Deliveries>,
    first_response: Times,
    rooms: Rooms,
}

#[derive(Deserialize)]
struct Times {
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Rooms {
    open: i64,
    unanswered: i64,
}

#[derive(Deserialize)]
struct Room {
    id: String,
    name: Option<String>,
    channel: Option<String>,
    activity_at: DateTime<Utc>,
}

/// A text of the API in both languages.
#[derive(Clone, Deserialize)]
pub struct Translated {
    en: String,
    id: String,
}

impl Translated {
    /// The text in the visitor's language.
    pub fn of(&self, visitor: &Visitor) -> &str {
        match visitor.preferences.language {
            super::preferences::Language::En => &self.en,
            super::preferences::Language::Id => &self.id,
        }
    }
}

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
    let since = Utc::now() - TimeDelta::days(if is_week { 7 } else { 1 });
    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let zone = visitor.preferences.zone.name();

    let stats = [("interval", interval), ("time_zone", zone)];
    let ledger = [("start_date", since.as_str()), ("limit", "500")];
    let failed = [("status", "failed"), ("start_date", &since), ("limit", "200")];
    let expiring = [("session", "expiring"), ("is_counted", "true"), ("limit", "1")];
    let waiting = [("response_state", "unanswered"), ("limit", "6")];
    let (stats, ledger, failed, expiring, waiting) = tokio::join!(
        api.one::<Stats>("/v1/stats", &stats),
        api.list::<LedgerHour>("/v1/ledger", &ledger),
        api.list::<Failure>("/v1/delivery-statuses", &failed),
        api.list::<Room>("/v1/rooms", &expiring),
        api.list::<Room>("/v1/rooms", &waiting),
    );
    let stats = stats?;
    // The health is that of the service.
    let everything = api.of_all_organizations();
    let (health, channels) =
        tokio::join!(everything.one::<Health>("/v1/health", &[]), channels(visitor));
    let period = |value: &str, name: &str, is_chosen: bool| {
        let href = visitor.link("/console", &[("period", value)]);
        html! { a href=(href) aria-current=[is_chosen.then_some("true")] { (name) } }
    };
    let has_traffic = ledger.as_ref().is_ok_and(|hours| !hours.data.is_empty());
    Ok(Content {
        title: words.overview.to_owned(),
        heading: None,
        actions: html! {
            nav.switch aria-label=(words.period) {
                (period("", words.last_24_hours, !is_week))
                (period("week", words.last_7_days, is_week))
            }
        },
        body: html! {
            div #overview hx-get="" hx-select="#overview" hx-swap="outerHTML"
                hx-trigger="every 60s, refresh from:body" {
                @if !has_traffic { (first_steps(visitor, demo)) }
                (tiles(visitor, &stats, &ledger, &expiring))
                div.columns {
                    section.card.wide {
                        h2 { (words.messages_over_time) }
                        (by_sender(words, &stats.messages, stats.start, stats.end, is_week)
                            .draw(&visitor.preferences, words, words.messages_over_time))
                    }
                    section.card { h2 { (words.health) } (health_list(visitor, &health, spooled)) }
                    section.card.wide {
                        h2 { (words.webhooks_over_time) }
                        @match &ledger {
                            Ok(hours) => (by_outcome(visitor, &hours.data, stats.start, stats.end, is_week)
                                .draw(&visitor.preferences, words, words.webhooks_over_time)),
                            Err(error) => (problem(words, error)),
                        }
                    }
                    section.card {
                        h2 { (words.waiting) }
                        (waiting_list(visitor, &waiting))
                    }
                    section.card.wide {
                        h2 { (words.rate_over_time) }
                        (rates(words, &stats.deliveries, stats.start, stats.end, is_week)
                            .draw(&visitor.preferences, words, words.rate_over_time))
                    }
                    section.card { h2 { (words.failures_by_reason) } (reasons(visitor, &failed)) }
                    section.card.wide { h2 { (words.channels) } (channel_list(visitor, &channels)) }
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
                "curl -H 'content-type: application/json' \\\n  --data-binary @tests/fixtures/01-message-customer-text.json \\\n  http://localhost:8080/webhooks/qontak/TOKEN"
            } }
            div.empty { (demo) }
        }
    }
}

fn tiles(
    visitor: &Visitor,
    stats: &Stats,
    ledger: &Result<List<LedgerHour>, ApiError>,
    expiring: &Result<List<Room>, ApiError>,
) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let number = |count| format::number(preferences, count);
    let sum = |of: fn(&Deliveries) -> i64| stats.deliveries.iter().map(of).sum::<i64>();
    let (total, delivered) = (sum(|row| row.total), sum(|row| row.delivered));
    let hours = ledger.as_ref().map_or(&[][..], |list| &list.data);
    let received: i64 = hours.iter().map(|hour| hour.received).sum();
    let strange: i64 = hours.iter().map(|hour| hour.quarantined + hour.malformed).sum();
    let tile = |href: String, name: &str, value: String, hint: String, tone: &str| {
        html! {
            a.tile href=(href) {
                span.name { (name) }
                strong.value { (value) }
                span.hint.{ "tone-" (tone) } { (hint) }
            }
        }
    };
    let waiting = stats.rooms.unanswered;
    let conversations =
        |parameters: &[(&str, &str)]| visitor.link("/console/conversations", parameters);
    let expiring = expiring.as_ref().map_or(0, List::total);
    html! {
        div.tiles {
            (tile(
                conversations(&[("response_state", "unanswered")]),
                words.open_conversations,
                number(stats.rooms.open),
                if waiting > 0 { fill(words.unanswered_now, &[&number(waiting)]) } else { words.nobody_waits.to_owned() },
                if waiting > 0 { "warn" } else { "ok" },
            ))
            (tile(
                conversations(&[("session", "expiring")]),
                words.sessions_expiring,
                number(expiring),
                words.sessions_expiring_hint.to_owned(),
                if expiring > 0 { "warn" } else { "muted" },
            ))
            (tile(
                visitor.link("/console/agents", &[]),
                words.first_response,
                format::duration_or_dash(preferences, stats.first_response.p50_seconds),
                fill(words.first_response_hint, &[&format::duration_or_dash(preferences, stats.first_response.p95_seconds)]),
                "muted",
            ))
            (tile(
                visitor.link("/console/deliveries", &[]),
                words.delivery_rate,
                format::percent(preferences, delivered, total),
                fill(words.delivery_rate_hint, &[&number(delivered), &number(total), &number(sum(|row| row.failed))]),
                if sum(|row| row.failed) > 0 { "warn" } else { "muted" },
            ))
            (tile(
                visitor.link("/console/ledger", &[]),
                words.webhooks,
                number(received),
                if strange > 0 { fill(words.webhooks_hint, &[&number(strange)]) } else { words.webhooks_fine.to_owned() },
                if strange > 0 { "bad" } else { "ok" },
            ))
        }
    }
}
