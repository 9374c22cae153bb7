//! Table `response`: answers that ended a wait of a customer, maintained by triggers.
//!
//! The definitions of a wait and of an answer are in `migrations/0008_response.sql`.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// An answer and the wait that it ended.
#[derive(Debug)]
pub struct Answer {
    /// Number of the room's organisation.
    pub organization: i32,
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
                organization as "organization!", room_id as "room_id!",
                author = 'agent' as "is_from_agent!", sender_id as agent_id,
                is_first as "is_first!", extract(epoch from at - asked_at)::float8 as "seconds!"
            from (
                (
                    select organization, room_id, author, sender_id, is_first, at, asked_at
                    from response
                    where $1::text[] is null and at >= $2 and at < $3
                    order by at desc
                    limit $4
                )
                union all
                select one.*
                from unnest(organization_numbers($1)) as own (organization)
                cross join lateral (
                    select organization, room_id, author, sender_id, is_first, at, asked_at
                    from response
                    where response.organization = own.organization
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
