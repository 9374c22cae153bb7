//! Tables `qontak_backfill` and `qontak_coverage`: where an interrupted backfill goes on, and since when
//! webhooks are missing. One process at a time backfills an organisation.

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::lock;
use crate::model::Timestamp;

/// A walk through one of Qontak's lists.
#[derive(Clone, Copy, Debug)]
pub struct WalkKey<'a> {
    /// Name of the organisation in the settings.
    pub name: &'a str,
    /// The list.
    pub kind: &'a str,
    /// Start of the period.
    pub from: Timestamp,
    /// End of the period.
    pub to: Timestamp,
}

/// Where a walk goes on.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Cursor of the next page.
    pub cursor: Option<String>,
    /// Whether the list is complete.
    pub is_done: bool,
}

/// Locks the backfill of an organisation as long as the returned connection is open. `None` if another
/// process has locked it.
pub async fn try_lock(db: &PgPool, name: &str) -> sqlx::Result<Option<PgConnection>> {
    let mut connection = db.acquire().await?.detach();
    let is_locked = sqlx::query_scalar!(
        r#"select pg_try_advisory_lock($1, hashtext($2)) as "is_locked!""#,
        lock::BACKFILL,
        name,
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(is_locked.then_some(connection))
}

/// End of an organisation's backfill with this start that is not complete.
pub async fn open_until(
    db: impl PgExecutor<'_>,
    name: &str,
    from: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        r#"
            select to_at as "to: Timestamp"
            from qontak_backfill
            where name = $1 and from_at = $2
            limit 1
        "#,
        name,
        from as _,
    )
    .fetch_optional(db)
    .await
}

/// Where a walk of this period goes on; at the beginning if another period was walked before.
pub async fn resume(db: impl PgExecutor<'_>, key: WalkKey<'_>) -> sqlx::Result<Checkpoint> {
    let known = sqlx::query_as!(
        Checkpoint,
        r#"
            select cursor, is_done
            from qontak_backfill
            where name = $1 and kind = $2 and from_at = $3 and to_at = $4
        "#,
        key.name,
        key.kind,
        key.from as _,
        key.to as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(known.unwrap_or_default())
}

/// Stores where a walk goes on.
pub async fn save(
    db: impl PgExecutor<'_>,
    key: WalkKey<'_>,
    checkpoint: &Checkpoint,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into qontak_backfill (name, kind, from_at, to_at, cursor, is_done)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (name, kind, from_at) do update set
                to_at = excluded.to_at, cursor = excluded.cursor, is_done = excluded.is_done,
                updated_at = now()
        "#,
        key.name,
        key.kind,
        key.from as _,
        key.to as _,
        checkpoint.cursor.as_deref(),
        checkpoint.is_done,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the checkpoints of a backfill that is complete.
pub async fn finish(db: impl PgExecutor<'_>, name: &str, from: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from qontak_backfill where name = $1 and from_at = $2", name, from as _)
        .execute(db)
        .await?;
    Ok(())
}

/// Until when an organisation's webhooks arrived without a gap; `None` if that was never stored.
pub async fn covered_at(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        r#"select covered_at as "at: Timestamp" from qontak_coverage where name = $1"#,
        name,
    )
    .fetch_optional(db)
    .await
}

/// Stores until when an organisation's webhooks arrived without a gap, or were backfilled.
pub async fn cover(db: impl PgExecutor<'_>, name: &str, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into qontak_coverage (name, covered_at)
            values ($1, $2)
            on conflict (name) do update
            set covered_at = greatest(qontak_coverage.covered_at, excluded.covered_at)
        "#,
        name,
        at as _,
    )
    .execute(db)
    .await?;
    Ok(())
}
