//! Problems that are known already: from checks of Qontak, the ledger, the journal and the spool.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use sqlx::PgPool;

use super::silence::Quiet;
use super::usual::Measure;
use crate::event::Kind;
use crate::ingest::spool::Spool;
use crate::model::Timestamp;
use crate::store::problem::{self, Code, Found};
use crate::store::{partition, qontak_check, qontak_hook};

/// Part of the spool's size from which it is a problem.
const SPOOL_SHARE: f64 = 0.5;

/// Maximum number of problems of one round, and of characters of an event name.
const MAX_FOUND: usize = 200;
const MAX_NAME_CHARS: usize = 64;

/// Where problems come from, besides silence and the spool.
pub struct Sources<'a> {
    /// The database.
    pub db: &'a PgPool,
    /// The current time.
    pub now: Timestamp,
    /// `alarm.quarantined`.
    pub quarantined: u32,
}

impl Sources<'_> {
    /// Finds all problems; each key once.
    pub async fn find(&self) -> sqlx::Result<Vec<Found>> {
        let mut found = self.at_qontak().await?;
        found.extend(self.in_journal().await?);
        found.extend(self.unknown_events().await?);
        let key = |it: &Found| (it.code, it.organization_id.clone(), it.subject.clone());
        let found: BTreeMap<_, _> = found.into_iter().map(|it| (key(&it), it)).collect();
        Ok(found.into_values().take(MAX_FOUND).collect())
    }

    async fn at_qontak(&self) -> sqlx::Result<Vec<Found>> {
        let mut found = Vec::new();
        for hook in qontak_hook::list(self.db).await? {
            if let Some(problem) = hook.problem {
                let subject = format!("{} {}", hook.name, hook.event);
                found.push(global(Code::Hook, subject, problem, hook.since));
            }
        }
        for check in qontak_check::list(self.db).await? {
            if let Some(error) = check.error {
                let since = check.failing_since.unwrap_or(check.checked_at);
                let subject = format!("{} {}", check.name, check.kind).trim().to_owned();
                found.push(global(Code::Check, subject, error, since));
            }
        }
        Ok(found)
    }

    async fn in_journal(&self) -> sqlx::Result<Vec<Found>> {
        let mut found = Vec::new();
        let since = Timestamp(self.now.0 - TimeDelta::hours(1));
        for row in problem::quarantined(self.db, since).await? {
            if row.count >= i64::from(self.quarantined) {
                let detail = format!("{} events quarantined or malformed", row.count);
                let problem = global(Code::Quarantine, String::new(), detail, row.since);
                found.push(Found { organization_id: row.organization_id, ..problem });
            }
        }
        for day in partition::missing(self.db).await? {
            let detail = format!("no journal partition for {day}; run `qontak-receiver migrate`");
            found.push(global(Code::Partitions, day.to_string(), detail, self.now));
        }
        Ok(found)
    }

    async fn unknown_events(&self) -> sqlx::Result<Vec<Found>> {
        let mut found = Vec::new();
        let since = Timestamp(self.now.0 - TimeDelta::days(1));
        for (organization_id, name) in problem::event_names(self.db, since).await? {
            if Kind::from_name(&name).is_some() {
                continue;
            }
            let first = problem::first_event_at(self.db, &organization_id, &name, since).await?;
            if let Some(first) = first {
                let clean = name.trim().chars().filter(|c| !c.is_control());
                let subject: String = clean.take(MAX_NAME_CHARS).collect();
                let detail = "events with a name that this version does not know".to_owned();
                let problem = global(Code::UnknownEvent, subject, detail, first);
                found.push(Found { organization_id, ..problem });
            }
        }
        Ok(found)
    }
}

/// A problem of no organisation.
fn global(code: Code, subject: String, detail: String, since: Timestamp) -> Found {
    Found { code, organization_id: String::new(), subject, detail, since }
}

/// Problem of a replica's spools.
pub fn spool(spools: &[Spool], host: &str) -> Vec<Found> {
    let mut details = Vec::new();
    let mut since = Timestamp::now();
    for spool in spools {
        let (depth, medium) = (spool.depth(), spool.medium());
        let share = depth.bytes as f64 / spool.max_bytes() as f64;
        if depth.has_failed {
            details.push(format!("the spool on {medium} cannot be written or read"));
        } else if share >= SPOOL_SHARE {
            let (events, percent) = (depth.events, share * 100.0);
            details.push(format!(
                "the spool on {medium} is {percent:.0}% full, {events} webhooks wait"
            ));
        } else {
            continue;
        }
        since = since.min(depth.oldest_at.unwrap_or(since));
    }
    if details.is_empty() {
        return Vec::new();
    }
    vec![global(Code::Spool, host.to_owned(), details.join("; "), since)]
}

/// Problem of a series that is quiet.
pub fn silence(quiet: &Quiet, now: Timestamp) -> Found {
    let Quiet { series, since, seen, expected, measure } = quiet;
    let minutes = (now.0 - since.0).num_minutes().unsigned_abs();
    let time = humantime::format_duration(Duration::from_secs(minutes * 60));
    let parts = [&series.channel, &series.kind].map(|it| it.as_deref().unwrap_or_default());
    let detail = match measure {
        Measure::Minutes => {
            format!("no event for {time}, {expected:.0} minutes with events are usual at least")
        }
        Measure::Events => format!("{seen} events within {time}, {expected:.0} are usual at least"),
    };
    Found {
        code: Code::Silence,
        organization_id: series.organization_id.clone(),
        subject: parts.join(" ").trim().to_owned(),
        detail,
        since: *since,
    }
}
