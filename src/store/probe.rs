//! Test of whether the journal can be written, for readiness and `check`.

use sqlx::PgExecutor;

/// Fails if the journal cannot be written: the database is read-only, the table is locked, a
/// privilege is missing. Writes nothing.
pub async fn test_write(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    // Postgres locks the table and checks the rest before it looks for rows.
    sqlx::query!("update event set deliveries = deliveries where false").execute(db).await?;
    Ok(())
}
