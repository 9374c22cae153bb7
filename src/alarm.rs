//! Alarms: finds what is wrong, stores since when, logs it when it begins and ends, and notifies of it.
//!
//! ```text
//! usual.rs      what is usual: a pure function of past weeks
//! silence.rs    series of events that are quieter than that
//! last_seen.rs  metric: when each source was last seen
//! source.rs     other problems: what the service and its checks of Qontak know already
//! notify.rs     the outgoing webhook
//! ```
//!
//! Every replica stores its counts and its own spool's problems. The rest is done by the one that holds a
//! lease, so each problem is logged and notified of once.

mod last_seen;
mod notify;
pub mod silence;
mod source;
pub mod usual;

use std::time::Duration;

use chrono::TimeDelta;
use metrics::gauge;
use sqlx::PgPool;
use strum::VariantNames;
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use self::last_seen::LastSeen;
use self::notify::Notifier;
use self::source::Sources;
use self::usual::{Calendar, History, Hour, hour_of, start_of};
use crate::config::{self, Config};
use crate::ingest::Ingest;
use crate::model::Timestamp;
use crate::store::activity::{self, ObservedHour};
use crate::store::problem::{self, Code, Found, ProblemRow, Scope};
use crate::store::{self, Failure, lease};
use crate::telemetry::fault::Fault;

static INTERRUPTED: Fault = Fault::warn("search for problems interrupted");

/// Timeout of the statements of one round.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a replica that dies in the middle of a round holds the others up.
const LEASE_TIME: Duration = Duration::from_secs(300);

/// Age after which a problem of another replica's spool ends: that replica is gone.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1200);

/// Hours that may still change: counts of a spool or of a slow replica arrive late.
const UNSETTLED_HOURS: i64 = 3;

/// Age of what waits in a spool from which counts are incomplete. Below it, webhooks only pass through.
const MAX_SPOOL_SECONDS: f64 = 120.0;

/// Finds and reports problems.
pub struct Alarms {
    settings: config::Alarm,
    calendar: Calendar,
    ingest: Ingest,
    notifier: Option<Notifier>,
    cool_down: Duration,
    db: PgPool,
    /// Host name; identifies the spool of this replica.
    host: String,
    history: History,
    last_seen: LastSeen,
    /// Time up to which observed minutes are stored.
    observed_until: Timestamp,
    last_round: Timestamp,
}

impl Alarms {
    /// Takes the settings; `db` are connections for few and short statements.
    pub fn new(config: &Config, ingest: Ingest, db: PgPool) -> Self {
        let settings = config.alarm.clone();
        let calendar = Calendar {
            zone: settings.time_zone.0,
            holidays: settings.holidays.iter().map(|holiday| holiday.0).collect(),
            weeks: settings.weeks,
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let now = Timestamp::now();
        Self {
            settings,
            calendar,
            ingest,
            notifier: Notifier::new(&config.notify),
            cool_down: config.notify.cool_down,
            db,
            host: host.trim().to_owned(),
            history: History::default(),
            last_seen: LastSeen::default(),
            observed_until: now,
            last_round: now,
        }
    }

    /// Looks for problems until `stopping`, then stores the last counts.
    pub async fn run(mut self, mut stopping: Receiver<bool>) {
        let mut tick = interval(self.settings.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
            let round = tokio::select! {
                round = self.round() => round,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            match round {
                Ok(()) => {
                    let now = Timestamp::now().0.timestamp_micros() as f64 / 1e6;
                    gauge!("qontak_receiver_task_success_timestamp_seconds", "task" => "alarm")
                        .set(now);
                }
                Err(cause) => INTERRUPTED.occurred(Failure::from(cause)),
            }
        }
        // Without success a restart would look like some seconds of silence.
        _ = store::within(Duration::from_secs(1), self.record(Timestamp::now())).await;
    }

    async fn round(&mut self) -> sqlx::Result<()> {
        let db = self.db.clone();
        let now = Timestamp::now();
        store::within(TIMEOUT, self.record(now)).await?;
        let own = Scope { codes: &[Code::Spool], subject: Some(&self.host) };
        let spool = source::spool(&self.ingest.spools, &self.host);
        report(store::within(TIMEOUT, problem::sync(&db, own, &spool)).await?);
        if store::within(TIMEOUT, lease::take(&db, "alarm", LEASE_TIME)).await? {
            let done = self.lead(now).await;
            // Replicas do not tick at the same moment.
            let next = self.settings.interval.mul_f64(0.9);
            store::within(TIMEOUT, lease::shorten(&db, "alarm", next)).await?;
            done?;
        }
        let open = store::within(TIMEOUT, problem::list(&db, None)).await?;
        for code in Code::VARIANTS {
            let count = open.iter().filter(|row| row.code == *code).count();
            gauge!("qontak_receiver_problems", "code" => *code).set(count as f64);
        }
        Ok(())
    }

    /// Stores the counts of this process, and that it could receive webhooks.
    async fn record(&mut self, now: Timestamp) -> sqlx::Result<()> {
        if !self.settings.silence {
            return Ok(());
        }
        // The process was frozen, or nothing could be stored anywhere.
        let pause = (now.0 - self.last_round.0).to_std().unwrap_or_default();
        if pause > 3 * self.settings.interval + TIMEOUT {
            self.observed_until = now;
        }
        self.last_round = now;
        let counts = self.ingest.activity.take();
        let observed = observed(self.observed_until, now);
        if let Err(cause) = activity::add(&self.db, &counts, &observed).await {
            self.ingest.activity.put_back(counts);
            if self.ingest.spools.is_empty() {
                self.observed_until = now;
            }
            return Err(cause);
        }
        self.last_seen.set(&counts);
        self.observed_until = now;
        Ok(())
    }

    /// What one replica does for all.
    async fn lead(&mut self, now: Timestamp) -> sqlx::Result<()> {
        let db = self.db.clone();
        store::within(TIMEOUT, self.find_silence(now)).await?;
        let sources = Sources { db: &db, now, quarantined: self.settings.quarantined };
        let all = store::within(TIMEOUT, sources.find()).await?;
        let codes =
            [Code::Hook, Code::Check, Code::Quarantine, Code::Partitions, Code::UnknownEvent];
        let scope = Scope { codes: &codes, subject: None };
        report(store::within(TIMEOUT, problem::sync(&db, scope, &all)).await?);
        let expire = problem::expire(&db, Code::Spool, REPLICA_TIMEOUT, self.cool_down);
        store::within(TIMEOUT, expire).await?;
        if let Some(notifier) = &self.notifier {
            notifier.run(&db).await?;
        }
        Ok(())
    }

    async fn find_silence(&mut self, now: Timestamp) -> sqlx::Result<()> {
        let scope = Scope { codes: &[Code::Silence], subject: None };
        if !self.settings.silence {
            report(problem::sync(&self.db, scope, &[]).await?);
            return Ok(());
        }
        // What waits in a spool is not counted yet.
        let mut oldest = self.ingest.spools.iter().filter_map(|spool| spool.depth().oldest_at);
        if oldest.any(|at| at.age_seconds() > MAX_SPOOL_SECONDS) {
            return Ok(());
        }
        let hours = silence::hours(now, &self.calendar);
        self.history.retain(&hours);
        let settled = hour_of(now) - UNSETTLED_HOURS;
        let is_missing = |hour: &Hour| *hour >= settled || !self.history.contains(*hour);
        let missing: Vec<Hour> = hours.into_iter().filter(is_missing).collect();
        load(&self.db, &mut self.history, &missing).await?;
        let quiet = silence::find(&self.history, &self.calendar, now, self.settings.min_silence);
        let found: Vec<Found> = quiet.iter().map(|quiet| source::silence(quiet, now)).collect();
        report(problem::sync(&self.db, scope, &found).await?);
        let days = i64::from(self.settings.weeks) * 7 + 8;
        activity::delete_before(&self.db, Timestamp(now.0 - TimeDelta::days(days))).await
    }
}

/// Reads hours into the history.
async fn load(db: &PgPool, history: &mut History, hours: &[Hour]) -> sqlx::Result<()> {
    let times: Vec<Timestamp> = hours.iter().copied().map(start_of).collect();
    let observed = activity::observed(db, &times).await?;
    let events = activity::list(db, &times).await?;
    for hour in hours {
        let start = start_of(*hour);
        let minutes = observed.iter().find(|row| row.hour == start).map_or(0, |row| row.minutes);
        let events: Vec<_> = events.iter().filter(|row| row.hour == start).cloned().collect();
        history.set(*hour, minutes.cast_unsigned(), &events);
    }
    Ok(())
}

/// Minutes from one time to another, both included.
fn observed(from: Timestamp, to: Timestamp) -> Vec<ObservedHour> {
    let mut hours: Vec<ObservedHour> = Vec::new();
    for minute in from.0.timestamp().div_euclid(60)..=to.0.timestamp().div_euclid(60) {
        let (hour, bit) = (start_of(minute.div_euclid(60)), 1 << minute.rem_euclid(60));
        match hours.last_mut() {
            Some(last) if last.hour == hour => last.minutes |= bit,
            _ => hours.push(ObservedHour { hour, minutes: bit }),
        }
    }
    hours
}

/// Logs problems that began or ended.
fn report(changed: Vec<ProblemRow>) {
    for row in changed {
        let ProblemRow { code, organization_id, subject, detail, since, ended_at } = row;
        if ended_at.is_some() {
            info!(problem = code, organization.id = organization_id, subject, %since, "problem ended");
        } else {
            error!(
                problem = code, organization.id = organization_id, subject, detail, %since,
                "problem began"
            );
        }
    }
}
