//! Figures of the overview as charts.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::console::chart::{Chart, Series};
use crate::console::language::Words;
use crate::console::session::Visitor;

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
    fn new(start: DateTime<Utc>, end: DateTime<Utc>, is_week: bool) -> Self {
        let step = if is_week { TimeDelta::days(1) } else { TimeDelta::hours(1) };
        let next = |at: &DateTime<Utc>| Some(*at + step);
        let starts = std::iter::successors(Some(start), next).take_while(|at| *at < end);
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
            Series { label, color, values }
        });
        Chart {
            is_stacked: true,
            unit: "",
            x: self.x(),
            labels: Vec::new(),
            series: series.collect(),
        }
    }
}

/// Messages by kind of sender.
pub fn by_sender(
    words: &Words,
    rows: &[Messages],
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    is_week: bool,
) -> Chart {
    let axis = Axis::new(start, end, is_week);
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
pub fn by_outcome(
    visitor: &Visitor,
    hours: &[LedgerHour],
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    is_week: bool,
) -> Chart {
    let axis = Axis::new(start, end, is_week);
    let words = visitor.words();
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

/// Shares of messages that were delivered and read, in per cent.
pub fn rates(
    words: &Words,
    rows: &[Deliveries],
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    is_week: bool,
) -> Chart {
    let axis = Axis::new(start, end, is_week);
    let totals = axis.sums(rows, |row| row.at, |row| row.total);
    let series = |label, color, value: fn(&Deliveries) -> i64| {
        let reached = axis.sums(rows, |row| row.at, value);
        let share = |(reached, total): (i64, &i64)| (*total > 0).then(|| reached * 100 / total);
        Series { label, color, values: reached.into_iter().zip(&totals).map(share).collect() }
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
