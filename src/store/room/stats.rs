//! Statistics over rooms: those that are open now.
//!
//! It reads a limited number of rooms, so its cost does not grow with the table.

use sqlx::PgExecutor;

/// Rooms that are open now: of one agent, or all of them.
#[derive(Debug)]
pub struct Open {
    /// Number of the organisation of the agent; `None` in the row of all rooms.
    pub organization: Option<i32>,
    /// Agent to whom the rooms are assigned; `None` in the row of all rooms.
    pub agent_id: Option<String>,
    /// Rooms that were examined.
    pub examined: i64,
    /// Rooms that are unassigned or assigned.
    pub open: i64,
    /// Those whose customer waits, and rooms without a known status whose customer waits; see the SQL
    /// function `is_unanswered`.
    pub unanswered: i64,
}

/// Counts open rooms, and rooms whose status is unknown, at most `limit` of them: one row for all,
/// and one for each agent. A room with several agents counts for each.
pub async fn count_open(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    limit: i64,
) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as!(
        Open,
        r#"
            with open as materialized (
                select
                    organization, agent_ids, status,
                    is_unanswered(
                        status, word.customer_at, word.answer_at, word.other_at, is_unresponded,
                        session_at, last_message_at, unread_count
                    ) as is_unanswered
                from (
                    select
                        room_id, organization, agent_ids, status, is_unresponded, session_at,
                        last_message_at, unread_count
                    from room
                    -- The first comparison costs less, the second one uses an index where it
                    -- helps.
                    where (
                            status in ('unassigned', 'assigned')
                                and array[status] && array['unassigned', 'assigned']
                            or status is null
                        )
                        and ($1::text[] is null or organization = any(organization_numbers($1)))
                    limit $2
                ) as room
                left join room_word as word using (room_id, organization)
            )
            select
                null::integer as "organization?", null as "agent_id?", count(*) as "examined!",
                count(status) as "open!", count(*) filter (where is_unanswered) as "unanswered!"
            from open
            union all
            select
                organization, agent_id, count(*), count(status),
                count(*) filter (where is_unanswered)
            from open
            cross join unnest(agent_ids) as agent_id
            where status is not null and agent_id <> ''
            group by organization, agent_id
        "#,
        organizations,
        limit,
    )
    .fetch_all(db)
    .await
}
