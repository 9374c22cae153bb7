//! What the conversations say together.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Rooms that are open now.
#[derive(Debug)]
pub struct Open {
    /// How many are unassigned or assigned.
    pub open: i64,
    /// Of these, in how many the last word is the customer's: see the function `is_unanswered`.
    pub unanswered: i64,
}

/// How many rooms are open now. Counts no more than `limit` of them.
pub async fn count_open(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    limit: i64,
) -> sqlx::Result<Open> {
    sqlx::query_as!(
        Open,
        r#"
            select
                count(*) as "open!",
                count(*) filter (where is_unanswered(
                    status, is_unresponded, session_at, last_message_at, unread_count
                )) as "unanswered!"
            from (
                select status, is_unresponded, session_at, last_message_at, unread_count
                from room
                where array[status] && array['unassigned', 'assigned']
                    and ($1::text[] is null or organization_id = any($1))
                limit $2
            ) as open
        "#,
        organizations,
        limit,
    )
    .fetch_one(db)
    .await
}

/// How long customers waited for the first word of an agent.
#[derive(Debug)]
pub struct FirstResponse {
    /// Rooms that were looked at.
    pub looked_at: i64,
    /// Rooms among them in which a customer wrote and then an agent.
    pub answered: i64,
    /// Seconds that half of them took at most.
    pub p50_seconds: Option<f64>,
    /// Seconds that 95 of 100 took at most.
    pub p95_seconds: Option<f64>,
}

/// How long it took from the first message of a customer's in a room to the first one of an agent's
/// after it, in the rooms that were last active from `since` on and before `until`; in the latest
/// `limit` of them, if there are more.
pub async fn first_response(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<FirstResponse> {
    // Several organisations have no common order in an index.
    let (one, several) = match organizations {
        Some([one]) => (Some(one.as_str()), None),
        several => (None, several),
    };
    sqlx::query_as!(
        FirstResponse,
        r#"
            select
                count(*) as "looked_at!",
                count(seconds) as "answered!",
                percentile_cont(0.5) within group (order by seconds) as p50_seconds,
                percentile_cont(0.95) within group (order by seconds) as p95_seconds
            from (
                select organization_id, room_id
                from room
                where ($1::text is null or organization_id = $1)
                    and ($2::text[] is null or organization_id = any($2))
                    and activity_slot >= activity_slot($3::timestamptz)
                    and activity_slot <= activity_slot($4::timestamptz)
                    and activity_at >= $3
                    and activity_at < $4
                order by activity_slot desc
                limit $5
            ) as room
            left join lateral (
                select at
                from message
                where message.room_id = room.room_id
                    and message.organization_id = room.organization_id
                    and participant_type = 'customer'
                order by at
                limit 1
            ) as asked on true
            left join lateral (
                select extract(epoch from message.at - asked.at)::float8 as seconds
                from message
                where message.room_id = room.room_id
                    and message.organization_id = room.organization_id
                    and message.participant_type = 'agent'
                    and message.at >= asked.at
                order by message.at
                limit 1
            ) as answered on true
        "#,
        one,
        several,
        since as _,
        until as _,
        limit,
    )
    .fetch_one(db)
    .await
}
