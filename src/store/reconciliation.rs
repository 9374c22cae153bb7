//! Tables `reconciliation` and `qontak_finding`: what Qontak had and this service lacked.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::rows::column;
use super::walk::Walk;
use crate::model::Timestamp;

/// What is compared with Qontak.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    EnumString,
    IntoStaticStr,
    VariantNames,
    ToSchema,
)]
#[schema(as = ReconciliationKind, rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Rooms.
    Room,
    /// Messages.
    Message,
    /// Recipients of broadcasts.
    BroadcastLog,
    /// Counts of recipients per status of broadcasts.
    Broadcast,
}

impl Kind {
    /// Name in the tables and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A row that was missing or outdated.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Qontak's id of the row.
    pub id: String,
    /// Its day.
    pub day: NaiveDate,
    /// Whether it was missing; else a value of it was.
    pub is_missing: bool,
}

/// Notes findings before they are repaired.
pub async fn note(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    kind: Kind,
    findings: &[Finding],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into qontak_finding (organization_id, kind, id, day, is_missing)
            select $1, $2, id, day, is_missing
            from unnest($3::text[], $4::date[], $5::boolean[]) as finding (id, day, is_missing)
            on conflict do nothing
        "#,
        organization_id,
        kind.as_str(),
        &column(findings, |it| it.id.as_str()) as _,
        &column(findings, |it| it.day) as _,
        &column(findings, |it| it.is_missing) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts the noted findings of a kind, which are repaired now, and the rows that were compared per day.
pub async fn count(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    kind: Kind,
    fetched: &BTreeMap<NaiveDate, i64>,
) -> sqlx::Result<()> {
    let fetched: Vec<(NaiveDate, i64)> =
        fetched.iter().map(|(day, count)| (*day, *count)).collect();
    sqlx::query!(
        r#"
            with found as (
                delete from qontak_finding
                where organization_id = $1 and kind = $2
                returning day, is_missing
            ), counted as (
                select
                    day, 0 as fetched, is_missing::int as missing, 1 - is_missing::int as changed
                from found
                union all
                select day, count, 0, 0
                from unnest($3::date[], $4::bigint[]) as fetched (day, count)
            )
            insert into reconciliation (
                day, kind, organization_id, fetched, missing, changed, checked_at
            )
            select day, $2, $1, sum(fetched), sum(missing), sum(changed), now()
            from counted
            group by day
            on conflict (day, kind, organization_id) do update set
                fetched = reconciliation.fetched + excluded.fetched,
                missing = reconciliation.missing + excluded.missing,
                changed = reconciliation.changed + excluded.changed,
                checked_at = excluded.checked_at
        "#,
        organization_id,
        kind.as_str(),
        &column(&fetched, |it| it.0) as _,
        &column(&fetched, |it| it.1) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All missing rows of an organisation and kind.
#[derive(Debug)]
pub struct Missing {
    /// Organisation of the rows.
    pub organization_id: String,
    /// What is compared.
    pub kind: String,
    /// Number of missing rows.
    pub missing: i64,
    /// Number of rows of which a value was missing.
    pub changed: i64,
}

/// Sums the missing rows, for metrics.
pub async fn totals(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Missing>> {
    sqlx::query_as!(
        Missing,
        r#"
            select
                organization_id, kind, sum(missing)::bigint as "missing!",
                sum(changed)::bigint as "changed!"
            from reconciliation
            group by organization_id, kind
        "#
    )
    .fetch_all(db)
    .await
}

/// What Qontak had and this service lacked, of one day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub struct ReconciliationRow {
    /// UTC day: of a message's creation, a room's last activity, a broadcast log's or broadcast's
    /// creation.
    pub day: NaiveDate,
    /// `room`, `message`, `broadcast_log` or `broadcast`.
    pub kind: String,
    /// Organisation of the rows.
    pub organization_id: String,
    /// Rows that were compared; one that was compared twice counts twice.
    pub fetched: i64,
    /// Rows that were missing. Each counts once, since the backfill stored it.
    pub missing: i64,
    /// Rows of which a value or status was missing; for broadcasts, those whose counts of recipients
    /// differed.
    pub changed: i64,
    /// Time of the last comparison.
    pub checked_at: Timestamp,
}

/// Place of a row in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of table reconciliation say it")]
pub struct Place {
    pub day: NaiveDate,
    pub kind: String,
    pub organization_id: String,
}

impl ReconciliationRow {
    /// Place in the list.
    pub fn place(&self) -> Place {
        let (kind, organization_id) = (self.kind.clone(), self.organization_id.clone());
        Place { day: self.day, kind, organization_id }
    }
}

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Kinds.
    pub kind: Option<Vec<String>>,
    /// This day or later.
    pub since: Option<Timestamp>,
    /// Before this day.
    pub until: Option<Timestamp>,
}

/// Lists days, newest first, by the primary key. `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<ReconciliationRow>> {
    macro_rules! page {
        ($cmp:tt, $direction:tt) => {
            sqlx::query_as!(
                ReconciliationRow,
                r#"
                    select
                        day, kind, organization_id, fetched, missing, changed,
                        checked_at as "checked_at: Timestamp"
                    from reconciliation
                    where ($1::text[] is null or organization_id = any($1))
                        and (
                            $2::date is null
                            or (day, kind, organization_id) "# + $cmp + r#" ($2, $3, $4)
                        )
                        and ($6::timestamptz is null or day >= ($6 at time zone 'UTC')::date)
                        and ($7::timestamptz is null or day < $7 at time zone 'UTC')
                        and ($8::text[] is null or kind = any($8))
                    order by day "# + $direction + r#", kind "# + $direction
                        + r#", organization_id "# + $direction + r#"
                    limit $5
                "#,
                organizations,
                walk.from.as_ref().map(|place| place.day),
                walk.from.as_ref().map(|place| place.kind.as_str()),
                walk.from.as_ref().map(|place| place.organization_id.as_str()),
                walk.rows,
                filter.since as _,
                filter.until as _,
                filter.kind.as_deref(),
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!(">", "asc") } else { page!("<", "desc") }
}
