//! Table `broadcast_count`: recipients per broadcast and set of statuses, maintained by a trigger.
//!
//! The list of broadcasts and the funnel both count by it, so that they agree.
//!
//! Each database session counts in rows of its own, so that writers do not contend for them.

use sqlx::PgExecutor;

use crate::model::Status;
use crate::store::broadcast::BroadcastRow;
use crate::store::rows::column;

/// Number of recipients of one broadcast with one set of statuses.
#[derive(Debug)]
pub struct Counted {
    /// Index of the broadcast in the request, from 1.
    pub place: i64,
    /// `broadcast_log.statuses`.
    pub statuses: i16,
    /// Number of recipients.
    pub count: i64,
}

impl Counted {
    /// Effective status of these recipients.
    pub fn status(&self) -> Option<&'static str> {
        Status::effective(self.statuses).map(Status::as_str)
    }
}

/// Counts the recipients of each of these broadcasts by set of statuses.
pub async fn list(
    db: impl PgExecutor<'_>,
    broadcasts: &[BroadcastRow],
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select key.place as "place!", statuses, sum(count)::bigint as "count!"
            from unnest($1::text[], organization_numbers($2)) with ordinality
                as key (broadcast_id, organization, place)
            join broadcast_count using (broadcast_id, organization)
            group by key.place, statuses
            having sum(count) <> 0
        "#,
        &column(broadcasts, |row| row.id.as_str()) as _,
        &column(broadcasts, |row| row.organization_id.as_deref().unwrap_or_default()) as _,
    )
    .fetch_all(db)
    .await
}

/// Counts the recipients of one broadcast by set of statuses.
pub async fn of_broadcast(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    broadcast_id: &str,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select 1::bigint as "place!", statuses, sum(count)::bigint as "count!"
            from broadcast_count
            where organization = organization_number($1) and broadcast_id = $2
            group by statuses
            having sum(count) <> 0
        "#,
        organization_id,
        broadcast_id,
    )
    .fetch_all(db)
    .await
}

/// Sums the rows of all sessions into one row per broadcast and set of statuses.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with counted as (
                delete from broadcast_count
                where (broadcast_id, organization, statuses, session) in (
                    select broadcast_id, organization, statuses, session
                    from broadcast_count
                    where session <> 0
                    -- Never waits, so it cannot deadlock. Skipped rows are merged by the next run.
                    for update skip locked
                )
                returning *
            )
            insert into broadcast_count (organization, broadcast_id, statuses, session, count)
            select organization, broadcast_id, statuses, 0, sum(count)
            from counted
            group by organization, broadcast_id, statuses
            order by organization, broadcast_id, statuses
            on conflict on constraint broadcast_count_pkey
                do update set count = broadcast_count.count + excluded.count
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}
