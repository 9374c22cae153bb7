//! Table `message_count`: messages by the hour, counted by triggers as they come.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Messages of one channel in one of several spans of time.
#[derive(Debug)]
pub struct Counted {
    /// Which span: the first is 1.
    pub span: i32,
    /// `message.channel`; empty where that is null.
    pub channel: String,
    /// Of customers.
    pub customer: i64,
    /// Of agents.
    pub agent: i64,
    /// Of all others.
    pub other: i64,
}

/// How many messages there are from the hour of `since` on and before `until`, by channel and span
/// of time. A span reaches from one of `starts`, which are sorted, to the next one. An hour counts
/// where it begins.
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
                width_bucket(hour, $2::timestamptz[]) as "span!", channel as "channel!",
                coalesce(sum(count) filter (where participant_type = 'customer'), 0)::bigint
                    as "customer!",
                coalesce(sum(count) filter (where participant_type = 'agent'), 0)::bigint
                    as "agent!",
                coalesce(sum(count) filter (where participant_type not in ('customer', 'agent')), 0)::bigint
                    as "other!"
            from message_count
            where ($1::text[] is null or organization_id = any($1))
                and hour >= greatest(hour_of($3::timestamptz), ($2::timestamptz[])[1])
                and hour < $4::timestamptz
            group by 1, 2
            having sum(count) <> 0
            order by 1, 2
        "#,
        organizations,
        starts as _,
        since as _,
        until as _,
    )
    .fetch_all(db)
    .await
}

/// Merges what the sessions have counted: each leaves a row for each hour, channel and author.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with counted as (
                delete from message_count
                where (organization_id, hour, channel, participant_type, session) in (
                    select organization_id, hour, channel, participant_type, session
                    from message_count
                    where session <> 0
                    -- Who never waits is in no deadlock. Those left out have another turn.
                    for update skip locked
                )
                returning *
            )
            insert into message_count (
                organization_id, hour, channel, participant_type, session, count
            )
            select organization_id, hour, channel, participant_type, 0, sum(count)
            from counted
            group by organization_id, hour, channel, participant_type
            order by organization_id, hour, channel, participant_type
            on conflict on constraint message_count_pkey
                do update set count = message_count.count + excluded.count
        "#
    )
    .execute(db)
    .await?;
    Ok(())
}
