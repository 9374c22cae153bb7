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
    let series = |label, color, value: fn(&Messages) -> i64| {
        let values = axis.sums(rows, |row| row.at, value);
        Series { label, color, values: values.into_iter().map(Some).collect() }
    };
    Chart {
        is_stacked: true,
        unit: "",
        x: axis.x(),
        series: vec![
            series(words.from_customers, "accent", |row| row.r#in),
            series(words.from_agents, "ok", |row| row.out_agent),
            series(words.from_bots, "info", |row| row.out_bot),
            series(words.from_broadcasts, "warn", |row| row.campaigns),
        ],
    }
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
    let series = |label, color, value: fn(&LedgerHour) -> i64| {
        let values = axis.sums(hours, |row| row.hour, value);
        Series { label, color, values: values.into_iter().map(Some).collect() }
    };
    Chart {
        is_stacked: true,
        unit: "",
        x: axis.x(),
        series: vec![
            series(words.applied, "ok", |row| row.applied),
            series(words.recorded, "info", |row| row.recorded),
            series(words.duplicates, "muted", |row| row.duplicate),
            series(words.quarantined, "warn", |row| row.quarantined),
            series(words.malformed, "bad", |row| row.malformed),
        ],
    }
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
        x: axis.x(),
        series: vec![
            series(words.delivered_share, "ok", |row| row.delivered),
            series(words.read_share, "accent", |row| row.read),
        ],
    }
}
