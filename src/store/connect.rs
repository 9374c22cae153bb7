//! Connections to Postgres, and the timeouts that every use of one has.

use std::io;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};

use crate::config;

/// A connection for a command. Nothing is connected before the first use.
pub fn connect(settings: &config::Database) -> sqlx::Result<PgPool> {
    Ok(pool(settings, 1).connect_lazy_with(options(settings)?))
}

/// Connections for the read API, at most `connections` of them.
///
/// Its statements have filters that may be absent (`$1 is null or …`). A plan for any parameters,
/// which Postgres thinks of after the fifth time, has to reckon with all of them: it cannot begin
/// at a cursor, so page 10,000 would be found by walking there. So each is planned anew.
///
/// Each question has its index, but Postgres takes every organisation and every word for an average
/// one, and for a rare one it would rather read the whole table. So it is kept from that; and from
/// what pays for long statements only: compiling them, and several processes.
pub fn connect_to_read(settings: &config::Database, connections: u32) -> sqlx::Result<PgPool> {
    let options = options(settings)?.options([
        ("plan_cache_mode", "force_custom_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
    ]);
    let limit = liveness_timeout(settings.acquire_timeout);
    Ok(pool(settings, connections)
        .before_acquire(move |connection, _| Box::pin(answers(connection, limit)))
        .connect_lazy_with(options))
}

/// What stays as it is while one looks at it, for answers of several statements.
pub async fn snapshot(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    db.begin_with("begin isolation level repeatable read, read only").await
}

/// How long it is waited for a connection to answer: half of the time that there is to get one, so
/// that the other half is left to replace it.
pub fn liveness_timeout(acquire_timeout: Duration) -> Duration {
    acquire_timeout / 2
}

fn pool(settings: &config::Database, connections: u32) -> PgPoolOptions {
    let limit = liveness_timeout(settings.acquire_timeout);
    PgPoolOptions::new()
        .max_connections(connections)
        // The default of 30 s turns a slow database into a pile of stuck requests.
        .acquire_timeout(settings.acquire_timeout)
        // A pinned old connection keeps the memory of every statement it ever prepared.
        .max_lifetime(Duration::from_secs(30 * 60))
        .after_connect(|connection, _| Box::pin(make_durable(connection)))
        // sqlx asks as well, but without a limit: a dead link would cost a request all of its
        // time, and one that is given back would never be free again. (It still asks after
        // `after_release`: a link that dies within that round trip is only ended by TCP.)
        .test_before_acquire(false)
        .after_release(move |connection, _| Box::pin(answers(connection, limit)))
}

/// Whether there is still somebody at the other end. An error has the connection closed at once.
async fn answers(connection: &mut PgConnection, limit: Duration) -> sqlx::Result<bool> {
    within(limit, connection.ping()).await?;
    Ok(true)
}

/// Gives up after `limit`: the other end may be gone without a word, and then an answer would be
/// waited for without end.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let worked = tokio::time::timeout(limit, work).await;
    worked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// What to do if [`reach`] fails.
pub const UNREACHABLE: &str =
    "database: cannot be reached; check DATABASE_URL and that Postgres runs";

/// Timeout of [`reach`].
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects once, without a pool: the error of a pool would only say that it timed out.
pub async fn reach(settings: &config::Database) -> sqlx::Result<()> {
    let options = options(settings)?;
    within(REACH_TIMEOUT, PgConnection::connect_with(&options)).await?;
    Ok(())
}

/// Options of every connection. Fails if `database.url` cannot be parsed.
pub fn options(settings: &config::Database) -> sqlx::Result<PgConnectOptions> {
    let url = settings.url.as_ref().map_or("", |url| url.expose_secret());
    let timeout = settings.statement_timeout.as_millis();
    Ok(url
        .parse::<PgConnectOptions>()?
        .application_name("qontak-receiver")
        .options([
            ("statement_timeout", timeout.to_string().as_str()),
            // A row that somebody else has locked must not hold up its neighbours for long.
            ("lock_timeout", "300ms"),
            // The locks of a replica that died without a word go with its session.
            ("idle_in_transaction_session_timeout", "10s"),
            // Times in logs and in psql sessions of this service are UTC.
            ("timezone", "UTC"),
        ])
        .disable_statement_logging())
}

/// A 2xx promises that the event is on disk, whatever the server's default.
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
