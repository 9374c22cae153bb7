//! Removal of copies that no message has any more.
//!
//! Whether one is removed is decided under its lock, which [`reserve`](super::reserve) takes too. A transaction
//! locks one copy only: one that locks two could wait for one that locks them the other way round.

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::Claim;

/// Deletes a row whose message was deleted. `remove` removes its copy, if no other message has it; if that
/// fails, it is repeated after a minute. `false` if there is no such row, or another replica deletes one.
pub async fn sweep<E: From<sqlx::Error>>(
    db: &PgPool,
    remove: impl AsyncFnOnce(String) -> Result<(), E>,
) -> Result<bool, E> {
    let mut transaction = db.begin().await?;
    let is_alone = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('media sweep', 0)) as "it!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !is_alone {
        return Ok(false);
    }
    let found = sqlx::query!(
        r#"
            select message_id, organization_id, sha256
            from media
            where state = 'deleted'
                -- Not while its copy is being written.
                and (sha256 is null or next_attempt_at <= now())
            order by next_attempt_at
            limit 1
        "#
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = found else { return Ok(false) };
    let (message_id, organization_id) = (&row.message_id, &row.organization_id);
    let removed = match &row.sha256 {
        Some(sha256) => {
            remove_unshared(&mut transaction, organization_id, message_id, sha256, remove).await
        }
        None => Ok(()),
    };
    if let Err(error) = removed {
        sqlx::query!(
            r#"
                update media
                set next_attempt_at = now() + interval '1 minute'
                where message_id = $1 and organization_id = $2
            "#,
            message_id,
            organization_id,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        return Err(error);
    }
    sqlx::query!(
        "delete from media where message_id = $1 and organization_id = $2",
        message_id,
        organization_id,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Removes the copy that an earlier attempt may have written, before [`reserve`](super::reserve) notes another one. `remove`
/// removes it, if no other message has it.
pub async fn discard<E: From<sqlx::Error>>(
    db: &PgPool,
    claim: &Claim,
    sha256: &str,
    remove: impl AsyncFnOnce(String) -> Result<(), E>,
) -> Result<(), E> {
    let mut transaction = db.begin().await?;
    let Claim { organization_id, message_id, .. } = claim;
    remove_unshared(&mut transaction, organization_id, message_id, sha256, remove).await?;
    sqlx::query!(
        r#"
            update media
            set sha256 = null
            where message_id = $1 and organization_id = $2 and state = 'waiting'
        "#,
        message_id,
        organization_id,
    )
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// Removes a copy, unless another message has it.
async fn remove_unshared<E: From<sqlx::Error>>(
    transaction: &mut PgConnection,
    organization_id: &str,
    message_id: &str,
    sha256: &str,
    remove: impl AsyncFnOnce(String) -> Result<(), E>,
) -> Result<(), E> {
    lock(&mut *transaction, sha256).await?;
    let is_shared = sqlx::query_scalar!(
        r#"
            select exists (
                select from media
                where sha256 = $1
                    and state <> 'deleted'
                    and (message_id, organization_id) <> ($2, $3)
            ) as "it!"
        "#,
        sha256,
        message_id,
        organization_id,
    )
    .fetch_one(transaction)
    .await?;
    if is_shared { Ok(()) } else { remove(sha256.to_owned()).await }
}

/// Locks a copy until the end of the transaction.
pub(super) async fn lock(db: impl PgExecutor<'_>, sha256: &str) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('media ' || $1, 0))", sha256)
        .execute(db)
        .await?;
    Ok(())
}
