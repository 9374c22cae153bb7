//! Table `qontak_status`: incidents and maintenance of Qontak's status page.

use serde::Serialize;
use sqlx::{PgExecutor, PgPool};
use utoipa::ToSchema;

use super::rows::column;
use crate::model::Timestamp;

/// Unresolved incident or maintenance.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = QontakStatus)]
pub struct StatusRow {
    /// Id at the status page.
    pub id: String,
    /// `incident` or `maintenance`.
    pub kind: String,
    /// Title.
    pub name: String,
    /// Statuspage's word, such as `investigating` or `in_progress`.
    pub status: String,
    /// Statuspage's word, such as `minor`; null if it has none.
    pub impact: Option<String>,
    /// Start of the incident, or planned start of the maintenance.
    pub started_at: Option<Timestamp>,
    /// Page about it.
    pub url: Option<String>,
}

/// Replaces all rows. Ids must be unique.
pub async fn replace(db: &PgPool, rows: &[StatusRow]) -> sqlx::Result<()> {
    let mut transaction = db.begin().await?;
    sqlx::query!("delete from qontak_status").execute(&mut *transaction).await?;
    sqlx::query!(
        r#"
            insert into qontak_status (id, kind, name, status, impact, started_at, url)
            select id, kind, name, status, impact, started_at, url
            from unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                $7::text[]
            ) as new (id, kind, name, status, impact, started_at, url)
        "#,
        &column(rows, |row| row.id.clone()),
        &column(rows, |row| row.kind.clone()),
        &column(rows, |row| row.name.clone()),
        &column(rows, |row| row.status.clone()),
        &column(rows, |row| row.impact.clone()) as _,
        &column(rows, |row| row.started_at) as _,
        &column(rows, |row| row.url.clone()) as _,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Lists all rows, the latest start first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<StatusRow>> {
    sqlx::query_as!(
        StatusRow,
        r#"
            select id, kind, name, status, impact, started_at, url
            from qontak_status
            order by started_at desc nulls last, id
        "#
    )
    .fetch_all(db)
    .await
}
