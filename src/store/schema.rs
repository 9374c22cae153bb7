//! The schema: migrations, and settings of the server that matter to it.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgPool};

use crate::model::Timestamp;

/// The schema this program needs.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // While a newer version is rolled out, replicas of this one go on with its schema.
    migrator.set_ignore_missing(true);
    migrator
}

/// Brings the schema up to date. Several replicas may do so at once.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
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
pub async fn durability(pool: &PgPool) -> sqlx::Result<Vec<(String, String)>> {
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
        .map(|row| (row.name, row.setting))
        .collect())
}

/// The clock of the database server.
pub async fn clock(pool: &PgPool) -> sqlx::Result<Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}
