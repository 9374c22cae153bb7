//! Deletes what has reached its age, in bounded steps, at quiet times.

use std::time::Duration;

use chrono::{Days, NaiveTime, Timelike};
use sqlx::PgPool;
use strum::VariantArray;
use tracing::info;

use crate::config::{Config, Retention};
use crate::model::Timestamp;
use crate::store::retention::{self, Kind};
use crate::store::{self, lease};

/// Pause between two steps, in which other statements run.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a process that dies holds the other replicas up.
const LEASE_TIME: Duration = Duration::from_secs(3600);

/// Time before which rows of a kind are deleted; `None` if they are kept.
pub fn oldest(settings: &Retention, kind: Kind, now: Timestamp) -> Option<Timestamp> {
    let days = match kind {
        Kind::Message => settings.message_days,
        Kind::BroadcastLog | Kind::Broadcast => settings.broadcast_days,
        Kind::Room => settings.room_days,
        Kind::RoomEvent => settings.room_event_days,
        Kind::Count => settings.count_days,
    };
    let day = now.day() - Days::new(days);
    (days > 0).then(|| Timestamp(day.and_time(NaiveTime::MIN).and_utc()))
}

/// Whether rows may be deleted now: from `retention.from_hour` to `retention.to_hour`, local time.
fn is_quiet(config: &Config) -> bool {
    let Retention { from_hour, to_hour, .. } = config.retention;
    let now = Timestamp::now().0.with_timezone(&config.alarm.time_zone.0);
    is_between(now.hour(), from_hour, to_hour)
}

/// Whether an hour of the day is in a range that may go over midnight. Equal ends mean the whole day.
const fn is_between(hour: u32, from: u32, to: u32) -> bool {
    if from < to { from <= hour && hour < to } else { hour >= from || hour < to || from == to }
}

/// Deletes what is old while it is quiet, unless another replica does.
pub async fn run_at_quiet_times(db: &PgPool, config: &Config) -> sqlx::Result<()> {
    let has_age = |kind: &Kind| oldest(&config.retention, *kind, Timestamp::now()).is_some();
    let is_wanted = Kind::VARIANTS.iter().any(has_age) && is_quiet(config);
    if !is_wanted || !lease::take(db, "retention", LEASE_TIME).await? {
        return Ok(());
    }
    // The earlier of two clocks: one that is ahead must not delete too soon.
    let now = store::clock(db).await?.min(Timestamp::now());
    let done = run(db, &config.retention, now, || is_quiet(config)).await;
    lease::shorten(db, "retention", Duration::ZERO).await?;
    for (kind, rows) in done? {
        if rows > 0 {
            info!(kind = kind.as_str(), rows, "deleted rows that reached their age");
        }
    }
    Ok(())
}

/// Deletes what is old, as long as `go_on`. Returns the numbers of rows.
pub async fn run(
    db: &PgPool,
    settings: &Retention,
    now: Timestamp,
    go_on: impl Fn() -> bool,
) -> sqlx::Result<Vec<(Kind, u64)>> {
    let mut done = Vec::new();
    for kind in Kind::VARIANTS {
        let Some(before) = oldest(settings, *kind, now) else { continue };
        let mut total = 0;
        while go_on() {
            let rows = retention::delete(db, *kind, before, settings.batch_rows).await?;
            total += rows;
            if rows == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        done.push((*kind, total));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::is_between;

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        for (from, to, quiet, busy) in [(1, 5, [1, 4], [0, 5]), (22, 3, [23, 2], [3, 21])] {
            assert!(quiet.iter().all(|hour| is_between(*hour, from, to)));
            assert!(busy.iter().all(|hour| !is_between(*hour, from, to)));
        }
        assert!((0..24).all(|hour| is_between(hour, 7, 7)));
    }
}
