//! Migrations, and checks of the server: durability settings and clock.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgPool};

use super::erase;
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

/// The schema of a database, compared with the migrations of this program.
#[derive(Debug, Default)]
pub struct Schema {
    /// Number of migrations that are not applied.
    pub pending: usize,
    /// Newest migration of a newer program.
    pub newer: Option<i64>,
    /// Oldest migration that was changed after it was applied.
    pub changed: Option<i64>,
}

/// Compares the schema with the migrations of this program.
pub async fn assess_schema(pool: &PgPool) -> sqlx::Result<Schema> {
    let table =
        sqlx::query_scalar!("select to_regclass('_sqlx_migrations')::text").fetch_one(pool).await?;
    let applied: BTreeMap<i64, Vec<u8>> = match table {
        None => BTreeMap::new(),
        Some(_) => sqlx::query!("select version, checksum from _sqlx_migrations where success")
            .fetch_all(pool)
            .await?
            .into_iter()
            .map(|row| (row.version, row.checksum))
            .collect(),
    };
    let mut schema = Schema::default();
    let mut newest = 0;
    for migration in migrator().iter() {
        newest = migration.version;
        match applied.get(&migration.version) {
            None => schema.pending += 1,
            Some(checksum) if checksum[..] != migration.checksum[..] => {
                schema.changed = schema.changed.or(Some(migration.version));
            }
            Some(_) => {}
        }
    }
    schema.newer = applied.keys().copied().filter(|version| *version > newest).max();
    Ok(schema)
}

/// Counts pending migrations.
pub async fn pending_migrations(pool: &PgPool) -> sqlx::Result<usize> {
    Ok(assess_schema(pool).await?.pending)
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

/// Lists tables that somebody has made unlogged: a crash of the server empties them. Another application may
/// have unlogged tables of its own beside them.
pub async fn unlogged_tables(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
            select relname::text as "relname!"
            from pg_class
            where relnamespace = (select relnamespace from pg_class where oid = to_regclass('event'))
                and relkind = 'r'
                and relpersistence = 'u'
                and (relname = 'organization' or relname = any($1) or oid in (
                    select inhrelid from pg_inherits where inhparent = to_regclass('event')
                ))
            order by relname
        "#,
        &erase::TABLES.map(|(table, _)| table.to_owned()) as _,
    )
    .fetch_all(pool)
    .await
}

/// Returns the time of the database server's clock.
pub async fn clock(pool: &PgPool) -> sqlx::Result<Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}
