//! Table `lease`: recurring work that one replica does at a time.

use std::time::Duration;

use sqlx::PgExecutor;

/// Takes a lease for this long. `false` if another replica has it.
pub async fn take(db: impl PgExecutor<'_>, name: &str, time: Duration) -> sqlx::Result<bool> {
    let taken = sqlx::query!(
        r#"
            insert into lease (name, expires_at)
            values ($1, now() + make_interval(secs => $2))
            on conflict (name) do update
            set expires_at = excluded.expires_at
            where lease.expires_at <= now()
        "#,
        name,
        time.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Lets the next replica have the lease after this time. Only its holder may call it.
pub async fn shorten(db: impl PgExecutor<'_>, name: &str, time: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update lease set expires_at = now() + make_interval(secs => $2) where name = $1",
        name,
        time.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}
