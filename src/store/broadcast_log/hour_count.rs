//! Table `recipient_count`: recipients of broadcasts per hour, and the statuses that they reached,
//! maintained by triggers.
//!
//! Each database session counts in rows of its own, so that writers do not contend for them.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Recipients of broadcasts in one interval.
#[derive(Debug)]
pub struct Counted {
    /// Index of the interval in the request, from 1.
    pub span: i32,
    /// Recipients.
    pub count: i64,
    /// Recipients to whom it was sent, delivered or read.
    pub sent: i64,
    /// Recipients to whom it was delivered or read.
    pub delivered: i64,
    /// Recipients that read it.
    pub read: i64,
    /// Recipients for whom it failed and was neither delivered nor read.
    pub failed: i64,
}

/// Counts recipients from the hour of `since` until `until` (exclusive) by interval. `starts` are
/// the sorted starts of the intervals. An hour belongs to the interval in which it begins.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    starts: &[Timestamp],
    since: Timestamp,
    until: Timestamp,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select
                width_bucket(hour, $2::timestamptz[]) as "span!", sum(count)::bigint as "count!",
                sum(sent)::bigint as "sent!", sum(delivered)::bigint as "delivered!",
                sum(read)::bigint as "read!", sum(failed)::bigint as "failed!"
            from recipient_count
            where ($1::text[] is null or organization = any(organization_numbers($1)))
                and hour >= greatest(hour_of($3::timestamptz), ($2::timestamptz[])[1])
                and hour < $4::timestamptz
            group by 1
            having sum(count) <> 0
            order by 1
        "#,
        organizations,
        starts as _,
        since as _,
        until as _,
    )
    .fetch_all(db)
    .await
}

/// Sums the rows of all sessions into one row per hour.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with counted as (
                delete from recipient_count
                where (organization, hour, session) in (
                    select organization, hour, session
                    from recipient_count
                    where session <> 0
                    -- Never waits, so it cannot deadlock. Skipped rows are merged by the next run.
                    for update skip locked
                )
                returning *
            )
            insert into recipient_count (
                organization, hour, session, count, sent, delivered, read, failed
            )
            select
                organization, hour, 0, sum(count), sum(sent), sum(delivered), sum(read),
                sum(failed)
            from counted
            group by organization, hour
            order by organization, hour
            on conflict on constraint recipient_count_pkey do update set
                count = recipient_count.count + excluded.count,
                sent = recipient_count.sent + excluded.sent,
                delivered = recipient_count.delivered + excluded.delivered,
                read = recipient_count.read + excluded.read,
                failed = recipient_count.failed + excluded.failed
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}
