//! What is usual: how many events of a series are expected in a time, from the same hours of past weeks.
//!
//! No statement and no clock here: the history is a value, so that a test replays weeks in seconds.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use chrono::{DateTime, Days, NaiveDate, TimeZone};
use chrono_tz::Tz;

use crate::model::Timestamp;
use crate::store::activity::Activity;

/// Observed minutes that an hour of the past needs.
const MIN_OBSERVED: u32 = 50;

/// Weeks that must be known.
const MIN_WEEKS: usize = 2;

/// Part of the quietest day of the week that is expected on a holiday.
const HOLIDAY_SHARE: f64 = 0.1;

/// Hours since 1970.
pub type Hour = i64;

/// Hour that contains a time.
pub fn hour_of(time: Timestamp) -> Hour {
    time.0.timestamp().div_euclid(3600)
}

/// Start of an hour.
pub fn start_of(hour: Hour) -> Timestamp {
    Timestamp::from_unix(hour * 3600).unwrap_or_default()
}

/// Events that are watched together. `None`: all channels, all kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the columns of table activity say it")]
pub struct Series {
    pub organization_id: String,
    pub channel: Option<String>,
    pub kind: Option<String>,
}

/// Weeks and holidays.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// Time zone of both.
    pub zone: Tz,
    /// Days without the usual traffic.
    pub holidays: BTreeSet<NaiveDate>,
    /// Weeks from which is learned.
    pub weeks: u32,
}

impl Calendar {
    fn local(&self, hour: Hour) -> DateTime<Tz> {
        start_of(hour).0.with_timezone(&self.zone)
    }

    /// Whether an hour belongs to a holiday.
    pub fn is_holiday(&self, hour: Hour) -> bool {
        self.holidays.contains(&self.local(hour).date_naive())
    }

    /// The same time of the clock some days before.
    fn before(&self, hour: Hour, days: u64) -> Option<Hour> {
        let local = self.local(hour).naive_local().checked_sub_days(Days::new(days))?;
        let time = self.zone.from_local_datetime(&local).earliest()?;
        Some(hour_of(Timestamp(time.to_utc())))
    }

    /// The past hours with which an hour is compared: the same hour of the week, without holidays. For a
    /// holiday, those of each day of the week.
    pub fn samples(&self, hour: Hour) -> Samples {
        let weeks = u64::from(self.weeks);
        let of_day = |days: u64, first: u64| {
            let hours = (first..=weeks).filter_map(|week| self.before(hour, days + 7 * week));
            hours.filter(|hour| !self.is_holiday(*hour)).collect()
        };
        if self.is_holiday(hour) {
            Samples { days: (1..=7).map(|days| of_day(days, 0)).collect(), share: HOLIDAY_SHARE }
        } else {
            Samples { days: vec![of_day(0, 1)], share: 1.0 }
        }
    }
}

/// Past hours with which an hour is compared.
#[derive(Debug)]
pub struct Samples {
    /// Hours that are like each other, such as those of one day of the week.
    pub days: Vec<Vec<Hour>>,
    /// Part of the quietest of them that is usual.
    share: f64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Events.
    Events,
    /// Minutes with events: events come in bursts, of which each is one sign of life.
    Minutes,
}

/// Events of a series in an hour.
#[derive(Clone, Copy, Debug)]
struct Counted {
    events: u64,
    /// Bit n for minute n.
    minutes: u64,
    last_at: Timestamp,
}

/// An hour: the observed minutes, and events by number of series.
#[derive(Debug, Default)]
struct KnownHour {
    minutes: u64,
    counted: HashMap<usize, Counted>,
}

/// Events per hour and series. An hour that is unknown was not observed.
#[derive(Debug, Default)]
pub struct History {
    series: Vec<Series>,
    numbers: HashMap<Series, usize>,
    hours: HashMap<Hour, KnownHour>,
}

impl History {
    /// Sets an hour: its observed minutes, one bit each, and its events. They also count for the series
    /// of all channels, all kinds, and both.
    pub fn set(&mut self, hour: Hour, minutes: u64, events: &[Activity]) {
        let mut known = KnownHour { minutes, counted: HashMap::new() };
        for row in events {
            let channel = Some(&row.channel).filter(|channel| !channel.is_empty());
            for channel in [None, channel] {
                for kind in [None, Some(&row.kind)] {
                    let organization_id = row.organization_id.clone();
                    let (channel, kind) = (channel.cloned(), kind.cloned());
                    let number = self.number(Series { organization_id, channel, kind });
                    let none = Counted { events: 0, minutes: 0, last_at: row.last_at };
                    let counted = known.counted.entry(number).or_insert(none);
                    counted.events += row.count.unsigned_abs();
                    counted.minutes |= row.minutes.cast_unsigned();
                    counted.last_at = counted.last_at.max(row.last_at);
                }
                // Without a channel both are the same series.
                if row.channel.is_empty() {
                    break;
                }
            }
        }
        self.hours.insert(hour, known);
    }

    fn number(&mut self, series: Series) -> usize {
        if let Some(number) = self.numbers.get(&series) {
            return *number;
        }
        self.series.push(series.clone());
        self.numbers.insert(series, self.series.len() - 1);
        self.series.len() - 1
    }

    /// Whether an hour is known.
    pub fn contains(&self, hour: Hour) -> bool {
        self.hours.contains_key(&hour)
    }

    /// Forgets hours that are not among these.
    pub fn retain(&mut self, hours: &BTreeSet<Hour>) {
        self.hours.retain(|hour, _| hours.contains(hour));
    }

    /// All series that ever occurred, with their numbers.
    pub fn series(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate()
    }

    /// What was counted of a series in an hour.
    pub fn count(&self, series: usize, hour: Hour, measure: Measure) -> u64 {
        let counted = self.hours.get(&hour).and_then(|known| known.counted.get(&series));
        counted.map_or(0, |counted| match measure {
            Measure::Events => counted.events,
            Measure::Minutes => counted.minutes.count_ones().into(),
        })
    }

    /// Time of the last event of a series in an hour.
    pub fn last_at(&self, series: usize, hour: Hour) -> Option<Timestamp> {
        self.hours.get(&hour)?.counted.get(&series).map(|counted| counted.last_at)
    }

    fn observed(&self, hour: Hour) -> u64 {
        self.hours.get(&hour).map_or(0, |known| known.minutes)
    }
}

/// What is usual, from a history. Finds the hours to compare once for all series.
#[derive(Debug)]
pub struct Usual<'a> {
    history: &'a History,
    calendar: &'a Calendar,
    samples: RefCell<HashMap<Hour, Rc<Samples>>>,
}

impl<'a> Usual<'a> {
    /// Nothing is computed yet.
    pub fn new(history: &'a History, calendar: &'a Calendar) -> Self {
        Self { history, calendar, samples: RefCell::default() }
    }

    fn samples(&self, hour: Hour) -> Rc<Samples> {
        let mut samples = self.samples.borrow_mut();
        samples.entry(hour).or_insert_with(|| Rc::new(self.calendar.samples(hour))).clone()
    }

    /// What is usual in an hour, of the lower counts: a quarter of the weeks may have had less, because of
    /// an outage or a holiday that is not in the settings. `None` if too little is known.
    fn of_hour(&self, series: usize, hour: Hour, measure: Measure) -> Option<f64> {
        let samples = self.samples(hour);
        let quartile = |hours: &Vec<Hour>| {
            let is_observed =
                |hour: &&Hour| self.history.observed(**hour).count_ones() >= MIN_OBSERVED;
            let hours = hours.iter().filter(is_observed);
            let mut counts: Vec<u64> =
                hours.map(|hour| self.history.count(series, *hour, measure)).collect();
            counts.sort_unstable();
            (counts.len() >= MIN_WEEKS).then(|| counts[counts.len() / 4] as f64)
        };
        let usual = samples.days.iter().filter_map(quartile).reduce(f64::min)?;
        Some(usual * samples.share)
    }

    /// What is expected of a series at least in a time, not counting minutes in which nobody listened.
    ///
    /// An hour counts like the quieter of its neighbours, because business hours begin and end within an
    /// hour, and a campaign is no habit.
    pub fn expected(&self, series: usize, from: Timestamp, to: Timestamp, measure: Measure) -> f64 {
        let mut expected = 0.0;
        for hour in hour_of(from)..=hour_of(to) {
            let minutes = (self.history.observed(hour) & between(hour, from, to)).count_ones();
            if minutes == 0 {
                continue;
            }
            let around = [hour - 1, hour, hour + 1];
            let usual = around.map(|hour| self.of_hour(series, hour, measure).unwrap_or(0.0));
            let usual = usual.into_iter().fold(f64::INFINITY, f64::min);
            expected += usual * f64::from(minutes) / 60.0;
        }
        expected
    }
}

/// Bits of the minutes of an hour that begin in a time.
fn between(hour: Hour, from: Timestamp, to: Timestamp) -> u64 {
    let minute = |time: Timestamp, round: i64| {
        let seconds = time.0.timestamp() - hour * 3600;
        (seconds + round).div_euclid(60).clamp(0, 60) as u32
    };
    let below = |minute: u32| if minute == 0 { 0 } else { u64::MAX >> (64 - minute) };
    below(minute(to, 0)) & !below(minute(from, 59))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_between_two_times_are_whole_ones_of_the_hour() {
        let time = |minute: i64, second: i64| {
            Timestamp::from_unix(7 * 3600 + minute * 60 + second).unwrap()
        };
        assert_eq!(between(7, time(0, 0), time(2, 30)), 0b11);
        assert_eq!(between(7, time(1, 1), time(4, 0)), 0b1100);
        assert_eq!(between(7, time(-90, 0), time(90, 0)).count_ones(), 60);
        assert_eq!(between(8, time(0, 0), time(59, 59)), 0);
    }
}
