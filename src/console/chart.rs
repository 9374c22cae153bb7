//! Charts. The script draws them with uPlot; without it, and for screen readers, there is a table.

use std::borrow::Cow;

use maud::{Markup, html};
use serde::Serialize;

use super::format;
use super::language::Words;
use super::preferences::Preferences;
use chrono::{DateTime, Utc};

/// Values over time.
#[derive(Serialize)]
pub struct Chart {
    /// Whether the series are stacked bars, or else lines.
    pub is_stacked: bool,
    /// What is appended to values, such as `%`.
    pub unit: &'static str,
    /// Times, in seconds since 1970; or numbers from 0, if there are labels.
    pub x: Vec<i64>,
    /// Labels in place of times; empty for times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Values at these times.
    pub series: Vec<Series>,
}

/// One series of a chart.
#[derive(Serialize)]
pub struct Series {
    /// What the values are.
    pub label: Cow<'static, str>,
    /// Name of its colour in the style sheet.
    pub color: &'static str,
    /// Values; `None` where there is none.
    pub values: Vec<Option<i64>>,
}

impl Chart {
    /// Draws it; `title` is for screen readers.
    pub fn draw(&self, preferences: &Preferences, words: &Words, title: &str) -> Markup {
        let data = serde_json::to_string(self).expect("numbers and texts are JSON");
        let first = if self.labels.is_empty() { words.time } else { words.hours_since_sending };
        // The newest first, but labels in their order.
        let mut rows: Vec<(usize, i64)> = self.x.iter().copied().enumerate().collect();
        if self.labels.is_empty() {
            rows.reverse();
        }
        let time = |at| DateTime::<Utc>::from_timestamp(at, 0).unwrap_or_default();
        html! {
            div.chart data-chart=(data) data-zone=(preferences.zone.name()) data-first=(first) role="img" aria-label=(title) {}
            details.as-table {
                summary { (words.as_table) }
                div.scroll tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { (first) }
                            @for series in &self.series { th.number scope="col" { (series.label) } }
                        } }
                        tbody {
                            @for (i, at) in rows {
                                tr {
                                    td { @match self.labels.get(i) {
                                        Some(label) => (label),
                                        None => (format::time(preferences, time(at))),
                                    } }
                                    @for series in &self.series {
                                        td.number {
                                            @match series.values.get(i).copied().flatten() {
                                                Some(value) => { (format::number(preferences, value)) (self.unit) }
                                                None => { "–" }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Shares of a whole as one bar: colour, label and count of each.
pub fn bar(preferences: &Preferences, parts: &[(&str, &str, i64)]) -> Markup {
    bar_of(preferences, parts.iter().map(|(_, _, count)| count).sum(), parts)
}

/// The same as shares of `total`, such as the largest sum of several bars.
pub fn bar_of(preferences: &Preferences, total: i64, parts: &[(&str, &str, i64)]) -> Markup {
    let mut passed = 0.0;
    let shares = parts.iter().filter(|(_, _, count)| *count > 0).map(|(color, label, count)| {
        let (start, share) = (passed, *count as f64 * 100.0 / total as f64);
        passed += share;
        (*color, format!("{label}: {}", format::number(preferences, *count)), start, share)
    });
    let shares: Vec<_> = shares.collect();
    let labels: Vec<&str> = shares.iter().map(|(_, label, _, _)| label.as_str()).collect();
    // A picture must have a name, also an empty one.
    let label = if labels.is_empty() { "0".to_owned() } else { labels.join(", ") };
    html! {
        svg.bar role="img" aria-label=(label) preserveAspectRatio="none" {
            @for (color, label, start, share) in &shares {
                rect class={ "fill-" (color) } x={ (format!("{start:.2}")) "%" } width={ (format!("{share:.2}")) "%" } height="100%" {
                    title { (label) }
                }
            }
        }
    }
}

/// What the colours of bars mean: colour and name of each.
pub fn legend(parts: &[(&str, &str)]) -> Markup {
    html! {
        p.legend.small {
            @for (color, name) in parts {
                span { svg.key aria-hidden="true" { rect class={ "fill-" (color) } width="100%" height="100%" {} } (name) } " "
            }
        }
    }
}
