//! Figures of the overview as charts.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::console::chart::{Chart, Series};
use crate::console::language::Words;

/// Statistics of the period.
#[derive(Deserialize)]
pub struct Stats {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub messages: Vec<Messages>,
    pub deliveries: Vec<Deliveries>,
    pub events: Vec<Events>,
    pub last_events: Vec<LastEvent>,
    pub first_response: Times,
    pub rooms: Rooms,
}

/// How long customers waited.
#[derive(Deserialize)]
pub struct Times {
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
}

/// Conversations that are open now.
#[derive(Deserialize)]
pub struct Rooms {
    pub open: i64,
    pub unanswered: i64,
}

/// The last event of a channel of an organisation.
#[derive(Deserialize)]
pub struct LastEvent {
    pub organization_id: Option<String>,
    pub channel: String,
    pub kind: String,
    pub at: DateTime<Utc>,
}

/// Messages of one channel in one hour or day.
#[derive(Deserialize)]
pub struct Messages {
    at: DateTime<Utc>,
    r#in: i64,
    out_agent: i64,
    out_bot: i64,
    campaigns: i64,
}

/// Deliveries of one source in one hour or day.
#[derive(Deserialize)]
pub struct Deliveries {
    at: DateTime<Utc>,
    pub total: i64,
    pub delivered: i64,
    read: i64,
    pub failed: i64,
}

/// Events of one kind in one hour or day.
#[derive(Deserialize)]
pub struct Events {
    at: DateTime<Utc>,
    kind: String,
    events: i64,
}

/// The period of a chart.
pub struct Span {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub is_week: bool,
}

/// Kinds of events with a colour of their own; all others share the last one.
const KIND_COLORS: [&str; 6] = ["accent", "ok", "info", "warn", "bad", "muted"];

/// An hour of the ledger.
#[derive(Deserialize)]
pub struct LedgerHour {
    hour: DateTime<Utc>,
    pub received: i64,
    applied: i64,
    recorded: i64,
    pub quarantined: i64,
    pub malformed: i64,
    duplicate: i64,
}

/// A part of stacked bars.
struct Part<T> {
    label: &'static str,
    color: &'static str,
    value: fn(&T) -> i64,
}

/// Starts of the intervals of a period.
struct Axis {
    starts: Vec<DateTime<Utc>>,
}

impl Axis {
    fn new(span: &Span) -> Self {
        let step = if span.is_week { TimeDelta::days(1) } else { TimeDelta::hours(1) };
        let next = |at: &DateTime<Utc>| Some(*at + step);
        let starts = std::iter::successors(Some(span.start), next);
        let starts = starts.take_while(|at| *at < span.end);
        Self { starts: starts.collect() }
    }

    /// Seconds since 1970.
    fn x(&self) -> Vec<i64> {
        self.starts.iter().map(DateTime::timestamp).collect()
    }

    /// Sums of the rows of each interval.
    fn sums<T>(
        &self,
        rows: &[T],
        at: impl Fn(&T) -> DateTime<Utc>,
        value: impl Fn(&T) -> i64,
    ) -> Vec<i64> {
        let mut sums = vec![0; self.starts.len()];
        for row in rows {
            let after = self.starts.partition_point(|start| *start <= at(row));
            if let Some(sum) = after.checked_sub(1).and_then(|place| sums.get_mut(place)) {
                *sum += value(row);
            }
        }
        sums
    }

    /// Stacked bars of the sums of some parts of each row.
    fn stacked<T>(&self, rows: &[T], at: fn(&T) -> DateTime<Utc>, parts: &[Part<T>]) -> Chart {
        let series = parts.iter().map(|Part { label, color, value }| {
            let values = self.sums(rows, at, value).into_iter().map(Some).collect();
            Series { label: (*label).into(), color, values }
        });
        self.bars(series.collect())
    }

    /// Stacked bars.
    fn bars(&self, series: Vec<Series>) -> Chart {
        Chart { is_stacked: true, unit: "", x: self.x(), labels: Vec::new(), series }
    }
}

/// Messages by kind of sender.
pub fn by_sender(words: &Words, rows: &[Messages], span: &Span) -> Chart {
    let axis = Axis::new(span);
    let part = |label, color, value: fn(&Messages) -> i64| Part { label, color, value };
    let parts = [
        part(words.from_customers, "accent", |row| row.r#in),
        part(words.from_agents, "ok", |row| row.out_agent),
        part(words.from_bots, "info", |row| row.out_bot),
        part(words.from_broadcasts, "warn", |row| row.campaigns),
    ];
    axis.stacked(rows, |row| row.at, &parts)
}

/// Webhooks by outcome.
pub fn by_outcome(words: &Words, hours: &[LedgerHour], span: &Span) -> Chart {
    let axis = Axis::new(span);
    let part = |label, color, value: fn(&LedgerHour) -> i64| Part { label, color, value };
    let parts = [
        part(words.applied, "ok", |row| row.applied),
        part(words.recorded, "info", |row| row.recorded),
        part(words.duplicates, "muted", |row| row.duplicate),
        part(words.quarantined, "warn", |row| row.quarantined),
        part(words.malformed, "bad", |row| row.malformed),
    ];
    axis.stacked(hours, |row| row.hour, &parts)
}

/// Events by kind, the most frequent first.
pub fn by_kind(words: &Words, rows: &[Events], span: &Span) -> Chart {
    let axis = Axis::new(span);
    let mut kinds: Vec<(&str, i64)> = Vec::new();
    for row in rows {
        match kinds.iter_mut().find(|(kind, _)| *kind == row.kind) {
            Some((_, count)) => *count += row.events,
            None => kinds.push((&row.kind, row.events)),
        }
    }
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let own = if kinds.len() > KIND_COLORS.len() { KIND_COLORS.len() - 1 } else { kinds.len() };
    let series = |label: Cow<'static, str>, color, of: &[(&str, i64)]| {
        let value = |row: &Events| match of.iter().any(|(kind, _)| *kind == row.kind) {
            true => row.events,
            false => 0,
        };
        let values = axis.sums(rows, |row| row.at, value).into_iter().map(Some).collect();
        Series { label, color, values }
    };
    let mut all: Vec<Series> = kinds[..own]
        .iter()
        .zip(KIND_COLORS)
        .map(|(kind, color)| series(kind.0.to_owned().into(), color, std::slice::from_ref(kind)))
        .collect();
    if own < kinds.len() {
        all.push(series(words.other_kinds.into(), "muted", &kinds[own..]));
    }
    axis.bars(all)
}

/// Shares of messages that were delivered and read, in per cent.
pub fn rates(words: &Words, rows: &[Deliveries], span: &Span) -> Chart {
    let axis = Axis::new(span);
    let totals = axis.sums(rows, |row| row.at, |row| row.total);
    let series = |label: &'static str, color, value: fn(&Deliveries) -> i64| {
        let reached = axis.sums(rows, |row| row.at, value);
        let share = |(reached, total): (i64, &i64)| (*total > 0).then(|| reached * 100 / total);
        Series {
            label: Cow::Borrowed(label),
            color,
            values: reached.into_iter().zip(&totals).map(share).collect(),
        }
    };
    Chart {
        is_stacked: false,
        unit: "%",
        labels: Vec::new(),
        x: axis.x(),
        series: vec![
            series(words.delivered_share, "ok", |row| row.delivered),
            series(words.read_share, "accent", |row| row.read),
        ],
    }
}
