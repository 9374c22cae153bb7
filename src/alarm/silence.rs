//! Silence: series of events that are quieter than usual.
//!
//! Two questions are asked of each series. Is it silent: how many minutes with events were to be expected
//! since the last event? And is it scarce: how many events were to be expected in the previous and the
//! current hour? The second one finds a webhook that loses most of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;

use super::usual::{Calendar, History, Hour, Measure, Series, Usual, hour_of, start_of};
use crate::model::Timestamp;

/// Hours back from now that are looked at.
const LOOK_BACK: i64 = 24;

/// Minutes with events that must be missing. If they come by chance, 20 are missing once in 500 million
/// times; on a day with half of the usual traffic, once in 20,000 times.
const MIN_SILENT_MINUTES: f64 = 20.0;

/// Events that must be expected, and the part of them up to which they are scarce. More than for silence,
/// because events come in bursts.
const MIN_EVENTS: f64 = 100.0;
const SCARCE_SHARE: f64 = 0.1;

/// Whether a time without events is a problem, by the minutes with events that were expected.
pub fn is_silent(expected_minutes: f64) -> bool {
    expected_minutes >= MIN_SILENT_MINUTES
}

/// Whether so few events are a problem.
pub fn is_scarce(expected_events: f64, seen: u64) -> bool {
    expected_events >= MIN_EVENTS && seen as f64 <= expected_events * SCARCE_SHARE
}

/// A series that is quieter than usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// The series.
    pub series: Series,
    /// Time of the last event, or start of the time in which there were too few.
    pub since: Timestamp,
    /// Events since then.
    pub seen: u64,
    /// What was to be expected since then at least.
    pub expected: f64,
    /// What is counted: minutes with events if there was none, else events.
    pub measure: Measure,
}

/// The hours that [`find`] needs to know.
pub fn hours(now: Timestamp, calendar: &Calendar) -> BTreeSet<Hour> {
    let now = hour_of(now);
    let looked_at = now - LOOK_BACK..=now;
    let compared = (now - LOOK_BACK - 1..=now + 1).flat_map(|hour| calendar.samples(hour).days);
    looked_at.chain(compared.flatten().filter(|hour| *hour <= now)).collect()
}

/// Finds the series that are quiet: the widest ones, of which the others are parts. An organisation that
/// sends nothing is one problem, not one per kind.
pub fn find(
    history: &History,
    calendar: &Calendar,
    now: Timestamp,
    min_silence: Duration,
) -> Vec<Quiet> {
    let usual = Usual::new(history, calendar);
    let quiet = history
        .series()
        .filter_map(|(number, series)| assess(history, &usual, now, min_silence, number, series));
    let quiet: BTreeMap<Series, Quiet> = quiet.map(|it| (it.series.clone(), it)).collect();
    let is_part = |series: &Series| {
        let Series { organization_id, channel, kind } = series;
        let is_known = |channel: &Option<String>, kind: &Option<String>| {
            let (channel, kind) = (channel.clone(), kind.clone());
            let wider = Series { organization_id: organization_id.clone(), channel, kind };
            wider != *series && quiet.contains_key(&wider)
        };
        is_known(&None, &None) || is_known(channel, &None) || is_known(&None, kind)
    };
    quiet.values().filter(|it| !is_part(&it.series)).cloned().collect()
}

fn assess(
    history: &History,
    usual: &Usual<'_>,
    now: Timestamp,
    min_silence: Duration,
    number: usize,
    series: &Series,
) -> Option<Quiet> {
    let this = hour_of(now);
    let earliest = Timestamp(now.0 - TimeDelta::hours(LOOK_BACK));
    let last = (this - LOOK_BACK..=this).rev().find_map(|hour| history.last_at(number, hour));
    let since = last.unwrap_or(earliest).max(earliest);
    let series = series.clone();
    if (now.0 - since.0).to_std().is_ok_and(|silence| silence >= min_silence) {
        let measure = Measure::Minutes;
        let expected = usual.expected(number, since, now, measure);
        if is_silent(expected) {
            return Some(Quiet { series, since, seen: 0, expected, measure });
        }
    }
    let (since, measure) = (start_of(this - 1), Measure::Events);
    let seen = [this - 1, this].map(|hour| history.count(number, hour, measure)).iter().sum();
    let expected = usual.expected(number, since, now, measure);
    is_scarce(expected, seen).then_some(Quiet { series, since, seen, expected, measure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_scarcity_need_many_missing_events() {
        assert!(is_silent(20.0) && !is_silent(19.9));
        for (expected, seen, is_problem) in
            [(0.0, 0, false), (99.0, 0, false), (100.0, 10, true), (100.0, 11, false)]
        {
            assert_eq!(is_scarce(expected, seen), is_problem, "{expected} {seen}");
        }
    }
}
