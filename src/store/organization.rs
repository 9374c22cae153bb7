//! Organisations that occur in the data, from table `ledger`, and their numbers.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::walk::Walk;
use crate::model::Timestamp;

/// An organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationRow {
    /// Qontak's id of the organisation.
    pub id: String,
    /// Time this service received the last event of the organisation.
    pub last_event_at: Timestamp,
}

/// Place of an organisation in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `ledger.organization_id`.
    pub id: String,
}

impl OrganizationRow {
    /// Place in the list.
    pub fn place(&self) -> Place {
        Place { id: self.id.clone() }
    }
}

/// Lists organisations with events, by id. `organizations` of `None` means all. Uses index
/// `ledger_by_organization`.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<OrganizationRow>> {
    macro_rules! page {
        ($cmp:tt, $direction:tt) => {
            sqlx::query_as!(
                OrganizationRow,
                r#"
                    -- All ids in the index, each found from the one before it.
                    with recursive next as (
                        (
                            select organization_id as id
                            from ledger
                            where $1::text[] is null
                                and organization_id <> ''
                                and ($2::text is null or organization_id "# + $cmp + r#" $2)
                            order by organization_id "# + $direction + r#"
                            limit 1
                        )
                        union all
                        select (
                            select organization_id
                            from ledger
                            where organization_id <> '' and organization_id "# + $cmp + r#" next.id
                            order by organization_id "# + $direction + r#"
                            limit 1
                        )
                        from next
                        where next.id is not null
                    ), known as (
                        (select id from next where id is not null limit $3)
                        union all
                        select distinct id collate "C"
                        from unnest($1) as id
                        where $2 is null or id collate "C" "# + $cmp + r#" $2
                    )
                    select known.id as "id!", last.at as "last_event_at!: Timestamp"
                    from known
                    cross join lateral (
                        select max(coalesce(last_event_at, hour)) as at
                        from ledger
                        where organization_id = known.id
                            and hour = coalesce(
                                (
                                    select newest.hour
                                    from ledger as newest
                                    where newest.organization_id = known.id
                                        and newest.last_event_at is not null
                                    order by newest.hour desc
                                    limit 1
                                ),
                                -- Only events that were read from Qontak's API.
                                (
                                    select newest.hour
                                    from ledger as newest
                                    where newest.organization_id = known.id and newest.received > 0
                                    order by newest.hour desc
                                    limit 1
                                )
                            )
                    ) as last
                    where last.at is not null
                    order by known.id "# + $direction + r#"
                    limit $3
                "#,
                organizations,
                walk.from.as_ref().map(|place| place.id.as_str()),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!("<", "desc") } else { page!(">", "asc") }
}

/// Finds the numbers of these organisations, or of all. A number is the first column of indexes by time.
pub async fn numbers(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar!(
        "select number from organization where $1::text[] is null or organization_id = any($1)",
        organizations,
    )
    .fetch_all(db)
    .await
}
