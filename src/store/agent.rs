//! Names of agents, from the catalog and from their messages.

use sqlx::PgExecutor;

/// An agent, with its organisation.
#[derive(Debug)]
pub struct Named {
    /// Organisation; `None` if unknown.
    pub organization_id: Option<String>,
    /// Name in Qontak's list of users, or else in the agent's messages.
    pub name: Option<String>,
}

/// Names agents, in the order of the arguments: the numbers of their organisations, and as many ids.
pub async fn names(
    db: impl PgExecutor<'_>,
    organizations: &[i32],
    agents: &[&str],
) -> sqlx::Result<Vec<Named>> {
    sqlx::query_as!(
        Named,
        r#"
            select
                nullif(organization.organization_id, '') as "organization_id?",
                coalesce(catalog.name, sender.name) as "name?"
            from unnest($1::integer[], $2::text[]) with ordinality
                as agent (organization, agent_id, place)
            left join organization on organization.number = agent.organization
            left join sender
                on sender.sender_id = agent.agent_id
                and sender.organization = agent.organization
            left join catalog
                on catalog.kind = 'agent'
                and catalog.id = agent.agent_id
                and catalog.organization_id = organization.organization_id
            order by place
        "#,
        organizations,
        agents as _,
    )
    .fetch_all(db)
    .await
}
