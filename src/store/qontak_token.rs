//! Table `qontak_token`: encrypted tokens of Qontak's API, and the lock of their refresh.

use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

use super::lock;
use crate::model::Timestamp;

/// Begins the refresh of an organisation's tokens. `None` if another replica is refreshing them. Lasts
/// until the transaction ends, also if this process dies.
pub async fn try_lock(
    db: &PgPool,
    name: &str,
) -> sqlx::Result<Option<Transaction<'static, Postgres>>> {
    let mut transaction = db.begin().await?;
    let is_locked = sqlx::query_scalar!(
        r#"
            select pg_try_advisory_xact_lock($1, hashtext($2)) as "is_locked!"
            -- A call of Qontak's API takes place within the transaction.
            from set_config('idle_in_transaction_session_timeout', '60s', true)
        "#,
        lock::TOKENS,
        name,
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(is_locked.then_some(transaction))
}

/// Reads the encrypted tokens of an organisation.
pub async fn find(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("select sealed from qontak_token where name = $1", name)
        .fetch_optional(db)
        .await
}

/// Replaces the encrypted tokens of an organisation.
pub async fn save(
    db: impl PgExecutor<'_>,
    name: &str,
    sealed: &[u8],
    expires_at: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into qontak_token (name, sealed, expires_at)
            values ($1, $2, $3)
            on conflict (name) do update
            set sealed = excluded.sealed, expires_at = excluded.expires_at, refreshed_at = now()
        "#,
        name,
        sealed,
        expires_at as _,
    )
    .execute(db)
    .await?;
    Ok(())
}
