//! The silence alarm over weeks of made-up traffic, replayed in seconds: no database, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Timelike};
use chrono_tz::{Asia::Jakarta, Tz};
use qontak_receiver::alarm::silence::{self, Quiet};
use qontak_receiver::alarm::usual::{Calendar, History, Hour, hour_of, start_of};
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::activity::Activity;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Channel, kind, and events per busy hour.
const SERIES: [(&str, &str, f64); 5] = [
    ("wa_cloud", "receive_message_from_customer", 90.0),
    ("wa_cloud", "receive_message_from_agent", 80.0),
    ("wa_cloud", "status_message", 200.0),
    ("ig", "receive_message_from_customer", 70.0),
    ("wa_cloud", "room_resolved", 5.0),
];

/// Idul Fitri of 2027.
const HOLIDAYS: [(i32, u32, u32); 2] = [(2027, 3, 10), (2027, 3, 11)];

/// Monday; the sixth week contains Idul Fitri.
fn start() -> DateTime<Tz> {
    Jakarta.with_ymd_and_hms(2027, 2, 1, 0, 0, 0).unwrap()
}

fn is_holiday(day: NaiveDate) -> bool {
    HOLIDAYS
        .iter()
        .any(|(year, month, date)| NaiveDate::from_ymd_opt(*year, *month, *date) == Some(day))
}

/// Part of the busiest traffic at a time: business hours from 8:30 to 21:00, quieter weekends, almost
/// nothing at night.
fn rhythm(time: DateTime<Tz>) -> f64 {
    let minute = time.hour() * 60 + time.minute();
    let of_day = match minute {
        0..510 | 1260.. => 0.01,
        510..540 => 0.6,
        720..780 => 0.7,
        _ => 1.0,
    };
    let of_week = match time.weekday().number_from_monday() {
        6 => 0.5,
        7 => 0.15,
        _ => 1.0,
    };
    of_day * of_week * if is_holiday(time.date_naive()) { 0.02 } else { 1.0 }
}

/// Events per minute and series.
struct Traffic {
    /// Minute since 1970, number in [`SERIES`] → events.
    minutes: BTreeMap<(i64, usize), u64>,
}

impl Traffic {
    /// Weeks of traffic. Days differ by half, and events come in bursts.
    fn new(seed: u64, weeks: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut minutes = BTreeMap::new();
        let mut of_day = 1.0;
        for minute in 0..weeks * 7 * 24 * 60 {
            let time = start() + TimeDelta::minutes(minute);
            if minute % (24 * 60) == 0 {
                of_day = rng.random_range(0.7..1.5);
            }
            for (number, (_, _, per_hour)) in SERIES.iter().enumerate() {
                // A burst has two events on average.
                let bursts = per_hour * rhythm(time) * of_day / 60.0 / 2.0;
                let mut product: f64 = rng.random();
                let mut events = 0;
                while product > (-bursts).exp() {
                    product *= rng.random::<f64>();
                    events += rng.random_range(1..=3);
                }
                if events > 0 {
                    minutes.insert((time.timestamp() / 60, number), events);
                }
            }
        }
        Self { minutes }
    }

    /// Drops the events of some series from one time to another.
    fn without(mut self, from: &str, to: &str, is_lost: impl Fn(&str, &str) -> bool) -> Self {
        let minute = |text: &str| Timestamp::parse(text).unwrap().0.timestamp() / 60;
        let lost = minute(from)..minute(to);
        self.minutes.retain(|(minute, number), _| {
            let (channel, kind, _) = SERIES[*number];
            !(lost.contains(minute) && is_lost(channel, kind))
        });
        self
    }

    /// Rows of an hour, as far as they are known at a time.
    fn hour(&self, hour: Hour, now: i64) -> Vec<Activity> {
        let mut rows: BTreeMap<usize, Activity> = BTreeMap::new();
        let minutes = hour * 60..(hour * 60 + 60).min(now);
        for ((minute, number), count) in self.minutes.range((minutes.start, 0)..(minutes.end, 0)) {
            let (channel, kind, _) = SERIES[*number];
            let last_at = Timestamp::from_unix(minute * 60 + 30).unwrap();
            let row = rows.entry(*number).or_insert_with(|| Activity {
                hour: start_of(hour),
                organization_id: "shop".to_owned(),
                channel: channel.to_owned(),
                kind: kind.to_owned(),
                count: 0,
                minutes: 0,
                last_at,
            });
            row.count += count.cast_signed();
            row.minutes |= 1 << (minute - hour * 60);
            row.last_at = last_at;
        }
        rows.into_values().collect()
    }

    /// Looks every ten minutes; returns what is quiet, by the time at which it was first found.
    fn replay(&self, from: &str, to: &str, weeks_known: i64) -> Vec<(Timestamp, Quiet)> {
        let holidays = HOLIDAYS.map(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day));
        let holidays = holidays.into_iter().flatten().collect();
        let calendar = Calendar { zone: Jakarta, holidays, weeks: 6 };
        let mut history = History::default();
        let [from, to] = [from, to].map(|text| Timestamp::parse(text).unwrap());
        let (first, last) = (from.0.timestamp() / 60, to.0.timestamp() / 60);
        let begin = hour_of(Timestamp(from.0 - TimeDelta::weeks(weeks_known)));
        for hour in begin..hour_of(from) {
            history.set(hour, (1 << 60) - 1, &self.hour(hour, first));
        }
        let mut open = BTreeSet::new();
        let mut found = Vec::new();
        for now in (first..last).step_by(10) {
            let time = Timestamp::from_unix(now * 60).unwrap();
            let hour = hour_of(time);
            for hour in [hour - 1, hour] {
                let minutes = (now - hour * 60).clamp(0, 60);
                history.set(hour, ((1_u128 << minutes) - 1) as u64, &self.hour(hour, now));
            }
            let quiet = silence::find(&history, &calendar, time, Duration::from_secs(900));
            let series: BTreeSet<_> = quiet.iter().map(|it| it.series.clone()).collect();
            found.extend(
                quiet.into_iter().filter(|it| !open.contains(&it.series)).map(|it| (time, it)),
            );
            open = series;
        }
        found
    }
}

/// Channel and kind of what was found.
fn subjects(found: &[(Timestamp, Quiet)]) -> Vec<(Option<&str>, Option<&str>)> {
    let subject =
        |(_, it): &'_ (Timestamp, Quiet)| -> (Option<&'static str>, Option<&'static str>) {
            let known = |text: &Option<String>| {
                let all = SERIES.iter().flat_map(|(channel, kind, _)| [*channel, *kind]);
                text.as_ref().map(|text| all.into_iter().find(|it| it == text).unwrap())
            };
            (known(&it.series.channel), known(&it.series.kind))
        };
    found.iter().map(subject).collect()
}

#[test]
fn usual_nights_weekends_and_idul_fitri_raise_no_alarm() {
    for seed in 1..=2 {
        let traffic = Traffic::new(seed, 6);
        let found = traffic.replay("2027-02-14T17:00:00Z", "2027-03-14T17:00:00Z", 2);
        assert_eq!(found, [], "seed {seed}");
    }
}

#[test]
fn dead_webhook_is_found_within_an_hour() {
    for (seed, dead_at) in
        [(1, "2027-02-24T03:07:00Z"), (2, "2027-03-05T08:50:00Z"), (3, "2027-02-27T04:31:00Z")]
    {
        let traffic = Traffic::new(seed, 6).without(dead_at, "2027-03-14T17:00:00Z", |_, _| true);
        let found = traffic.replay(dead_at, "2027-03-06T03:00:00Z", 3);
        assert_eq!(subjects(&found[..1]), [(None, None)], "{dead_at}: {found:#?}");
        let (at, quiet) = &found[0];
        let dead_at = Timestamp::parse(dead_at).unwrap();
        let minutes = (at.0 - dead_at.0).num_minutes();
        assert!((15..=60).contains(&minutes), "found after {minutes} minutes");
        assert!(
            quiet.since <= dead_at && (dead_at.0 - quiet.since.0).num_minutes() < 15,
            "{quiet:?}"
        );
    }
}

#[test]
fn webhook_that_dies_at_night_is_found_when_business_has_begun() {
    let dead_at = "2027-03-02T16:00:00Z";
    let traffic = Traffic::new(4, 6).without(dead_at, "2027-03-14T17:00:00Z", |_, _| true);
    let found = traffic.replay(dead_at, "2027-03-03T10:00:00Z", 4);
    assert_eq!(subjects(&found), [(None, None)]);
    // At night only a few events are usual, of which none can be missing for hours.
    let morning = found[0].0.0.with_timezone(&Jakarta);
    assert!(morning.hour() < 11, "{morning}");
}

#[test]
fn quiet_channel_or_kind_is_one_problem_with_its_name() {
    let (dead_at, end) = ("2027-03-03T02:00:00Z", "2027-03-03T05:00:00Z");
    let agent = "receive_message_from_agent";
    let traffic = Traffic::new(5, 6).without(dead_at, end, |_, kind| kind == agent);
    assert_eq!(subjects(&traffic.replay(dead_at, end, 4)), [(None, Some(agent))]);
    let traffic = Traffic::new(5, 6).without(dead_at, end, |channel, _| channel == "ig");
    assert_eq!(subjects(&traffic.replay(dead_at, end, 4)), [(Some("ig"), None)]);
}

#[test]
fn webhook_that_loses_most_events_is_found() {
    let (from, end) = ("2027-03-03T03:00:00Z", "2027-03-03T05:30:00Z");
    let mut traffic = Traffic::new(6, 6);
    let first = Timestamp::parse(from).unwrap().0.timestamp() / 60;
    // One event arrives every 14 minutes, so there is no silence.
    traffic.minutes.retain(|(minute, number), events| {
        if *minute >= first {
            *events = 1;
        }
        *minute < first || minute % 14 == 0 && *number == 2
    });
    let found = traffic.replay(from, end, 4);
    let is_scarce = |(_, it): &(Timestamp, Quiet)| it.seen > 0 && it.series.channel.is_none();
    assert!(found.iter().any(is_scarce), "{found:#?}");
}

#[test]
fn hours_in_which_nobody_listened_are_no_silence() {
    let calendar = Calendar { zone: Jakarta, holidays: BTreeSet::new(), weeks: 6 };
    let traffic = Traffic::new(8, 6);
    let now = Timestamp::parse("2027-03-03T06:00:00Z").unwrap();
    let minute = now.0.timestamp() / 60;
    let mut history = History::default();
    for hour in hour_of(now) - 24 * 28..hour_of(now) - 3 {
        history.set(hour, (1 << 60) - 1, &traffic.hour(hour, minute));
    }
    let find = |history: &History| silence::find(history, &calendar, now, Duration::from_secs(900));
    for minutes in [0, (1 << 60) - 1] {
        for hour in hour_of(now) - 3..hour_of(now) {
            history.set(hour, minutes, &[]);
        }
        assert_eq!(find(&history).len(), usize::from(minutes > 0));
    }
}
