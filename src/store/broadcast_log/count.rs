//! Table `broadcast_count`: recipients per broadcast and status, maintained by a trigger.
//!
//! Each database session counts in rows of its own, so that writers do not contend for them.

use sqlx::PgExecutor;

use crate::store::broadcast::BroadcastRow;
use crate::store::rows::column;

/// Number of recipients of one broadcast with one effective status.
#[derive(Debug)]
pub struct Counted {
    /// Index of the broadcast in the request, from 1.
    pub place: i64,
    /// `broadcast_log.status`; empty where that is null.
    pub status: String,
    /// Number of recipients.
    pub count: i64,
}

/// Counts the recipients of each of these broadcasts by status.
pub async fn list(
    db: impl PgExecutor<'_>,
    broadcasts: &[BroadcastRow],
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select key.place as "place!", status, sum(count)::bigint as "count!"
            from unnest($1::text[], $2::text[]) with ordinality
                as key (broadcast_id, organization_id, place)
            join broadcast_count using (broadcast_id, organization_id)
            group by key.place, status
        "#,
        &column(broadcasts, |row| row.id.as_str()) as _,
        &column(broadcasts, |row| row.organization_id.as_deref().unwrap_or_default()) as _,
    )
    .fetch_all(db)
    .await
}

/// Sums the rows of all sessions into one row per broadcast and status.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with counted as (
                delete from broadcast_count
                where (broadcast_id, organization_id, status, session) in (
                    select broadcast_id, organization_id, status, session
                    from broadcast_count
                    where session <> 0
                    -- Never waits, so it cannot deadlock. Skipped rows are merged by the next run.
                    for update skip locked
                )
                returning *
            )
            insert into broadcast_count (organization_id, broadcast_id, status, session, count)
            select organization_id, broadcast_id, status, 0, sum(count)
            from counted
            group by organization_id, broadcast_id, status
            order by organization_id, broadcast_id, status
            on conflict on constraint broadcast_count_pkey
                do update set count = broadcast_count.count + excluded.count
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}
