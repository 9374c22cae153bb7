//! Table `catalog_state`: states of templates and agents over time, as webhooks and syncs report them.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::walk::Walk;
use crate::model::Timestamp;

/// Where a report is from.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum StateSource {
    /// A webhook.
    Event,
    /// A sync with Qontak's lists.
    Sync,
}

/// Place of a report in the list of its template or agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Time of the report.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub event_id: Uuid,
}

/// A time in which an agent was online, or was not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Availability)]
pub struct AvailabilityRow {
    /// Whether the agent was online.
    pub is_online: bool,
    /// When it began, by Qontak's clock, or else when it was first reported.
    pub since: Timestamp,
    /// When the next one began; null for the current one.
    pub until: Option<Timestamp>,
    /// What reported it first. A sync finds a change up to `catalog.interval` later.
    #[schema(value_type = StateSource)]
    pub source: String,
    /// Id of the event; null for a sync.
    pub event_id: Option<Uuid>,
    /// Tie-breaker for equal times.
    #[serde(skip)]
    pub report_id: Uuid,
}

impl AvailabilityRow {
    /// Place in the list of its agent.
    pub const fn place(&self) -> Place {
        Place { at: self.since, event_id: self.report_id }
    }
}

/// A change of a template's state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateState)]
pub struct TemplateStateRow {
    /// When it changed, by Qontak's clock, or else when it was first reported.
    pub at: Timestamp,
    /// Status: `APPROVED`, `PAUSED`, `REJECTED`, …; null if the report has none.
    pub status: Option<String>,
    /// Category: `MARKETING`, `UTILITY`, `AUTHENTICATION`, …; null if the report has none.
    pub category: Option<String>,
    /// Meta's rating; null if the report has none.
    pub quality_rating: Option<String>,
    /// Meta's rating in words; null if the report has none.
    pub quality_rating_text: Option<String>,
    /// Why it was rejected or paused; null if the report has none.
    pub reason: Option<String>,
    /// What reported it. A sync finds a change up to `catalog.interval` later.
    #[schema(value_type = StateSource)]
    pub source: String,
    /// Id of the event; null for a sync.
    pub event_id: Option<Uuid>,
    /// Tie-breaker for equal times.
    #[serde(skip)]
    pub report_id: Uuid,
}

impl TemplateStateRow {
    /// Place in the list of its template.
    pub const fn place(&self) -> Place {
        Place { at: self.at, event_id: self.report_id }
    }
}

/// Lists the times in which an agent was online or not, newest first. Reports that repeat the state before
/// them are omitted.
pub async fn list_availability(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    agent_id: &str,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<AvailabilityRow>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $direction:tt) => {
            sqlx::query_as!(
                AvailabilityRow,
                r#"
                    select
                        report.data -> 'is_online' = 'true' as "is_online!", report.at as since,
                        (
                            select at
                            from catalog_state as next
                            where next.kind = report.kind
                                and next.id = report.id
                                and next.organization_id = report.organization_id
                                and (next.at, next.event_id) > (report.at, report.event_id)
                                and next.data -> 'is_online' <> report.data -> 'is_online'
                            order by next.at, next.event_id
                            limit 1
                        ) as "until: Timestamp",
                        report.source,
                        case report.source when 'event' then report.event_id end as event_id,
                        report.event_id as report_id
                    from catalog_state as report
                    where report.kind = 'agent'
                        and report.id = $1
                        and report.organization_id = $2
                        and report.data -> 'is_online' is not null
                        and (
                            select previous.data -> 'is_online'
                            from catalog_state as previous
                            where previous.kind = report.kind
                                and previous.id = report.id
                                and previous.organization_id = report.organization_id
                                and (previous.at, previous.event_id) < (report.at, report.event_id)
                                and previous.data -> 'is_online' is not null
                            order by previous.at desc, previous.event_id desc
                            limit 1
                        ) is distinct from report.data -> 'is_online'
                        and ($3::timestamptz is null
                            or (report.at, report.event_id) "# + $cmp + r#" ($3, $4))
                    order by report.at "# + $direction + r#", report.event_id "# + $direction + r#"
                    limit $5
                "#,
                agent_id,
                organization_id,
                from.map(|place| place.at) as _,
                from.map(|place| place.event_id),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!(">", "asc") } else { page!("<", "desc") }
}

/// Lists the changes of a template's state, newest first. Reports of what was known are omitted.
pub async fn list_template(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    template_id: &str,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<TemplateStateRow>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $direction:tt) => {
            sqlx::query_as!(
                TemplateStateRow,
                r#"
                    select
                        report.at, report.data ->> 'status' as status,
                        report.data ->> 'category' as category,
                        report.data ->> 'quality_rating' as quality_rating,
                        report.data ->> 'quality_rating_text' as quality_rating_text,
                        report.data ->> 'reason' as reason, report.source,
                        case report.source when 'event' then report.event_id end as event_id,
                        report.event_id as report_id
                    from catalog_state as report
                    where report.kind = 'template'
                        and report.id = $1
                        and report.organization_id = $2
                        and not tracked_state(report.data) <@ coalesce(
                            catalog_data(
                                row(
                                    report.organization_id, report.kind, report.id, null, '{}', null
                                )::catalog,
                                report.at - interval '1 microsecond'
                            ),
                            '{}'
                        )
                        and ($3::timestamptz is null
                            or (report.at, report.event_id) "# + $cmp + r#" ($3, $4))
                    order by report.at "# + $direction + r#", report.event_id "# + $direction + r#"
                    limit $5
                "#,
                template_id,
                organization_id,
                from.map(|place| place.at) as _,
                from.map(|place| place.event_id),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!(">", "asc") } else { page!("<", "desc") }
}
