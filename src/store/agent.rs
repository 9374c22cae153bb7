//! Names of agents, from the catalog and from their messages.

use sqlx::PgExecutor;

/// Names of agents, in the order of the arguments: `organizations` and `agents` have the same length.
/// The name in Qontak's list of users precedes that of the agent's messages.
pub async fn names(
    db: impl PgExecutor<'_>,
    organizations: &[&str],
    agents: &[&str],
) -> sqlx::Result<Vec<Option<String>>> {
    sqlx::query_scalar!(
        r#"
            select coalesce(catalog.name, sender.name) as "name?"
            from unnest($1::text[], $2::text[]) with ordinality
                as agent (organization_id, agent_id, place)
            left join sender
                on sender.sender_id = agent.agent_id
                and sender.organization_id = agent.organization_id
            left join catalog
                on catalog.kind = 'agent'
                and catalog.id = agent.agent_id
                and catalog.organization_id = agent.organization_id
            order by place
        "#,
        organizations as _,
        agents as _,
    )
    .fetch_all(db)
    .await
}
