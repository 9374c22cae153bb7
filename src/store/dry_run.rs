//! Dry run of a write: runs the transaction, compares the rows before and after, and rolls back.
//!
//! It runs the real statements, so it cannot disagree with a real write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::connect::within;
use super::event::Stored;
use super::failure::Failure;
use super::ingest::ingest;
use crate::event::{Changes, Event};

/// A row that would be inserted or changed.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Name of the table.
    pub table: &'static str,
    /// Primary key, joined by spaces.
    pub key: String,
    /// Whether the row would be inserted.
    pub is_new: bool,
    /// Columns that would change; of a new row those with a value.
    pub columns: Vec<ChangedColumn>,
}

/// A column that would change.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct ChangedColumn {
    /// Name of the column.
    pub column: String,
    /// Value now; null in a new row, and for keys without the scope `read`.
    pub before: Value,
    /// Value after the replay; null for keys without the scope `read`.
    pub after: Value,
}

impl ChangedColumn {
    /// Whether it is bookkeeping of merges.
    fn is_bookkeeping(&self) -> bool {
        const BOOKKEEPING: [&str; 5] = ["key", "keys", "fields", "text_rank", "last_error_key"];
        BOOKKEEPING.contains(&self.column.as_str())
    }
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
        self.is_new || !self.columns.iter().all(ChangedColumn::is_bookkeeping)
    }

    /// Drops columns that are bookkeeping of merges.
    pub fn drop_bookkeeping(&mut self) {
        self.columns.retain(|column| !column.is_bookkeeping());
    }

    /// Drops the values.
    pub fn hide_values(&mut self) {
        for column in &mut self.columns {
            (column.before, column.after) = (Value::Null, Value::Null);
        }
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
        // With the id of the organisation in place of its number.
        let row = match table {
            "catalog_state" => "to_jsonb(t)",
            _ => {
                "to_jsonb(t) - 'organization'
                    || jsonb_build_object('organization_id', organization_id(organization))"
            }
        };
        let sql = format!("select {row} from {table} as t where {column} = any($1)");
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
    let mut differences = Vec::new();
    for ((table, key), row) in after {
        let row_key = (table, key);
        let old = before.get(&row_key);
        let mut columns = Vec::new();
        for (column, after) in row {
            let before = old.and_then(|old| old.get(&column)).cloned().unwrap_or_default();
            if column != INTERNAL && before != after {
                columns.push(ChangedColumn { column, before, after });
            }
        }
        if old.is_none() || !columns.is_empty() {
            let (table, key) = row_key;
            differences.push(Difference { table, key, is_new: old.is_none(), columns });
        }
    }
    differences
}
