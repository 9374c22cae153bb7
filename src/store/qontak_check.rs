//! Table `qontak_check`: which replica checks what at Qontak, and whether it succeeds.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::model::Timestamp;

/// A check: what, of which organisation of the settings; of none if the name is empty.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// Name of the organisation.
    pub name: &'a str,
    /// What is checked.
    pub kind: Kind,
}

/// What is checked.
#[derive(Clone, Copy, Debug, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Webhook settings.
    Hooks,
    /// Qontak's status page.
    StatusPage,
    /// Names of agents, templates, channel integrations and divisions.
    Catalog,
    /// Whether events are missing, after a time without webhooks.
    Backfill,
}

impl Kind {
    /// Name in the table, logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Claims the next check of an organisation for this replica. `false` if another one began it less than
/// `interval` ago.
pub async fn claim(
    db: impl PgExecutor<'_>,
    check: Check<'_>,
    interval: Duration,
) -> sqlx::Result<bool> {
    let claimed = sqlx::query!(
        r#"
            insert into qontak_check (name, kind, checked_at)
            values ($1, $2, now())
            on conflict (name, kind) do update
            set checked_at = now()
            where qontak_check.checked_at <= now() - make_interval(secs => $3)
        "#,
        check.name,
        check.kind.as_str(),
        interval.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Stores the result of a check: its error, or `None`. Returns whether it succeeded before and fails
/// now, or the reverse.
pub async fn finish(
    db: impl PgExecutor<'_>,
    check: Check<'_>,
    error: Option<&str>,
) -> sqlx::Result<bool> {
    let has_changed = sqlx::query_scalar!(
        r#"
            update qontak_check as new
            set error = $3,
                failing_since = case
                    when $3::text is not null then coalesce(new.failing_since, new.checked_at)
                end
            from (
                select error from qontak_check where name = $1 and kind = $2 for update
            ) as old
            where new.name = $1 and new.kind = $2
            returning (old.error is null) <> ($3::text is null) as "has_changed!"
        "#,
        check.name,
        check.kind.as_str(),
        error,
    )
    .fetch_optional(db)
    .await?;
    Ok(has_changed.unwrap_or(false))
}

/// Deletes what is known about organisations that are not among these names, or, about their backfills,
/// not among `organizations`: they were removed from the settings.
pub async fn retain(
    db: impl PgExecutor<'_>,
    names: &[&str],
    organizations: &[&str],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with hook as (
                delete from qontak_hook where name <> all ($1)
            )
            delete from qontak_check
            where name <> all (case when kind in ('backfill', 'catalog') then $2::text[] else $1 end)
        "#,
        names as _,
        organizations as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Result of the last check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QontakCheck)]
pub struct CheckRow {
    /// Name of the organisation in the settings; empty for the status page.
    pub name: String,
    /// What is checked: `hooks`, `status_page`, `backfill` or `catalog`.
    pub kind: String,
    /// Time of the last check.
    pub checked_at: Timestamp,
    /// Why the last check failed; null if it did not.
    pub error: Option<String>,
    /// Since when checks fail; null if the last one succeeded.
    pub failing_since: Option<Timestamp>,
}

/// Lists the results of all checks.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CheckRow>> {
    sqlx::query_as!(
        CheckRow,
        r#"
            select name, kind, checked_at, error, failing_since
            from qontak_check
            order by name, kind
        "#
    )
    .fetch_all(db)
    .await
}
