//! All SQL, one file per table; here the connections and the one transaction of a batch.
//!
//! Rows are merged by Postgres, in `on conflict do update`, with rules that do not depend on
//! order; so any number of writers and replicas agree, and nothing is read before it is written.

pub mod broadcast;
pub mod broadcast_log;
pub mod event;
pub mod ledger;
pub mod message;
pub mod partition;
pub mod room;
pub mod room_event;
pub mod sender;

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::types::Json;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use uuid::Uuid;

pub use self::event::Stored;
use crate::config;
use crate::event::Event;

/// The schema this program needs.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Connections for one purpose, at most `connections` of them.
///
/// Nothing is connected before the first use.
pub fn connect(settings: &config::Database, connections: u32) -> sqlx::Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        // The default of 30 s turns a slow database into a pile of stuck requests.
        .acquire_timeout(settings.acquire_timeout)
        // A pinned old connection keeps the memory of every statement it ever prepared.
        .max_lifetime(Duration::from_secs(30 * 60))
        .connect_lazy_with(options(settings)?))
}

fn options(settings: &config::Database) -> sqlx::Result<PgConnectOptions> {
    let url = settings.url.as_ref().map_or("", |url| url.expose_secret());
    let timeout = settings.statement_timeout.as_millis();
    Ok(url
        .parse::<PgConnectOptions>()?
        .application_name("qontak-receiver")
        .options([
            // A 2xx promises that the event is on disk, whatever the server's default.
            ("synchronous_commit", "on"),
            ("statement_timeout", &timeout.to_string()),
            // Times in logs and in psql sessions of this service are UTC.
            ("timezone", "UTC"),
        ])
        .disable_statement_logging())
}

/// Brings the schema up to date. Several replicas may do so at once.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?.detach();
    // Migrations may take longer than a request may.
    sqlx::query("set statement_timeout = 0").execute(&mut connection).await?;
    MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// How many migrations are still to be run.
pub async fn pending_migrations(pool: &PgPool) -> sqlx::Result<usize> {
    let table =
        sqlx::query_scalar!("select to_regclass('_sqlx_migrations')::text").fetch_one(pool).await?;
    let applied = match table {
        None => Vec::new(),
        Some(_) => {
            sqlx::query_scalar!("select version from _sqlx_migrations where success")
                .fetch_all(pool)
                .await?
        }
    };
    Ok(MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count())
}

/// What of the server's settings would break the promise that a 2xx is on disk.
pub async fn durability(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let settings = sqlx::query!(
        r#"
            select name as "name!", setting as "setting!"
            from pg_settings
            where name in ('fsync', 'full_page_writes', 'synchronous_commit')
            order by name
        "#
    )
    .fetch_all(pool)
    .await?;
    Ok(settings
        .into_iter()
        .filter(|row| matches!(row.setting.as_str(), "off" | "local"))
        .map(|row| format!("{} is {}", row.name, row.setting))
        .collect())
}

/// The clock of the database server.
pub async fn clock(pool: &PgPool) -> sqlx::Result<crate::model::Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}

/// Writes events and all that follows from them: all or nothing, in one transaction.
///
/// What came before changes no table again; it is only counted.
pub async fn write(pool: &PgPool, writer_id: Uuid, events: &[Event]) -> sqlx::Result<Vec<Stored>> {
    let mut transaction = pool.begin().await?;
    let db: &mut PgConnection = &mut transaction;
    let stored = event::insert(db, events).await?;
    let new = || {
        events
            .iter()
            .zip(&stored)
            .filter(|(_, row)| !row.duplicate)
            .map(|(event, _)| &event.changes)
    };
    room::upsert(db, new().flat_map(|changes| &changes.rooms)).await?;
    room_event::insert(db, new().flat_map(|changes| &changes.room_events)).await?;
    message::upsert(db, new().flat_map(|changes| &changes.messages)).await?;
    sender::upsert(db, new().flat_map(|changes| &changes.senders)).await?;
    broadcast::upsert(db, new().flat_map(|changes| &changes.broadcasts)).await?;
    broadcast_log::upsert(db, new().flat_map(|changes| &changes.broadcast_logs)).await?;
    ledger::add(db, writer_id, events, &stored).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// Why a transaction was not committed, as far as it decides what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another transaction was in the way: try again at once.
    #[error("lost a race against another transaction (code {0})")]
    Race(String),
    /// Postgres will never take this data.
    #[error("the data was refused (code {0})")]
    Data(String),
    /// The journal has no partition for today.
    #[error("the journal has no partition for the day")]
    NoPartition,
    /// The database cannot be reached, refuses, or a statement is wrong: it may work later.
    #[error("{0}")]
    Away(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self::Away(error.to_string());
        };
        let code = database.code().unwrap_or_default().into_owned();
        match code.as_str() {
            "40001" | "40P01" => Self::Race(code),
            "23514" if database.constraint().is_none() => Self::NoPartition,
            // Data exception, integrity constraint, program limit (an index row too large).
            _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => Self::Data(code),
            // Not the whole message: it may quote a value.
            _ => Self::Away(format!("database error, code {code}")),
        }
    }
}

/// Deals rows into rounds in which each key occurs once, in the order of the keys.
///
/// One statement cannot touch a row twice; and writers that take rows in the same order do not
/// deadlock.
fn rounds<'a, T: 'a, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Vec<Vec<&'a T>> {
    let mut rows: Vec<&T> = rows.collect();
    // Stable: rows with one key stay in the order of arrival.
    rows.sort_by_key(|row| key(row));
    let mut rounds: Vec<Vec<&T>> = Vec::new();
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        for (i, row) in group.iter().enumerate() {
            if i == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[i].push(row);
        }
    }
    rounds
}

/// One column of many rows, to be bound as an array.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// A column of JSON.
fn json(value: &Option<serde_json::Value>) -> Option<Json<&serde_json::Value>> {
    value.as_ref().map(Json)
}

/// A list as one text, because `unnest` flattens arrays of arrays. Split by `string_to_array`.
fn joined(list: &Option<Vec<String>>) -> Option<String> {
    const SEPARATOR: char = '\u{1f}';
    let list = list.as_ref()?.iter().map(|element| element.replace(SEPARATOR, ""));
    Some(list.filter(|element| !element.is_empty()).collect::<Vec<_>>().join("\u{1f}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_in_order() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
        let rounds = rounds(rows.iter(), |row| row.0);
        let expected = [vec![&("a", 2), &("b", 1)], vec![&("b", 3)], vec![&("b", 4)]];
        assert_eq!(rounds, expected);
    }
}
