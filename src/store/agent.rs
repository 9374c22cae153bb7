//! What each agent did in a period: answers from `response`, resolutions from `resolution`, and the
//! rooms that are open now.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Figures of one agent.
#[derive(Debug)]
pub struct AgentRow {
    /// `response.sender_id`, `resolution.agent_id` or an element of `room.agent_ids`.
    pub id: String,
    /// Organisation; empty when unknown.
    pub organization_id: String,
    /// Name, as read from Qontak or from the agent's messages.
    pub name: Option<String>,
    /// Rooms that the agent answered or resolved.
    pub rooms: i64,
    /// Answers that were the first in their room since it began or was last resolved.
    pub opening: i64,
    /// Median of their waits in seconds.
    pub opening_p50: Option<f64>,
    /// 95th percentile of their waits in seconds.
    pub opening_p95: Option<f64>,
    /// Other answers.
    pub next: i64,
    /// Median of their waits in seconds.
    pub next_p50: Option<f64>,
    /// 95th percentile of their waits in seconds.
    pub next_p95: Option<f64>,
    /// Resolutions.
    pub resolutions: i64,
    /// Median of the resolution times in seconds.
    pub resolution_p50: Option<f64>,
    /// 95th percentile of the resolution times in seconds.
    pub resolution_p95: Option<f64>,
    /// Open rooms that are assigned to the agent now.
    pub open: i64,
    /// Open rooms of the agent whose customer waits now.
    pub unanswered: i64,
}

/// Limits of [`list`].
#[derive(Clone, Copy)]
pub struct Limits {
    /// Answers and resolutions that are read, each the latest.
    pub facts: i64,
    /// Open rooms that are read.
    pub open: i64,
    /// Agents.
    pub agents: i64,
}

/// Lists agents by the number of rooms that they handled from `since` until `until` (exclusive).
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limits: Limits,
) -> sqlx::Result<Vec<AgentRow>> {
    sqlx::query_as!(
        AgentRow,
        r#"
            with fact as (
                (
                    select
                        organization, sender_id as agent_id, room_id, at, asked_at as since,
                        case when is_first then 'opening' else 'next' end as what
                    from response
                    where $1::text[] is null and author = 'agent' and at >= $2 and at < $3
                    order by at desc
                    limit $4
                )
                union all
                (
                    select one.*
                    from unnest(organization_numbers($1)) as own (organization)
                    cross join lateral (
                        select
                            organization, sender_id, room_id, at, asked_at,
                            case when is_first then 'opening' else 'next' end
                        from response
                        where response.organization = own.organization
                            and author = 'agent' and at >= $2 and at < $3
                        order by at desc
                        limit $4
                    ) as one
                    order by one.at desc
                    limit $4
                )
                union all
                (
                    select organization, agent_id, room_id, at, begun_at, 'resolution'
                    from resolution
                    where $1::text[] is null and is_counted and at >= $2 and at < $3
                    order by at desc
                    limit $4
                )
                union all
                (
                    select one.*
                    from unnest(organization_numbers($1)) as own (organization)
                    cross join lateral (
                        select organization, agent_id, room_id, at, begun_at, 'resolution'
                        from resolution
                        where resolution.organization = own.organization
                            and is_counted and at >= $2 and at < $3
                        order by at desc
                        limit $4
                    ) as one
                    order by one.at desc
                    limit $4
                )
                union all
                (
                    select
                        room.organization, agent_id, room_id, null::timestamptz,
                        null::timestamptz,
                        case
                            when is_unanswered(
                                status, word.customer_at, word.answer_at, word.other_at,
                                is_unresponded, session_at, last_message_at, unread_count
                            ) then 'unanswered'
                            else 'open'
                        end
                    from (
                        select
                            organization, room_id, agent_ids, status, is_unresponded,
                            session_at, last_message_at, unread_count
                        from room
                        where array[status] && array['unassigned', 'assigned']
                            and ($1::text[] is null or organization = any(organization_numbers($1)))
                        limit $5
                    ) as room
                    left join room_word as word using (room_id, organization)
                    cross join unnest(room.agent_ids) as agent_id
                )
            ), measured as (
                select
                    organization, agent_id,
                    count(distinct room_id) filter (where what not in ('open', 'unanswered'))
                        as rooms,
                    count(*) filter (where what = 'opening') as opening,
                    percentile_disc(0.5) within group (order by seconds)
                        filter (where what = 'opening') as opening_p50,
                    percentile_disc(0.95) within group (order by seconds)
                        filter (where what = 'opening') as opening_p95,
                    count(*) filter (where what = 'next') as next,
                    percentile_disc(0.5) within group (order by seconds)
                        filter (where what = 'next') as next_p50,
                    percentile_disc(0.95) within group (order by seconds)
                        filter (where what = 'next') as next_p95,
                    count(*) filter (where what = 'resolution') as resolutions,
                    percentile_disc(0.5) within group (order by seconds)
                        filter (where what = 'resolution') as resolution_p50,
                    percentile_disc(0.95) within group (order by seconds)
                        filter (where what = 'resolution') as resolution_p95,
                    count(*) filter (where what in ('open', 'unanswered')) as open,
                    count(*) filter (where what = 'unanswered') as unanswered
                from (
                    select *, extract(epoch from at - since)::float8 as seconds from fact
                ) as fact
                where agent_id <> ''
                group by organization, agent_id
                order by rooms desc, open desc, agent_id, organization
                limit $6
            )
            select
                agent_id as "id!", organization_id(measured.organization) as "organization_id!",
                coalesce(catalog.name, sender.name) as "name?", rooms as "rooms!",
                opening as "opening!", opening_p50, opening_p95, next as "next!", next_p50, next_p95, resolutions as "resolutions!",
                resolution_p50, resolution_p95, open as "open!", unanswered as "unanswered!"
            from measured
            left join sender
                on sender.sender_id = measured.agent_id
                and sender.organization = measured.organization
            left join catalog
                on catalog.kind = 'agent'
                and catalog.id = measured.agent_id
                and catalog.organization_id = organization_id(measured.organization)
            order by rooms desc, open desc, agent_id, measured.organization
        "#,
        organizations,
        since as _,
        until as _,
        limits.facts,
        limits.open,
        limits.agents,
    )
    .fetch_all(db)
    .await
}
