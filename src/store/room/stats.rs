//! Statistics over rooms: open rooms and first response times.
//!
//! Both read a limited number of rooms, so their cost does not grow with the table.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Number of rooms that are open now.
#[derive(Debug)]
pub struct Open {
    /// Rooms that are unassigned or assigned.
    pub open: i64,
    /// Open rooms whose last message is from the customer; see the SQL function `is_unanswered`.
    pub unanswered: i64,
}

/// Counts open rooms, at most `limit` of them.
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

/// Time from a customer's first message to the first message of an agent.
#[derive(Debug)]
pub struct FirstResponse {
    /// Rooms that were examined.
    pub examined: i64,
    /// Examined rooms in which an agent responded to a customer.
    pub answered: i64,
    /// Median in seconds; `None` if no room was answered.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds; `None` if no room was answered.
    pub p95_seconds: Option<f64>,
}

/// Measures first response times in the rooms last active from `since` until `until` (exclusive), or
/// in the latest `limit` of them.
pub async fn first_response(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<FirstResponse> {
    // Only for a single organisation is there an index in this order.
    let (one, several) = match organizations {
        Some([one]) => (Some(one.as_str()), None),
        several => (None, several),
    };
    sqlx::query_as!(
        FirstResponse,
        r#"
            select
                count(*) as "examined!",
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
                    and author = 'customer'
                order by at
                limit 1
            ) as asked on true
            left join lateral (
                select extract(epoch from message.at - asked.at)::float8 as seconds
                from message
                where message.room_id = room.room_id
                    and message.organization_id = room.organization_id
                    and message.author = 'agent'
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
