//! Dry run of a write: runs the transaction, compares the rows before and after, and rolls back.
//!
//! It runs the real statements, so it cannot disagree with a real write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use super::connect::within;
use super::event::Stored;
use super::failure::Failure;
use super::ingest::ingest;
use crate::event::{Changes, Event};

/// A row that would be inserted or changed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Name of the table.
    pub table: &'static str,
    /// Primary key, joined by spaces.
    pub key: String,
    /// Columns that would change; empty if the row is new.
    pub columns: Vec<String>,
}

impl Difference {
    /// Whether the row is one that these changes change.
    pub fn is_of(&self, changes: &Changes) -> bool {
        let mut ids = ids(changes, self.table).into_iter();
        ids.any(|id| {
            self.key.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    }

    /// Whether the row is new, or a column changes that is more than bookkeeping of merges.
    pub fn is_visible(&self) -> bool {
        const BOOKKEEPING: [&str; 5] = ["key", "keys", "fields", "text_rank", "last_error_key"];
        let is_bookkeeping = |column: &String| BOOKKEEPING.contains(&column.as_str());
        self.columns.is_empty() || !self.columns.iter().all(is_bookkeeping)
    }
}

/// Column that every write sets.
const INTERNAL: &str = "reached_before";

/// Projections: table, column that is searched for ids of an event, primary key.
const TABLES: [(&str, &str, &[&str]); 7] = [
    ("room", "room_id", &["room_id", "organization_id"]),
    ("room_event", "room_id", &["room_id", "organization_id", "type", "mark"]),
    ("message", "message_id", &["message_id", "organization_id"]),
    ("sender", "sender_id", &["sender_id", "organization_id"]),
    ("broadcast", "broadcast_id", &["broadcast_id", "organization_id"]),
    ("broadcast_log", "log_id", &["log_id", "organization_id"]),
    ("catalog_state", "id", &["id", "organization_id", "kind", "event_id"]),
];

type Rows = BTreeMap<(&'static str, String), Map<String, Value>>;

/// Writes events like [`WriterConnection::write`](super::WriterConnection::write), rolls back, and
/// returns what would have changed.
pub async fn dry_run(
    pool: &PgPool,
    limit: Duration,
    events: &[Event],
) -> Result<(Vec<Stored>, Vec<Difference>), Failure> {
    let result = async {
        let mut transaction = pool.begin().await?;
        let before = rows(&mut transaction, events).await?;
        // No facets: they are not compared.
        let stored = ingest(&mut transaction, Uuid::nil(), events, &BTreeSet::new()).await?;
        let after = rows(&mut transaction, events).await?;
        transaction.rollback().await?;
        Ok((stored, differences(&before, after)))
    };
    Ok(within(limit, result).await?)
}

/// Fetches the rows that these events may change.
async fn rows(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<Rows> {
    let mut found = Rows::new();
    for (table, column, key) in TABLES {
        let ids: BTreeSet<&str> =
            events.iter().flat_map(|event| ids(&event.changes, table)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let sql = format!("select to_jsonb(t) from {table} as t where {column} = any($1)");
        // Safe: the table and column names are constants.
        let rows: Vec<Value> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(ids).fetch_all(&mut *db).await?;
        for row in rows {
            if let Value::Object(row) = row {
                let part = |name: &&str| row[*name].as_str().unwrap_or_default();
                let key: Vec<&str> = key.iter().map(part).collect();
                found.insert((table, key.join(" ").trim_end().to_owned()), row);
            }
        }
    }
    Ok(found)
}

/// Collects the ids that changes contain for a table.
fn ids<'a>(changes: &'a Changes, table: &str) -> Vec<&'a str> {
    fn all<'a, T>(rows: &'a [T], id: impl Fn(&'a T) -> &'a String) -> Vec<&'a str> {
        rows.iter().map(|row| id(row).as_str()).collect()
    }
    match table {
        "room" => all(&changes.rooms, |row| &row.room_id),
        "room_event" => all(&changes.room_events, |row| &row.room_id),
        "message" => all(&changes.messages, |row| &row.message_id),
        "sender" => all(&changes.senders, |row| &row.sender_id),
        "broadcast" => all(&changes.broadcasts, |row| &row.broadcast_id),
        "catalog_state" => all(&changes.catalog_states, |row| &row.id),
        _ => all(&changes.broadcast_logs, |row| &row.log_id),
    }
}

fn differences(before: &Rows, after: Rows) -> Vec<Difference> {
    let difference = |((table, key), row): ((&'static str, String), Map<String, Value>)| {
        let row_key = (table, key);
        let columns = match before.get(&row_key) {
            None => Vec::new(),
            Some(old) => {
                let is_changed = |(name, value): &(&String, &Value)| {
                    *name != INTERNAL && old.get(*name) != Some(*value)
                };
                let columns: Vec<String> =
                    row.iter().filter(is_changed).map(|(name, _)| name.clone()).collect();
                if columns.is_empty() {
                    return None;
                }
                columns
            }
        };
        Some(Difference { table, key: row_key.1, columns })
    };
    after.into_iter().filter_map(difference).collect()
}
