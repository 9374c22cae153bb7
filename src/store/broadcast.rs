//! Table `broadcast`: one row per broadcast, built from broadcast logs and messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::walk::Walk;
use crate::model::Timestamp;

/// A broadcast without its recipients.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Broadcast)]
pub struct BroadcastRow {
    /// Qontak's id of the broadcast (`messages_broadcast_id`).
    pub id: String,
    /// Organisation; null when unknown.
    pub organization_id: Option<String>,
    /// Name, from `last_campaign` of a message; null until one was received.
    pub name: Option<String>,
    /// Qontak's id of the template (`messages_broadcast_template_id`); null when unknown.
    pub template_id: Option<String>,
    /// Qontak's id of the channel integration; null when unknown.
    pub channel_integration_id: Option<String>,
    /// Time the first recipient log was created, as reported by Qontak.
    pub created_at: Option<Timestamp>,
    /// Sort key of lists.
    #[serde(skip)]
    pub at: Timestamp,
}

/// Place of a broadcast in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `broadcast.at`.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub broadcast_id: String,
    /// Tie-breaker for equal ids; empty if unknown.
    pub organization_id: String,
}

impl BroadcastRow {
    /// Place in the list.
    pub fn place(&self) -> Place {
        Place {
            at: self.at,
            broadcast_id: self.id.clone(),
            organization_id: self.organization_id.clone().unwrap_or_default(),
        }
    }
}

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of `broadcast.name`, in any case.
    pub name: Option<String>,
    /// `broadcast.channel_integration_id`.
    pub channel_integration_id: Option<String>,
    /// `broadcast.template_id`.
    pub template_id: Option<String>,
    /// Created at this time or later.
    pub since: Option<Timestamp>,
    /// Created before this time.
    pub until: Option<Timestamp>,
}

/// Lists broadcasts, newest first, by index `broadcast_by_time` or `broadcast_by_template`.
/// `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<BroadcastRow>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                BroadcastRow,
                r#"
                    select
                        broadcast_id as id,
                        nullif(
                            (select organization_id from organization where number = broadcast.organization), ''
                        ) as organization_id,
                        name,
                        template_id, channel_integration_id, created_at, at as "at!"
                    from broadcast
                    where ($1::text[] is null or organization = any(organization_numbers($1)))
                        and ($2::timestamptz is null
                            or (at, broadcast_id, organization) "# + $cmp + r#"
                                ($2, $3, organization_number($4)))
                        and ($6::text is null or strpos(lower(name), lower($6)) > 0)
                        and ($7::text is null or channel_integration_id = $7)
                        and ($8::text is null or template_id = $8)
                        and ($9::timestamptz is null or at >= $9)
                        and ($10::timestamptz is null or at < $10)
                    order by "# + $order + r#"
                    limit $5
                "#,
                organizations,
                from.map(|place| place.at) as _,
                from.map(|place| place.broadcast_id.as_str()),
                from.map(|place| place.organization_id.as_str()),
                walk.rows,
                filter.name.as_deref(),
                filter.channel_integration_id.as_deref(),
                filter.template_id.as_deref(),
                filter.since as _,
                filter.until as _,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "at, broadcast_id, organization")
    } else {
        page!("<", "at desc, broadcast_id desc, organization desc")
    }
}

/// Finds a broadcast within these organisations; `None` for all.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    broadcast_id: &str,
) -> sqlx::Result<Option<BroadcastRow>> {
    sqlx::query_as!(
        BroadcastRow,
        r#"
            select
                broadcast_id as "id!",
                nullif(
                    (select organization_id from organization where number = broadcast.organization), ''
                ) as organization_id,
                name,
                template_id, channel_integration_id, created_at, at as "at!"
            from broadcast
            where broadcast_id = $1 and ($2::text[] is null or organization = any(organization_numbers($2)))
            -- Prefer a row with a known organisation.
            order by organization desc
            limit 1
        "#,
        broadcast_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// The text of a template, as the newest broadcast with it shows it.
#[derive(Debug)]
pub struct TemplateRow {
    /// `broadcast.template_id`.
    pub id: String,
    /// Organisation; `None` when unknown.
    pub organization_id: Option<String>,
    /// `broadcast_log.messages` of one recipient.
    pub messages: Option<Value>,
}

/// Lists the templates of the latest 1,000 broadcasts, by id. `organizations` of `None` means all.
pub async fn list_templates(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
) -> sqlx::Result<Vec<TemplateRow>> {
    sqlx::query_as!(
        TemplateRow,
        r#"
            with latest as (
                select organization, broadcast_id, template_id, at
                from broadcast
                where $1::text[] is null or organization = any(organization_numbers($1))
                order by at desc
                limit 1000
            ), template as (
                select distinct on (template_id, organization)
                    organization, broadcast_id, template_id
                from latest
                where template_id is not null
                order by template_id, organization, at desc
            )
            select
                template.template_id as "id!",
                nullif(
                    (select organization_id from organization where number = template.organization), ''
                ) as organization_id,
                log.messages as "messages?"
            from template
            left join lateral (
                select messages
                from broadcast_log
                where broadcast_log.broadcast_id = template.broadcast_id
                    and broadcast_log.organization = template.organization
                    and messages is not null
                limit 1
            ) as log on true
            order by template.template_id, template.organization
        "#,
        organizations,
    )
    .fetch_all(db)
    .await
}
