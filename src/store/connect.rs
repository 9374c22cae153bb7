//! Connections to Postgres, and the timeouts of every use of one.
//!
//! A connection can die without a sign, so nothing waits without a limit: connecting, health checks
//! and statements each have a timeout.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};

use super::{generic_plan, primary};
use crate::config;

/// Creates a pool of one connection for a command. It connects on first use.
pub fn connect(settings: &config::Database) -> sqlx::Result<PgPool> {
    Ok(pool(settings, 1).connect_lazy_with(options(settings)?))
}

/// Creates the pool of everything that calls Qontak's API: the watch, tokens, and a backfill with its
/// lock.
pub fn connect_for_qontak(settings: &config::Database) -> sqlx::Result<PgPool> {
    Ok(pool(settings, 3).connect_lazy_with(options(settings)?))
}

/// Creates the pool of the read API, with at most `connections` connections.
///
/// Filters are optional (`$1 is null or …`). A generic plan, which Postgres may choose from the
/// sixth execution on, cannot start an index scan at the cursor, so a deep page would scan all
/// pages before it. `force_custom_plan` plans each execution with its parameters. Statements that fetch
/// rows by their keys have generic plans, see `generic_plan.rs`.
///
/// Every query has an index, but the planner assumes average selectivity and may choose a
/// sequential scan for a rare organisation or word, so sequential scans are disabled. JIT
/// compilation and parallel workers only pay for long statements.
pub fn connect_to_read(settings: &config::Database, connections: u32) -> sqlx::Result<PgPool> {
    let limit = liveness_timeout(settings.acquire_timeout);
    let has_standby = settings.servers().len() > 1;
    Ok(pool(settings, connections)
        .after_connect(|connection, _| {
            Box::pin(async {
                make_durable(connection).await?;
                generic_plan::choose(connection).await
            })
        })
        .before_acquire(move |connection, _| Box::pin(is_usable(connection, limit, has_standby)))
        .connect_lazy_with(read_options(settings)?))
}

/// Returns the options of the connections of the read API.
pub fn read_options(settings: &config::Database) -> sqlx::Result<PgConnectOptions> {
    Ok(options(settings)?.options([
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
    ]))
}

/// Begins a read-only snapshot, for responses that need several consistent statements.
///
/// In a task of its own: if `begin` is cancelled, sqlx returns its connection to the pool within the
/// transaction.
#[expect(clippy::disallowed_methods, reason = "the task ends with its statement")]
pub async fn snapshot(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let db = db.clone();
    let begin = tokio::spawn(async move {
        db.begin_with("begin isolation level repeatable read, read only").await
    });
    // The task is cancelled only while the process stops.
    begin.await.unwrap_or(Err(sqlx::Error::PoolClosed))
}

/// Begins a read-only snapshot for statements that fetch rows by their keys.
pub async fn begin_key_reads(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = snapshot(db).await?;
    generic_plan::use_generic_plans(&mut transaction).await?;
    Ok(transaction)
}

/// Timeout of a ping: half of `acquire_timeout`, so that the other half is left to replace a dead
/// connection.
pub fn liveness_timeout(acquire_timeout: Duration) -> Duration {
    acquire_timeout / 2
}

fn pool(settings: &config::Database, connections: u32) -> PgPoolOptions {
    let limit = liveness_timeout(settings.acquire_timeout);
    let has_standby = settings.servers().len() > 1;
    PgPoolOptions::new()
        .max_connections(connections)
        // With the default of 30 s, requests pile up behind a slow database.
        .acquire_timeout(settings.acquire_timeout)
        // A session keeps the memory of every statement that it has prepared.
        .max_lifetime(Duration::from_secs(30 * 60))
        .after_connect(|connection, _| Box::pin(make_durable(connection)))
        // sqlx's own test has no timeout: a dead connection would use up the time of a request, and
        // after a release it would never return to the pool. (sqlx still pings once more after
        // `after_release`; a connection that dies within that round trip is only ended by TCP.)
        .test_before_acquire(false)
        .after_release(move |connection, metadata| {
            // As good as a random number.
            let is_checked = metadata.age.subsec_micros() % CHECKED_RELEASES == 0;
            Box::pin(is_kept(connection, limit, has_standby, is_checked))
        })
}

/// Pings a connection. On an error the pool closes it, and if its server has become a standby.
async fn is_usable(
    connection: &mut PgConnection,
    limit: Duration,
    has_standby: bool,
) -> sqlx::Result<bool> {
    if has_standby {
        return within(limit, primary::is_primary(connection)).await;
    }
    within(limit, connection.ping()).await?;
    Ok(true)
}

/// One of so many releases looks at the settings of the session: a statement, which takes more than the ping of
/// the others.
const CHECKED_RELEASES: u32 = 16;

/// Whether a released connection returns to the pool.
///
/// A session that began while `default_transaction_read_only` was set keeps that value after the setting is
/// reset. A standby is read-only anyway, and a role for reading may have the setting on purpose there.
async fn is_kept(
    connection: &mut PgConnection,
    limit: Duration,
    has_standby: bool,
    is_checked: bool,
) -> sqlx::Result<bool> {
    if has_standby || !is_checked {
        return is_usable(connection, limit, has_standby).await;
    }
    let is_kept = sqlx::query_scalar!(
        r#"
            select
                pg_is_in_recovery()
                or not current_setting('default_transaction_read_only')::boolean as "is_kept!"
        "#
    );
    within(limit, is_kept.fetch_one(connection)).await
}

/// Runs `work` with a timeout, because a dead connection may never return an error.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let result = tokio::time::timeout(limit, work).await;
    result.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Error message for a failed [`check_connection`].
pub const UNREACHABLE: &str =
    "database unreachable; check DATABASE_URL and that Postgres is running";

/// Timeout of connecting in [`check_connection`] and in [`connect_twice`](super::server::connect_twice).
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects once, without a pool: a pool would hide the cause behind its timeout error.
pub async fn check_connection(settings: &config::Database) -> sqlx::Result<()> {
    let options = options(settings)?;
    within(CHECK_TIMEOUT, PgConnection::connect_with(&options)).await?;
    Ok(())
}

/// `lock_timeout` of every session: a locked row must not delay the rest of a batch for long.
pub const LOCK_TIMEOUT: &str = "300ms";

/// Returns the options of every connection to the server in use. Fails if `database.url` is not set.
pub fn options(settings: &config::Database) -> sqlx::Result<PgConnectOptions> {
    let server = settings.servers().into_iter().nth(settings.primary.get());
    let server = server.ok_or_else(|| sqlx::Error::Configuration("no database.url".into()))?;
    let timeout = settings.statement_timeout.as_millis();
    Ok(server
        .application_name("qontak-receiver")
        .options([
            ("statement_timeout", timeout.to_string().as_str()),
            ("lock_timeout", LOCK_TIMEOUT),
            // Releases the locks of a replica whose connection died silently.
            ("idle_in_transaction_session_timeout", "10s"),
            ("timezone", "UTC"),
        ])
        .disable_statement_logging())
}

/// Enables `synchronous_commit` if the server's default is weaker: a 2xx promises that the event is
/// on disk.
pub async fn make_durable(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            select set_config(
                'synchronous_commit',
                case
                    when setting in ('off', 'local') then 'on'
                    else setting
                end,
                false
            )
            from current_setting('synchronous_commit') as setting
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
