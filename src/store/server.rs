//! Facts about the server and the role that can hurt later: a pooler, version, encoding, limits, rights.

use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};

use super::connect::{CHECK_TIMEOUT, LOCK_TIMEOUT, options, within};
use crate::config;

/// Oldest version that has all features: 15.
pub const OLDEST_VERSION: u32 = 150_000;

/// What is between the service and Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or nothing that matters.
    None,
    /// A pooler in transaction mode: sessions share a connection to the server.
    Transactions,
    /// A pooler that refuses or ignores the settings of a session.
    NoSettings,
}

/// What a connection shows.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// Version of the server, such as 150004.
    pub version: u32,
    /// What is in between.
    pub pooler: Pooler,
}

/// Connects without a pool, which would hide the cause of an error behind its timeout.
///
/// Two sessions, because that they have one process of the server is what shows a pooler. Uses no
/// prepared statements: a pooler in transaction mode loses them.
pub async fn connect_twice(settings: &config::Database) -> sqlx::Result<Connected> {
    let connected = within(CHECK_TIMEOUT, async {
        let options = options(settings)?;
        let mut one = options.connect().await?;
        let version = one.server_version_num().unwrap_or(u32::MAX);
        let mut other = options.connect().await?;
        let pooler = match () {
            () if shares_process(&mut one, &mut other).await? => Pooler::Transactions,
            () if text(&mut one, "show lock_timeout").await? != LOCK_TIMEOUT => Pooler::NoSettings,
            () => Pooler::None,
        };
        _ = one.close().await;
        _ = other.close().await;
        Ok(Connected { version, pooler })
    });
    match connected.await {
        // PgBouncer, unless `ignore_startup_parameters` lists them.
        Err(sqlx::Error::Database(error)) if error.message().contains("startup parameter") => {
            Ok(Connected { version: u32::MAX, pooler: Pooler::NoSettings })
        }
        connected => connected,
    }
}

/// Whether two open sessions have the same process of the server, or one of them several.
async fn shares_process(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<bool> {
    const PROCESS: &str = "select pg_backend_pid()::text";
    let (first, second) = (text(one, PROCESS).await?, text(other, PROCESS).await?);
    // A pooler with several idle connections gives out any of them.
    for _ in 0..3 {
        let changes = text(one, PROCESS).await? != first || text(other, PROCESS).await? != second;
        if first == second || changes {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn text(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<String> {
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)
}

/// Facts about the server, the database and the role.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are sufficient")]
pub struct Facts {
    pub encoding: String,
    pub role: String,
    pub is_encrypted: bool,
    /// Connections that the role may have at once.
    pub max_connections: i32,
    pub has_trigrams: bool,
}

/// Asks for the facts.
pub async fn facts(db: &PgPool) -> sqlx::Result<Facts> {
    sqlx::query_as!(
        Facts,
        r#"
            select
                current_setting('server_encoding') as "encoding!",
                current_user::text as "role!",
                exists (
                    select from pg_stat_ssl where pid = pg_backend_pid() and ssl
                ) as "is_encrypted!",
                least(
                    current_setting('max_connections')::int
                        - current_setting('superuser_reserved_connections')::int,
                    -- -1: no limit.
                    (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user),
                    (select nullif(datconnlimit, -1) from pg_database where datname = current_database())
                ) as "max_connections!",
                exists (
                    select from pg_available_extensions where name = 'pg_trgm'
                ) as "has_trigrams!"
        "#
    )
    .fetch_one(db)
    .await
}

/// Rights to create partitions of the journal.
#[derive(Debug)]
pub struct PartitionRights {
    /// The owner of the journal, if the role has not its rights.
    pub missing_owner: Option<String>,
    /// The schema, if the role may not create tables in it.
    pub missing_schema: Option<String>,
}

/// Asks for the rights that are missing to create partitions.
pub async fn partition_rights(db: &PgPool) -> sqlx::Result<PartitionRights> {
    sqlx::query_as!(
        PartitionRights,
        r#"
            select
                case when not pg_has_role(relowner, 'usage') then relowner::regrole::text end
                    as missing_owner,
                case
                    when not has_schema_privilege(relnamespace, 'create')
                        then relnamespace::regnamespace::text
                end as missing_schema
            from pg_class
            where oid = 'event'::regclass
        "#
    )
    .fetch_one(db)
    .await
}
