//! Table `response`: answers that ended a wait of a customer, maintained by triggers.
//!
//! The definitions of a wait and of an answer are in `migrations/0008_response.sql`.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// An answer and the wait that it ended.
#[derive(Debug)]
pub struct Answer {
    /// Organisation of the room; empty if unknown.
    pub organization_id: String,
    /// The room.
    pub room_id: String,
    /// Whether an agent answered, not a bot.
    pub is_from_agent: bool,
    /// User that answered; `None` if unknown.
    pub agent_id: Option<String>,
    /// Whether it is the first answer since the room began or was last resolved.
    pub is_first: bool,
    /// Length of the wait.
    pub seconds: f64,
}

/// Lists the answers from `since` until `until` (exclusive), at most the latest `limit`. Their
/// percentiles are computed by the caller: one read serves the figures of all and of each agent.
pub async fn latest(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Answer>> {
    sqlx::query_as!(
        Answer,
        r#"
            select
                organization_id as "organization_id!", room_id as "room_id!",
                author = 'agent' as "is_from_agent!", sender_id as agent_id,
                is_first as "is_first!", extract(epoch from at - asked_at)::float8 as "seconds!"
            from (
                (
                    select organization_id, room_id, author, sender_id, is_first, at, asked_at
                    from response
                    where $1::text[] is null and at >= $2 and at < $3
                    order by at desc
                    limit $4
                )
                union all
                select one.*
                from unnest($1::text[]) as own (organization_id)
                cross join lateral (
                    select organization_id, room_id, author, sender_id, is_first, at, asked_at
                    from response
                    where hashtext(response.organization_id) = hashtext(own.organization_id)
                        and response.organization_id = own.organization_id
                        and at >= $2 and at < $3
                    order by at desc
                    limit $4
                ) as one
                order by at desc
                limit $4
            ) as latest
        "#,
        organizations,
        since as _,
        until as _,
        limit,
    )
    .fetch_all(db)
    .await
}
