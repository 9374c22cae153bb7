//! Generic plans for statements that fetch rows by their keys.
//!
//! Lists are planned anew each time, with their filters (custom plans). One generic plan fits all keys, and
//! planning takes longer than fetching a page, so a session makes it once. A generic plan that was made while a
//! table was nearly empty would read all of it for each key, until Postgres analyzes the table again. So a
//! session that begins while tables are small has custom plans only.

use sqlx::PgConnection;

/// Chooses the plans of a new session for statements that fetch rows by their keys: generic ones if the tables
/// have 1,000 rows or more, as far as Postgres has counted them. Table `broadcast_log` may also be unused.
pub async fn choose(session: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            select set_config(
                'receiver.key_read_plans',
                case
                    when bool_and(reltuples >= 1000 or relname = 'broadcast_log' and reltuples < 0)
                        then 'force_generic_plan'
                    else 'force_custom_plan'
                end,
                false
            )
            from pg_class
            where oid in (
                to_regclass('message'), to_regclass('room'), to_regclass('sender'),
                to_regclass('message_channel_id'), to_regclass('broadcast_log')
            )
        "#
    )
    .fetch_one(session)
    .await?;
    Ok(())
}

/// The following statements of a transaction fetch rows by their keys.
pub async fn use_generic_plans(transaction: &mut PgConnection) -> sqlx::Result<()> {
    // A pooler may have reset the session.
    let statement = "select set_config('plan_cache_mode', \
        coalesce(nullif(current_setting('receiver.key_read_plans', true), ''), 'force_custom_plan'), \
        true)";
    sqlx::raw_sql(statement).execute(transaction).await?;
    Ok(())
}

/// The following statements of a transaction list rows.
pub async fn use_custom_plans(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("set local plan_cache_mode = force_custom_plan").execute(transaction).await?;
    Ok(())
}
