//! Table `qontak_hook`: webhook settings at Qontak, as of the last check.

use serde::Serialize;
use sqlx::{PgExecutor, PgPool};
use utoipa::ToSchema;

use super::rows::column;
use crate::model::Timestamp;

/// Setting of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = QontakHook)]
pub struct HookRow {
    /// Name of the organisation in the settings of this service.
    pub name: String,
    /// Event that can be switched on.
    pub event: String,
    /// Category of the event; its URLs receive all events of the category that are on.
    pub category: String,
    /// Whether the event is on for the organisation.
    pub is_enabled: bool,
    /// Whether this service wants the event.
    pub is_wanted: bool,
    /// How often the URL of this service is registered in the category.
    pub own_urls: i32,
    /// How many other URLs are registered in the category.
    pub other_urls: i32,
    /// `off`, `url_missing` or `url_twice`; null if nothing is wrong.
    pub problem: Option<String>,
    /// Since when `problem` has this value.
    pub since: Timestamp,
}

/// Replaces the settings of an organisation and returns the events whose problem has changed, with the
/// new one. `since` of the rows is ignored.
pub async fn replace(
    db: &PgPool,
    name: &str,
    rows: &[HookRow],
) -> sqlx::Result<Vec<(String, Option<String>)>> {
    let events = column(rows, |row| row.event.clone());
    let mut transaction = db.begin().await?;
    sqlx::query!("delete from qontak_hook where name = $1 and event <> all ($2)", name, &events)
        .execute(&mut *transaction)
        .await?;
    let changed = sqlx::query!(
        r#"
            with new as (
                select event, category, is_enabled, is_wanted, own_urls, other_urls, problem
                from unnest(
                    $2::text[], $3::text[], $4::bool[], $5::bool[], $6::int[], $7::int[], $8::text[]
                ) as new (
                    event, category, is_enabled, is_wanted, own_urls, other_urls, problem
                )
            ), old as (
                select event, problem from qontak_hook where name = $1
            ), written as (
                insert into qontak_hook as hook (
                    name, event, category, is_enabled, is_wanted, own_urls, other_urls, problem
                )
                select $1, event, category, is_enabled, is_wanted, own_urls, other_urls, problem
                from new
                order by event
                on conflict (name, event) do update
                set category = excluded.category,
                    is_enabled = excluded.is_enabled,
                    is_wanted = excluded.is_wanted,
                    own_urls = excluded.own_urls,
                    other_urls = excluded.other_urls,
                    problem = excluded.problem,
                    since = case
                        when hook.problem is distinct from excluded.problem then now()
                        else hook.since
                    end
            )
            select new.event as "event!", new.problem
            from new
            left join old using (event)
            where new.problem is distinct from old.problem
            order by new.event
        "#,
        name,
        &events,
        &column(rows, |row| row.category.clone()),
        &column(rows, |row| row.is_enabled),
        &column(rows, |row| row.is_wanted),
        &column(rows, |row| row.own_urls),
        &column(rows, |row| row.other_urls),
        &column(rows, |row| row.problem.clone()) as _,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(changed.into_iter().map(|row| (row.event, row.problem)).collect())
}

/// Lists the settings of all organisations, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HookRow>> {
    sqlx::query_as!(
        HookRow,
        r#"
            select
                name, event, category, is_enabled, is_wanted, own_urls, other_urls, problem, since
            from qontak_hook
            order by name, category, event
        "#
    )
    .fetch_all(db)
    .await
}
