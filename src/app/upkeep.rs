//! Recurring work: schema, partitions, retention.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{Days, NaiveTime};
use metrics::gauge;
use sqlx::PgPool;
use tracing::{error, info, warn};

use super::check::{Check, State, database as check};
use super::measure::succeeded;
use super::retention;
use crate::config::{Config, Retention};
use crate::model::Timestamp;
use crate::store::event::alias;
use crate::store::{
    self, Failure, audit, batch, broadcast_log, creation, ledger, message, partition, replay,
    search,
};
use crate::telemetry::fault::Fault;

static NO_PARTITIONS: Fault = Fault::error("partitions not created");
static NOT_PREPARED: Fault = Fault::error("database not prepared");

/// Pause between two attempts to prepare a database that was unavailable at start.
const PREPARE_INTERVAL: Duration = Duration::from_secs(2);

/// Interval of the upkeep of the journal.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(3600);

/// Pause after an upkeep of the journal that failed, so that its alert ends soon after the cause.
const JOURNAL_RETRY: Duration = Duration::from_secs(300);

/// Timeout of [`keep_journal`]: a dead connection must not block the next run.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of deleting rows that reached their age; the next hour goes on.
const RETENTION_TIMEOUT: Duration = Duration::from_secs(3000);

/// Timeout of building search indexes. Journal upkeep waits meanwhile, but partitions exist for
/// days ahead.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Checks the server, brings the schema up to date, and warns of what will hurt later.
pub async fn prepare(config: &Config, db: &PgPool) -> anyhow::Result<()> {
    report(&check::connection(&config.database).await.context(store::UNREACHABLE)?)?;
    for found in check::server(config, db).await.context("database: cannot be read")? {
        report(&found)?;
    }
    let pending = store::pending_migrations(db).await.context("database: cannot be read")?;
    // Without need it would fail for a role that may not create tables.
    if config.database.migrate && pending > 0 {
        store::migrate(db).await.context("database: cannot migrate the schema")?;
    }
    report(&check::schema(db).await.context("database: cannot be read")?)?;
    if let Err(error) = make_partitions(db, &config.retention).await {
        // A role without the rights: those of the next days may exist.
        if partition::days_ahead(db).await?.is_none() && !partition::is_replaced(db).await? {
            return Err(error).context(NoPartitions);
        }
        NO_PARTITIONS.occurred(Failure::from(error));
    }
    measure_partitions(db).await?;
    batch::delete_future(db).await.context("database: cannot be written")?;
    let advice = check::advice(config, db).await?.into_iter();
    for found in advice.chain([check::partitions(db).await?, check::durability(db).await?]) {
        warn_of(&found);
    }
    Ok(())
}

/// Fails, or warns.
pub fn report(found: &Check) -> anyhow::Result<()> {
    if found.state == State::Fail {
        bail!("{}: {}", found.name, found.text);
    }
    warn_of(found);
    Ok(())
}

/// Logs a check that found something.
pub fn warn_of(found: &Check) {
    if found.state != State::Ok {
        warn!(check = found.name, problem = found.text, "check found a problem");
    }
}

/// The journal's partitions cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("database: cannot create partitions")]
struct NoPartitions;

/// Whether webhooks can be spooled until a failed start succeeds: an outage of the database may end by
/// itself, and partitions that somebody has changed can be corrected meanwhile. Wrong settings and a
/// wrong schema need a new start.
pub fn is_outage(error: &anyhow::Error) -> bool {
    error.is::<NoPartitions>()
        || error.chain().any(|cause| cause.downcast_ref().is_some_and(store::is_outage))
}

/// Creates the journal's partitions for today and the next days.
pub async fn make_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    let today = Timestamp::now().day();
    let days = (0..=retention.days_ahead).map(|ahead| today + Days::new(ahead));
    partition::create(&mut *db.acquire().await?, days).await
}

/// Prepares the database if it was unavailable at start, then maintains it once an hour. An upkeep
/// of the journal that failed is repeated sooner.
pub async fn keep_database(config: &Config, db: &PgPool, mut is_prepared: bool) -> ! {
    while !is_prepared {
        tokio::time::sleep(PREPARE_INTERVAL).await;
        match prepare(config, db).await {
            Ok(()) => is_prepared = true,
            Err(cause) => NOT_PREPARED.occurred(format_args!("{cause:#}")),
        }
    }
    let mut interval = tokio::time::interval(JOURNAL_INTERVAL);
    loop {
        interval.tick().await;
        match store::within(JOURNAL_TIMEOUT, keep_journal(db, config)).await {
            Ok(()) => succeeded("journal"),
            Err(cause) => {
                error!(error = %Failure::from(cause), "journal upkeep failed");
                interval.reset_after(JOURNAL_RETRY);
            }
        }
        let aged = retention::run_at_quiet_times(db, config);
        match store::within(RETENTION_TIMEOUT, aged).await {
            Ok(()) => succeeded("retention"),
            Err(cause) => error!(error = %Failure::from(cause), "rows of their age not deleted"),
        }
        // Measured at start too, by `prepare`.
        if let Ok(found) = store::within(JOURNAL_TIMEOUT, check::clock(db)).await {
            warn_of(&found);
        }
        if config.database.migrate {
            let sync = search::sync_indexes(db, config.search.enabled);
            if let Err(cause) = store::within(SEARCH_TIMEOUT, sync).await {
                error!(error = %Failure::from(cause), "search indexes not prepared");
            }
        }
    }
}

/// Creates partitions ahead, drops old ones, and merges the counters that each writer keeps, and the
/// messages of unknown organisations that two writers stored at the same time. A failed step does not
/// prevent the next ones.
async fn keep_journal(db: &PgPool, config: &Config) -> sqlx::Result<()> {
    let steps = [
        keep_partitions(db, &config.retention).await,
        batch::delete_expired(db, config.stream.keep).await.map(drop),
        ledger::compact(db).await,
        audit::delete_expired(db, config.audit.days).await,
        replay::delete_expired(db).await,
        creation::delete_expired(db).await,
        message::claim(db).await,
        message::count::compact(db).await,
        broadcast_log::count::compact(db).await,
        broadcast_log::hour_count::compact(db).await,
    ];
    steps.into_iter().collect()
}

async fn measure_partitions(db: &PgPool) -> sqlx::Result<()> {
    let ahead = partition::days_ahead(db).await?;
    gauge!("qontak_receiver_partitions_ahead").set(ahead.map_or(-1.0, |days| days as f64));
    Ok(())
}

async fn keep_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    for problem in partition::problems(db).await? {
        error!(problem, "journal partitions were changed by hand");
    }
    let made = make_partitions(db, retention).await;
    measure_partitions(db).await?;
    made?;
    // The earlier of two clocks: one that is ahead must not drop days too soon.
    let now = store::clock(db).await?.min(Timestamp::now());
    let oldest = now.day() - Days::new(retention.event_days);
    let dropped = partition::drop_before(db, oldest).await?;
    alias::delete_before(db, Timestamp(oldest.and_time(NaiveTime::MIN).and_utc())).await?;
    if !dropped.is_empty() {
        info!(days = dropped.len(), "dropped old journal partitions");
    }
    Ok(())
}
