//! A broadcast over time, and how long its deliveries took.

use maud::{Markup, html};
use serde::Deserialize;

use crate::console::chart::{Chart, Series};
use crate::console::format;
use crate::console::language::fill;
use crate::console::session::Visitor;

/// Hours of the chart; what happened later is one more point.
const MAX_HOURS: i64 = 72;

/// Recipients that reached statuses in one hour.
#[derive(Deserialize)]
pub struct Hour {
    hour: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed: i64,
}

/// Seconds to a status.
#[derive(Deserialize)]
pub struct Durations {
    p50: Option<f64>,
    p90: Option<f64>,
    distribution: Vec<Interval>,
}

#[derive(Deserialize)]
struct Interval {
    max_seconds: Option<f64>,
    count: i64,
}

/// Lines of how many had reached each status by the end of each hour.
pub fn over_time(visitor: &Visitor, hours: &[Hour]) -> Markup {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let Some(last) = hours.iter().map(|one| one.hour).max() else {
        return html! { p.muted { (words.nothing_sent) } };
    };
    let mut x: Vec<i64> = (0..=last.min(MAX_HOURS - 1)).collect();
    let end = |hour: &i64| format::duration(preferences, (hour + 1) as f64 * 3600.0);
    let mut labels: Vec<String> = x.iter().map(end).collect();
    if last >= MAX_HOURS {
        x.push(MAX_HOURS);
        labels.push(words.later.to_owned());
    }
    let sums = |of: fn(&Hour) -> i64| {
        let until = |&end: &i64| {
            let passed = hours.iter().filter(|one| one.hour <= end || end == MAX_HOURS);
            Some(passed.map(of).sum())
        };
        x.iter().map(until).collect()
    };
    let series = vec![
        Series { label: words.sent.into(), color: "info", values: sums(|one| one.sent) },
        Series {
            label: words.delivered_share.into(),
            color: "ok",
            values: sums(|one| one.delivered),
        },
        Series { label: words.read_share.into(), color: "accent", values: sums(|one| one.read) },
        Series { label: words.failed.into(), color: "bad", values: sums(|one| one.failed) },
    ];
    let chart = Chart { is_stacked: false, unit: "", x, labels, series };
    html! {
        (chart.draw(preferences, words, words.over_time))
        p.muted.small { (words.over_time_hint) }
    }
}

impl Durations {
    /// Median, 90th percentile, and a bar for each interval from the first to the last with recipients.
    pub fn draw(&self, visitor: &Visitor, color: &str) -> Markup {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let has_any = |one: &Interval| one.count > 0;
        let (Some(first), Some(last)) = (
            self.distribution.iter().position(has_any),
            self.distribution.iter().rposition(has_any),
        ) else {
            return html! { p.muted { (words.no_durations) } };
        };
        let total: i64 = self.distribution.iter().map(|one| one.count).sum();
        let duration = |seconds| format::duration(preferences, seconds);
        let label = |place: usize| match (self.distribution[place].max_seconds, place) {
            (Some(max), _) => format!("≤ {}", duration(max)),
            (None, 0) => String::new(),
            (None, _) => {
                format!("> {}", duration(self.distribution[place - 1].max_seconds.unwrap_or(0.0)))
            }
        };
        let percentile = |seconds| format::duration_or_dash(preferences, seconds);
        html! {
            p.lead {
                (words.median) " " strong { (percentile(self.p50)) } " · "
                (fill(words.most_within, &["90"])) " " strong { (percentile(self.p90)) }
            }
            div.funnel.distribution {
                @for place in first..=last {
                    @let count = self.distribution[place].count;
                    div.step {
                        span { (label(place)) }
                        svg.bar aria-hidden="true" {
                            rect class={ "fill-" (color) } width={ (format!("{:.2}", count as f64 * 100.0 / total as f64)) "%" } height="100%" {}
                        }
                        span { (format::number(preferences, count)) " " span.muted { (format::percent(preferences, count, total)) } }
                    }
                }
            }
        }
    }
}
