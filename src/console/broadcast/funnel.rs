//! Funnel of a broadcast: how many recipients reached each status, why others did not, how long it
//! took, and what it costs.

use maud::{Markup, html};
use serde::Deserialize;

use super::Counts;
use super::times::{self, Durations, Hour};
use crate::console::format;
use crate::console::format::text::{name, name_or};
use crate::console::language::fill;
use crate::console::session::Visitor;
use crate::console::state::ConsoleState;
use crate::console::table::{Column, table};
use crate::console::translated::Translated;

/// What the API has besides the counts.
#[derive(Deserialize)]
pub struct Funnel {
    failed_by_code: Vec<Failures>,
    billable_by_category: Vec<Billable>,
    seconds_to_delivery: Durations,
    seconds_to_read: Durations,
    by_hour: Vec<Hour>,
}

#[derive(Deserialize)]
struct Failures {
    error_code: Option<i64>,
    error_title: Option<String>,
    error_details: Option<String>,
    error_meaning: Option<Translated>,
    error_advice: Option<Translated>,
    count: i64,
}

#[derive(Deserialize)]
struct Billable {
    pricing_category: Option<String>,
    count: i64,
}

impl Funnel {
    /// Steps with their share of all recipients.
    pub fn steps(&self, visitor: &Visitor, counts: &Counts) -> Markup {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let total = counts.total;
        let steps = [
            ("muted", words.recipients, total),
            ("info", words.sent, counts.reached.sent),
            ("ok", words.delivered_share, counts.reached.delivered),
            ("accent", words.read_share, counts.reached.read),
            ("bad", words.failed, counts.failed),
        ];
        html! {
            div.funnel {
                @for (color, label, count) in steps {
                    div.step data-step=(label) {
                        span { (label) }
                        svg.bar.tall aria-hidden="true" {
                            rect class={ "fill-" (color) } width={ (format!("{:.2}", if total > 0 { count as f64 * 100.0 / total as f64 } else { 0.0 })) "%" } height="100%" {}
                        }
                        span { strong { (format::number(preferences, count)) } " " span.muted { (format::percent(preferences, count, total)) } }
                    }
                }
            }
            @if counts.pending > 0 { p.muted.small { (fill(words.held_back, &[&format::number(preferences, counts.pending)])) } }
        }
    }

    /// Failures by reason, each with advice and a link to its recipients.
    pub fn reasons(&self, visitor: &Visitor, id: &str) -> Markup {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        html! {
            @if self.failed_by_code.is_empty() { p.muted { (words.no_failures) } }
            ul.plain {
                @for failure in &self.failed_by_code {
                    @let code = failure.error_code.map(|code| code.to_string()).unwrap_or_default();
                    @let link = visitor.link("/console/deliveries", &[("broadcast_id", id), ("status", "failed"), ("error", &code)]);
                    li.reason {
                        div.row {
                            a href=(link) {
                                @match &failure.error_meaning {
                                    Some(text) => (text.of(visitor)),
                                    None => (name_or(failure.error_title.as_deref(), words.no_reason)),
                                }
                                @if !code.is_empty() { " (" (code) ")" }
                            }
                            strong { (format::number(preferences, failure.count)) }
                        }
                        @if let Some(advice) = &failure.error_advice { p { (advice.of(visitor)) } }
                        @if let Some(details) = &failure.error_details { p.muted.small { (name(details)) } }
                    }
                }
            }
        }
    }

    /// How many reached each status by the hours since sending.
    pub fn over_time(&self, visitor: &Visitor) -> Markup {
        times::over_time(visitor, &self.by_hour)
    }

    /// Time from sent to delivered.
    pub fn to_delivery(&self, visitor: &Visitor) -> Markup {
        self.seconds_to_delivery.draw(visitor, "ok")
    }

    /// Time from sent to read.
    pub fn to_read(&self, visitor: &Visitor) -> Markup {
        self.seconds_to_read.draw(visitor, "accent")
    }

    /// Billable recipients by category, with the price of each if the settings have it.
    pub fn costs(&self, visitor: &Visitor, state: &ConsoleState) -> Markup {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let price = |category: &str| state.prices.get(&category.to_lowercase()).copied();
        let cost = |row: &Billable| {
            let price = price(row.pricing_category.as_deref().unwrap_or_default());
            price.map(|price| price * row.count as f64)
        };
        let money = |amount: f64| {
            format!("{} {}", state.currency, format::number(preferences, amount.round() as i64))
        };
        let total: f64 = self.billable_by_category.iter().filter_map(cost).sum();
        let columns =
            [Column(words.category, false), Column(words.billable, true), Column(words.cost, true)];
        let rows = self.billable_by_category.iter().map(|row| {
            vec![
                name_or(row.pricing_category.as_deref(), words.unknown),
                html! { (format::number(preferences, row.count)) },
                html! { (cost(row).map_or("–".to_owned(), money)) },
            ]
        });
        html! {
            @if self.billable_by_category.is_empty() { p.muted { (words.nothing_billable) } }
            @else { (table(&columns, rows)) }
            @if total > 0.0 { p.total { strong { (money(total)) } } }
            @if state.prices.is_empty() && !self.billable_by_category.is_empty() { p.muted.small { (words.no_prices) } }
        }
    }
}
