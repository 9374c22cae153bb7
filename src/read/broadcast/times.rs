//! How long deliveries of a broadcast took, and when they happened.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::broadcast_log::funnel::Group;

/// Upper bounds of a distribution in seconds, the same for every broadcast, so that broadcasts can be
/// compared. The last interval has none.
const BOUNDS: [i32; 15] =
    [2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800];

/// Seconds from sent to a later status, by WhatsApp's clock. Percentiles are null while no recipient has
/// both times.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Broadcast_Durations)]
pub struct Durations {
    /// Median.
    p50: Option<f64>,
    /// 90th percentile.
    p90: Option<f64>,
    /// 95th percentile.
    p95: Option<f64>,
    /// Distribution: recipients by intervals of seconds, shortest first. Always the same intervals.
    distribution: Vec<Interval>,
}

/// Recipients with durations in an interval.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Interval)]
struct Interval {
    /// Longest duration of the interval, which begins after that of the interval before. Null in the last
    /// one, which has no end.
    max_seconds: Option<i32>,
    /// Number of recipients.
    count: i64,
}

impl Durations {
    /// Those of recipients counted by seconds.
    pub fn of(counted: &BTreeMap<i32, i64>) -> Self {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        let mut distribution: Vec<Interval> =
            bounds.map(|max_seconds| Interval { max_seconds, count: 0 }).collect();
        for (seconds, count) in counted {
            let place = BOUNDS.partition_point(|bound| bound < seconds);
            distribution[place].count += count;
        }
        Self {
            p50: percentile(counted, 0.5),
            p90: percentile(counted, 0.9),
            p95: percentile(counted, 0.95),
            distribution,
        }
    }
}

/// Recipients that reached statuses in one hour.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Broadcast_Hour)]
pub struct Hour {
    /// Complete hours since the recipient's log was created. 1000 stands for all that is later.
    hour: i16,
    /// Recipients to whom it was sent in this hour.
    sent: i64,
    /// Recipients to whom it was delivered in this hour.
    delivered: i64,
    /// Recipients that read it in this hour.
    read: i64,
    /// Recipients for whom it failed in this hour, and was neither delivered nor read.
    failed: i64,
}

/// Hours in which something happened, first one first.
pub fn by_hour(groups: &[Group]) -> Vec<Hour> {
    let mut hours: BTreeMap<i16, Hour> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.of == "hours") {
        let mut add = |hour: Option<i16>, count: fn(&mut Hour) -> &mut i64| {
            if let Some(hour) = hour {
                let one = hours.entry(hour).or_insert_with(|| Hour { hour, ..Hour::default() });
                *count(one) += group.count;
            }
        };
        add(group.sent_hour, |one| &mut one.sent);
        add(group.delivered_hour, |one| &mut one.delivered);
        add(group.read_hour, |one| &mut one.read);
        add(group.failed_hour, |one| &mut one.failed);
    }
    hours.into_values().collect()
}

/// The smallest value that at least this share of all values does not exceed.
fn percentile(counted: &BTreeMap<i32, i64>, share: f64) -> Option<f64> {
    let total: i64 = counted.values().sum();
    let enough = (total as f64 * share).ceil();
    let mut passed = 0;
    let (value, _) = counted.iter().find(|(_, count)| {
        passed += *count;
        passed as f64 >= enough
    })?;
    Some(f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_a_counted_value() {
        let counted = BTreeMap::from([(1, 1), (3, 18), (90, 1)]);
        assert_eq!(percentile(&counted, 0.5), Some(3.0));
        assert_eq!(percentile(&counted, 0.95), Some(3.0));
        assert_eq!(percentile(&counted, 0.96), Some(90.0));
        assert_eq!(percentile(&BTreeMap::new(), 0.5), None);
    }

    #[test]
    fn distribution_has_every_duration_once() {
        let counted = BTreeMap::from([(-1, 1), (2, 2), (3, 4), (604_800, 8), (604_801, 16)]);
        let counts: Vec<i64> =
            Durations::of(&counted).distribution.iter().map(|one| one.count).collect();
        assert_eq!(counts, [3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 16]);
    }
}
