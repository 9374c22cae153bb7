//! Statistics over rooms: those that are open now.
//!
//! It reads a limited number of rooms, so its cost does not grow with the table.

use sqlx::PgExecutor;

/// Number of rooms that are open now.
#[derive(Debug)]
pub struct Open {
    /// Rooms that were examined.
    pub examined: i64,
    /// Rooms that are unassigned or assigned.
    pub open: i64,
    /// Those whose customer waits, and rooms without a known status whose customer waits; see the SQL
    /// function `is_unanswered`.
    pub unanswered: i64,
}

/// Counts open rooms, and rooms whose status is unknown, at most `limit` of them.
pub async fn count_open(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    limit: i64,
) -> sqlx::Result<Open> {
    sqlx::query_as!(
        Open,
        r#"
            select
                count(*) as "examined!",
                count(*) filter (where status is not null) as "open!",
                count(*) filter (where is_unanswered(
                    status, word.customer_at, word.answer_at, word.other_at, is_unresponded,
                    session_at, last_message_at, unread_count
                )) as "unanswered!"
            from (
                select
                    room_id, organization, status, is_unresponded, session_at, last_message_at,
                    unread_count
                from room
                where (array[status] && array['unassigned', 'assigned'] or status is null)
                    and ($1::text[] is null or organization = any(organization_numbers($1)))
                limit $2
            ) as open
            left join room_word as word using (room_id, organization)
        "#,
        organizations,
        limit,
    )
    .fetch_one(db)
    .await
}
