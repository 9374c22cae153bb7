//! Migrations, and checks of the server: durability settings and clock.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgPool};

use crate::model::Timestamp;

/// Returns the migrations compiled into this program.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // During a rolling update, replicas of this version run with the newer schema.
    migrator.set_ignore_missing(true);
    migrator
}

/// Runs pending migrations. Several replicas may call it at once.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?.detach();
    // Migrations may take longer than a request, and replicas wait for each other's migrations.
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0")
        .execute(&mut connection)
        .await?;
    migrator().run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Counts pending migrations.
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

/// Lists server settings, with their values, that allow a crash to lose committed events.
///
/// `synchronous_commit` is not among them: [`make_durable`](super::connect::make_durable) sets it in
/// each session.
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

/// Returns the time of the database server's clock.
pub async fn clock(pool: &PgPool) -> sqlx::Result<Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}
