//! All SQL, one file per table; here the connections and the one transaction of a batch.
//!
//! Rows are merged by Postgres, in `on conflict do update`, with rules that do not depend on
//! order; so any number of writers and replicas agree, and nothing is read before it is written.

pub mod api_key;
pub mod batch;
pub mod broadcast;
pub mod broadcast_log;
pub mod delivery;
pub mod event;
pub mod ledger;
mod link;
pub mod message;
pub mod partition;
pub mod rehearsal;
pub mod room;
pub mod room_event;
pub mod search;
pub mod sender;
pub mod trace;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::io;
use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;
use serde_json::value::RawValue;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::types::Json;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

pub use self::event::{Before, Stored, Written};
pub use self::link::Link;
use crate::config;
use crate::event::Event;
use crate::model::FoldKey;

/// The schema this program needs.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // While a newer version is rolled out, replicas of this one go on with its schema.
    migrator.set_ignore_missing(true);
    migrator
}

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
    let limit = patience(settings.acquire_timeout);
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
fn patience(acquire_timeout: Duration) -> Duration {
    acquire_timeout / 2
}

fn pool(settings: &config::Database, connections: u32) -> PgPoolOptions {
    let limit = patience(settings.acquire_timeout);
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

/// Connects once, without a pool, whose only word would be that it waited in vain. Fails with what
/// to do.
pub async fn reach(settings: &config::Database) -> anyhow::Result<()> {
    let options = options(settings)?;
    let connecting = PgConnection::connect_with(&options);
    let connected = tokio::time::timeout(Duration::from_secs(5), connecting).await;
    let help = "cannot be reached; check DATABASE_URL and that Postgres runs";
    connected.context("no answer in 5 s").and_then(|connected| Ok(connected?)).context(help)?;
    Ok(())
}

fn options(settings: &config::Database) -> sqlx::Result<PgConnectOptions> {
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
async fn make_durable(connection: &mut PgConnection) -> sqlx::Result<()> {
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

/// Brings the schema up to date. Several replicas may do so at once.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?.detach();
    // Migrations may take longer than a request may, and replicas wait for each other's.
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0")
        .execute(&mut connection)
        .await?;
    migrator().run(&mut connection).await?;
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
    Ok(migrator().iter().filter(|migration| !applied.contains(&migration.version)).count())
}

/// What of the server's settings would break the promise that a 2xx is on disk. The third one,
/// `synchronous_commit`, is set right in each session: see [`make_durable`].
pub async fn durability(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let settings = sqlx::query!(
        r#"
            select name as "name!", setting as "setting!"
            from pg_settings
            where name in ('fsync', 'full_page_writes')
            order by name
        "#
    )
    .fetch_all(pool)
    .await?;
    Ok(settings
        .into_iter()
        .filter(|row| row.setting == "off")
        .map(|row| format!("{} is {}", row.name, row.setting))
        .collect())
}

/// The clock of the database server.
pub async fn clock(pool: &PgPool) -> sqlx::Result<crate::model::Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}

/// Whether an error only says that the database is away, and may be gone later by itself: not so
/// if the settings or the schema are wrong.
pub fn is_away(error: &anyhow::Error) -> bool {
    const TEMPORARY: [&str; 5] = ["08", "25", "53", "55000", "57"];
    error.chain().any(|cause| match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(cause)) => {
            cause.code().is_some_and(|code| TEMPORARY.iter().any(|class| code.starts_with(class)))
        }
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => true,
        Some(_) => false,
        None => cause.is::<tokio::time::error::Elapsed>(),
    })
}

/// What a transaction of events does.
async fn apply(
    db: &mut PgConnection,
    writer_id: Uuid,
    events: &[Event],
) -> sqlx::Result<Vec<Stored>> {
    let stored = event::write(db, events).await?;
    let new = || {
        events
            .iter()
            .zip(&stored)
            .filter(|(_, row)| row.written.is_news())
            .map(|(event, _)| &event.changes)
    };
    room::upsert(db, new().flat_map(|changes| &changes.rooms)).await?;
    room_event::insert(db, new().flat_map(|changes| &changes.room_events)).await?;
    message::upsert(db, new().flat_map(|changes| &changes.messages)).await?;
    sender::upsert(db, new().flat_map(|changes| &changes.senders)).await?;
    broadcast::upsert(db, new().flat_map(|changes| &changes.broadcasts)).await?;
    broadcast_log::upsert(db, new().flat_map(|changes| &changes.broadcast_logs)).await?;
    let applied = events.iter().zip(&stored).filter(|(_, row)| row.is_newly_applied());
    let applied: Vec<Uuid> = applied.map(|(event, _)| event.id().0).collect();
    ledger::add(db, writer_id, events, &stored, &applied).await?;
    Ok(stored)
}

/// Why a transaction was not committed, as far as it decides what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another transaction was in the way: try again at once.
    #[error("lost a race against another transaction (code {0})")]
    Race(String),
    /// The data was refused: by Postgres, by a trigger, or by us when an answer was not what it
    /// should be. Other events may well be written.
    #[error("the data was refused (code {0})")]
    Data(String),
    /// Somebody holds a lock (this is also how most deadlocks end): fewer rows may go through, or
    /// the same ones later.
    #[error("a lock was not to be had (code {0})")]
    Blocked(String),
    /// The journal has no partition for today.
    #[error("the journal has no partition for the day")]
    NoPartition,
    /// The database cannot be reached, or takes nothing from anybody: it may work later.
    #[error("{0}")]
    Away(String),
}

/// SQLSTATEs, or their classes, that are not about the data: the connection, plans made before a
/// migration, read-only sessions, who may log in where, a schema that is not there yet, resources,
/// an operator's doing, the system. (<https://www.postgresql.org/docs/current/errcodes-appendix.html>)
const AWAY: [&str; 12] =
    ["08", "0A", "25", "26", "28", "3D", "42", "53", "55000", "57", "58", "F0"];

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                // Not the message: it may quote a value.
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                    Self::Data("decode".to_owned())
                }
                error => Self::Away(error.to_string()),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        match code.as_str() {
            "40001" | "40P01" => Self::Race(code),
            // The second one is a statement that took too long: half of its events may not.
            "55P03" | "57014" => Self::Blocked(code),
            "23514" if database.constraint().is_none() => Self::NoPartition,
            _ if AWAY.iter().any(|class| code.starts_with(class)) => {
                Self::Away(format!("database error, code {code}"))
            }
            _ => Self::Data(code),
        }
    }
}

/// Deals rows into rounds in which each key occurs once, in the order of the keys. Rows with the
/// same key are one row, unless `merge` says that it cannot.
///
/// One statement cannot touch a row twice; and writers that take rows in the same order do not
/// deadlock.
fn rounds<'a, T: Clone, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    merge: impl Fn(&mut T, &T) -> bool,
) -> Vec<Vec<Cow<'a, T>>> {
    let mut rows: Vec<&T> = rows.collect();
    // Stable: rows with one key stay in the order of arrival.
    rows.sort_by_key(|row| key(row));
    let mut rounds: Vec<Vec<Cow<'a, T>>> = Vec::new();
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let mut used = 0_usize;
        for row in group {
            let last = used.checked_sub(1).and_then(|last| rounds[last].last_mut());
            if last.is_some_and(|last| merge(last.to_mut(), row)) {
                continue;
            }
            if used == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[used].push(Cow::Borrowed(row));
            used += 1;
        }
    }
    rounds
}

/// Leaves out rows that another one with the same key outdoes: one that is newer and has every
/// field that they have. A busy room or bot would else need a round for each of its messages.
fn not_outdone<'a, T, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    says: impl Fn(&T) -> (FoldKey, i32),
) -> Vec<&'a T> {
    let mut rows: Vec<&T> = rows.collect();
    // The newest of each key first: nothing that comes later outdoes it.
    rows.sort_by_key(|row| (key(row), Reverse(says(row).0)));
    let mut kept: Vec<&T> = Vec::with_capacity(rows.len());
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let first = kept.len();
        for row in group {
            let (fold_key, fields) = says(row);
            let outdoes = |newer: &&T| {
                let (newer_key, newer_fields) = says(newer);
                fields == 0 || newer_key > fold_key && fields & !newer_fields == 0
            };
            if !kept[first..].iter().any(outdoes) {
                kept.push(row);
            }
        }
    }
    kept
}

/// One column of many rows, to be bound as an array.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// A column of JSON.
fn json(value: &Option<Box<RawValue>>) -> Option<Json<&RawValue>> {
    value.as_deref().map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_in_order() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
        let rounds = rounds(
            rows.iter(),
            |row| row.0,
            |one, other| {
                let can = other.1 % 2 == 0;
                one.1 += if can { other.1 } else { 0 };
                can
            },
        );
        let expected = [vec![("a", 2), ("b", 1)], vec![("b", 7)]];
        assert_eq!(
            rounds,
            expected.map(|round| round.into_iter().map(Cow::Owned).collect::<Vec<_>>())
        );
    }

    #[test]
    fn a_row_is_outdone_by_a_newer_one_with_all_of_its_fields() {
        let rows = [
            ("a", 1, 0b01),
            ("a", 3, 0b01),
            ("a", 2, 0b11),
            ("b", 1, 0b11),
            ("a", 3, 0b01),
            ("a", 1, 0b10),
            ("c", 0, 0),
            ("c", 0, 0),
        ];
        let says = |row: &(&str, u128, i32)| (FoldKey(Uuid::from_u128(row.1)), row.2);
        let kept = not_outdone(rows.iter(), |row| row.0, says);
        // Equal keys outdo nobody: the database decides.
        let expected =
            [&("a", 3, 0b01), &("a", 3, 0b01), &("a", 2, 0b11), &("b", 1, 0b11), &("c", 0, 0)];
        assert_eq!(kept, expected);
    }
}
