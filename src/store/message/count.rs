//! Table `message_count`: messages per hour, channel and author, and the statuses that they reached,
//! maintained by triggers.
//!
//! Each database session counts in rows of its own, so that writers do not contend for them.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Messages of one channel in one interval.
#[derive(Debug)]
pub struct Counted {
    /// Index of the interval in the request, from 1.
    pub span: i32,
    /// `message.channel`; empty where that is null.
    pub channel: String,
    /// Messages from customers.
    pub customer: i64,
    /// Messages from agents.
    pub agent: i64,
    /// Outgoing messages from bots and unknown authors.
    pub other: i64,
    /// Messages of broadcasts.
    pub campaigns: i64,
    /// Notices of the system.
    pub notices: i64,
    /// Reactions.
    pub reactions: i64,
    /// Messages from agents and all others whose sender is known.
    pub outgoing: i64,
    /// Outgoing messages that were sent, delivered or read.
    pub sent: i64,
    /// Outgoing messages that were delivered or read.
    pub delivered: i64,
    /// Outgoing messages that were read.
    pub read: i64,
    /// Outgoing messages that failed and were neither delivered nor read.
    pub failed: i64,
}

/// Counts messages from the hour of `since` until `until` (exclusive) by channel and interval.
/// `starts` are the sorted starts of the intervals; an interval ends where the next one starts. An
/// hour belongs to the interval in which it begins.
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
                span as "span!", channel as "channel!",
                coalesce(sum(count) filter (where author = 'customer'), 0)::bigint as "customer!",
                coalesce(sum(count) filter (where author = 'agent'), 0)::bigint as "agent!",
                coalesce(sum(count) filter (where author in ('bot', 'unknown')), 0)::bigint
                    as "other!",
                coalesce(sum(count) filter (where author = 'campaign'), 0)::bigint as "campaigns!",
                coalesce(sum(count) filter (where author = 'notice'), 0)::bigint as "notices!",
                coalesce(sum(count) filter (where author = 'reaction'), 0)::bigint as "reactions!",
                coalesce(sum(count) filter (where author in ('agent', 'bot', 'unknown')), 0)::bigint
                    as "outgoing!",
                coalesce(sum(sent) filter (where author <> 'campaign'), 0)::bigint as "sent!",
                coalesce(sum(delivered) filter (where author <> 'campaign'), 0)::bigint
                    as "delivered!",
                coalesce(sum(read) filter (where author <> 'campaign'), 0)::bigint as "read!",
                coalesce(sum(failed) filter (where author <> 'campaign'), 0)::bigint as "failed!"
            from (
                select
                    width_bucket(hour, $2::timestamptz[]) as span, channel,
                    participant_type as author, sum(count) as count, sum(sent) as sent,
                    sum(delivered) as delivered, sum(read) as read, sum(failed) as failed
                from message_count
                where ($1::text[] is null or organization = any(organization_numbers($1)))
                    and hour >= greatest(hour_of($3::timestamptz), ($2::timestamptz[])[1])
                    and hour < $4::timestamptz
                group by 1, 2, 3
            ) as counted
            group by span, channel
            having sum(count) <> 0
            order by span, channel
        "#,
        organizations,
        starts as _,
        since as _,
        until as _,
    )
    .fetch_all(db)
    .await
}

/// Finds the first and the last hour with messages of these channels: start of the first, end of the
/// last. `None` if there are none.
pub async fn span(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    channels: &[String],
) -> sqlx::Result<Option<(Timestamp, Timestamp)>> {
    let span = sqlx::query!(
        r#"
            with ends as (
                (
                    select hour from message_count
                    where $1::text[] is null and channel = any($2)
                    order by hour
                    limit 1
                )
                union all
                (
                    select hour from message_count
                    where $1::text[] is null and channel = any($2)
                    order by hour desc
                    limit 1
                )
                union all
                select near.hour
                from unnest(organization_numbers($1)) as own
                cross join lateral (
                    (
                        select hour from message_count
                        where organization = own and channel = any($2)
                        order by hour
                        limit 1
                    )
                    union all
                    (
                        select hour from message_count
                        where organization = own and channel = any($2)
                        order by hour desc
                        limit 1
                    )
                ) as near
            )
            select
                min(hour) as "since: Timestamp",
                max(hour) + interval '1 hour' as "until: Timestamp"
            from ends
        "#,
        organizations,
        channels,
    )
    .fetch_one(db)
    .await?;
    Ok(span.since.zip(span.until))
}

/// Sums the rows of all sessions into one row per hour, channel and author.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with counted as (
                delete from message_count
                where (organization, hour, channel, participant_type, session) in (
                    select organization, hour, channel, participant_type, session
                    from message_count
                    where session <> 0
                    -- Never waits, so it cannot deadlock. Skipped rows are merged by the next run.
                    for update skip locked
                )
                returning *
            )
            insert into message_count (
                organization, hour, channel, participant_type, session, count, sent, delivered,
                read, failed
            )
            select
                organization, hour, channel, participant_type, 0, sum(count), sum(sent),
                sum(delivered), sum(read), sum(failed)
            from counted
            group by organization, hour, channel, participant_type
            order by organization, hour, channel, participant_type
            on conflict on constraint message_count_pkey do update set
                count = message_count.count + excluded.count,
                sent = message_count.sent + excluded.sent,
                delivered = message_count.delivered + excluded.delivered,
                read = message_count.read + excluded.read,
                failed = message_count.failed + excluded.failed
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}
