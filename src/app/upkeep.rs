//! Recurring work: schema, partitions, retention, and aggregation of metrics.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{Days, NaiveTime};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tracing::{error, info, warn};

use crate::config::{Config, Retention};
use crate::ingest::spool::Spool;
use crate::model::Timestamp;
use crate::store::event::alias;
use crate::store::{self, Failure, batch, broadcast_log, ledger, message, partition, search};
use crate::telemetry::fault::{Fault, end_quiet_faults};

static NOT_PREPARED: Fault = Fault::error("database not prepared");

/// Pause between two attempts to prepare a database that was unavailable at start.
const PREPARE_INTERVAL: Duration = Duration::from_secs(2);

/// Interval of the upkeep of the journal.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(3600);

/// Timeout of [`keep_journal`]: a dead connection must not block the next run.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of building search indexes. Journal upkeep waits meanwhile, but partitions exist for
/// days ahead.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Interval of [`keep_metrics`].
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Brings the schema up to date and warns if the server's settings weaken durability.
pub async fn prepare(config: &Config, db: &PgPool) -> anyhow::Result<()> {
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    if config.database.migrate {
        store::migrate(db).await.context("database: cannot migrate the schema")?;
    }
    let pending = store::pending_migrations(db).await.context("database: cannot be read")?;
    if pending > 0 {
        bail!("database: {pending} pending migration(s); run `qontak-receiver migrate`");
    }
    make_partitions(db, &config.retention).await.context(NoPartitions)?;
    batch::delete_future(db).await.context("database: cannot be written")?;
    for (setting, value) in store::durability(db).await? {
        warn!(
            setting,
            value, "durability setting is weakened, acknowledged events can be lost in a crash"
        );
    }
    Ok(())
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

/// Prepares the database if it was unavailable at start, then maintains it once an hour. Failures
/// are retried the next hour: partitions exist for days ahead.
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
        if let Err(cause) = store::within(JOURNAL_TIMEOUT, keep_journal(db, config)).await {
            error!(error = %Failure::from(cause), "journal upkeep failed");
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
        message::claim(db).await,
        message::count::compact(db).await,
        broadcast_log::count::compact(db).await,
        broadcast_log::hour_count::compact(db).await,
    ];
    steps.into_iter().collect()
}

async fn keep_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    for problem in partition::problems(db).await? {
        error!(problem, "journal partitions were changed by hand");
    }
    make_partitions(db, retention).await?;
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

/// Aggregates metrics regularly, because the recorder keeps raw samples until a scrape, which may
/// never come, and logs the end of faults.
pub async fn keep_metrics(metrics: PrometheusHandle, spool: Option<Spool>) {
    let mut interval = tokio::time::interval(METRICS_INTERVAL);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
        end_quiet_faults();
        if let Some(spool) = &spool {
            spool.test_if_failed().await;
            spool.measure();
        }
    }
}
