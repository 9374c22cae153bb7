//! Table `api_key`: keys of the read API, created with `qontak-receiver key create`.
//!
//! Only the SHA-256 of a key is stored, also of one that signs requests. Keys from the settings are not
//! in this table.

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::rows::column;
use crate::model::Timestamp;

/// A key to be created. `organizations` is `None` for access to all; `expires_at` is `None` for a
/// key that never expires.
#[expect(missing_docs, reason = "the columns of table api_key say it")]
pub struct NewKey {
    pub api_key_id: Uuid,
    pub name: String,
    pub sha256: [u8; 32],
    pub scopes: Vec<String>,
    pub organizations: Option<Vec<String>>,
    pub expires_at: Option<Timestamp>,
    pub is_hmac: bool,
}

/// Creates a key and returns whether it was created: `false` if a live key has the same name. An
/// expired key with this name is revoked first.
pub async fn create(pool: &PgPool, key: &NewKey) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        r#"
            update api_key
            set revoked_at = now()
            where name = $1 and revoked_at is null and expires_at <= now()
        "#,
        key.name,
    )
    .execute(&mut *transaction)
    .await?;
    let created = sqlx::query!(
        r#"
            insert into api_key (
                api_key_id, name, sha256, scopes, organizations, expires_at, is_hmac
            )
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (name) where revoked_at is null do nothing
        "#,
        key.api_key_id,
        key.name,
        &key.sha256,
        &key.scopes,
        key.organizations.as_deref(),
        key.expires_at as _,
        key.is_hmac,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(created.rows_affected() == 1)
}

/// A key with its history.
#[expect(missing_docs, reason = "the columns of table api_key say it")]
pub struct KeyRow {
    pub api_key_id: Uuid,
    pub name: String,
    pub scopes: Vec<String>,
    pub organizations: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub is_hmac: bool,
}

/// Lists all keys, also revoked and expired ones, by name and then newest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as!(
        KeyRow,
        r#"
            select
                api_key_id, name, scopes, organizations, created_at, expires_at, revoked_at,
                last_used_at, is_hmac
            from api_key
            order by name, created_at desc
        "#
    )
    .fetch_all(db)
    .await
}

/// Revokes a key for good and returns its name and id; `None` if no key with this name or id is
/// left to revoke.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    name_or_id: &str,
) -> sqlx::Result<Option<(String, Uuid)>> {
    let revoked = sqlx::query!(
        r#"
            update api_key
            set revoked_at = now()
            where revoked_at is null and (name = $1 or api_key_id = $2)
            returning name, api_key_id
        "#,
        name_or_id,
        name_or_id.parse::<Uuid>().ok(),
    )
    .fetch_optional(db)
    .await?;
    Ok(revoked.map(|row| (row.name, row.api_key_id)))
}

/// A key that is neither revoked nor expired.
#[expect(missing_docs, reason = "the columns of table api_key say it")]
pub struct LiveKey {
    pub api_key_id: Uuid,
    pub name: String,
    pub sha256: Vec<u8>,
    pub scopes: Vec<String>,
    pub organizations: Option<Vec<String>>,
    pub expires_at: Option<Timestamp>,
    pub is_hmac: bool,
}

/// Lists all live keys.
pub async fn list_live(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<LiveKey>> {
    sqlx::query_as!(
        LiveKey,
        r#"
            select api_key_id, name, sha256, scopes, organizations, expires_at, is_hmac
            from api_key
            where revoked_at is null and (expires_at is null or expires_at > now())
        "#
    )
    .fetch_all(db)
    .await
}

/// Updates `last_used_at`, at most once a minute per key, so that a busy key causes few writes.
pub async fn update_last_used(
    db: impl PgExecutor<'_>,
    uses: &[(Uuid, Timestamp)],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update api_key
            set last_used_at = used.at
            from unnest($1::uuid[], $2::timestamptz[]) as used (api_key_id, at)
            where api_key.api_key_id = used.api_key_id
                and (last_used_at is null or last_used_at < used.at - interval '1 minute')
        "#,
        &column(uses, |(id, _)| *id),
        &column(uses, |(_, at)| *at) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}
