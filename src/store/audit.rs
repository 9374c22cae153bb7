//! Table `audit`: who exported, replayed, erased, created at Qontak and, if wanted, read what.

use chrono::{TimeDelta, Utc};
use sqlx::PgExecutor;
use strum::IntoStaticStr;
use uuid::Uuid;

use crate::model::Timestamp;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// A request for data.
    Read,
    /// A list as a file.
    Export,
    /// Events were processed again, or that was stopped.
    Replay,
    /// A person or an organisation was erased.
    Erase,
    /// A template or contact list was created at Qontak.
    Create,
}

/// A row.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of table audit say it")]
pub struct Entry {
    pub key_name: String,
    pub action: Action,
    pub target: String,
    pub status: i32,
}

/// Inserts a row.
pub async fn insert(db: impl PgExecutor<'_>, entry: &Entry) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into audit (audit_id, at, key_name, action, target, status)
            values ($1, $2, $3, $4, $5, $6)
        "#,
        Uuid::now_v7(),
        Timestamp::now() as _,
        entry.key_name,
        <&str>::from(entry.action),
        entry.target,
        entry.status,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes rows that are older.
pub async fn delete_expired(db: impl PgExecutor<'_>, days: u64) -> sqlx::Result<()> {
    let days = i64::try_from(days).unwrap_or(i64::MAX / 1_000_000_000);
    let before = Timestamp(Utc::now() - TimeDelta::days(days));
    sqlx::query!("delete from audit where at < $1", before as _).execute(db).await?;
    Ok(())
}
