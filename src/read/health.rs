//! What is wrong and since when: open problems, webhook settings at Qontak, failed checks, and Qontak's
//! status page.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::reader::MaybeAuthorized;
use super::state::ReadState;
use super::waiting::Waiting;
use crate::http::Error;
use crate::store::problem::{self, ProblemRow};
use crate::store::qontak_check::{self, CheckRow};
use crate::store::qontak_hook::{self, HookRow};
use crate::store::qontak_status::{self, StatusRow};

/// Health of the service; details with a key.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// The service responds.
    status: Alive,
    /// Absent without a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<HealthData>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Alive {
    /// The only value.
    Ok,
}

/// What is wrong.
#[derive(Default, Serialize, ToSchema)]
pub struct HealthData {
    /// Open problems, the latest first; none if nothing is wrong. A key that may not see all organisations
    /// sees those of its organisations.
    problems: Vec<ProblemRow>,
    /// Webhook settings at Qontak. Empty if nothing is watched, or if the key may not see all
    /// organisations.
    hooks: Vec<HookRow>,
    /// Last checks of Qontak. Empty like `hooks`.
    checks: Vec<CheckRow>,
    /// Unresolved incidents and maintenance that Qontak reports, the latest first.
    incidents: Vec<StatusRow>,
    /// As `meta.waiting` of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting: Option<Waiting>,
}

/// Get what is wrong and since when: open problems, webhook settings at Qontak, its status page
///
/// Without a key it only says that the service responds.
#[utoipa::path(
    get, path = "/health", security((), ("key" = ["read"])),
    responses((status = OK, body = Health))
)]
pub async fn show(
    MaybeAuthorized { reader }: MaybeAuthorized,
    State(db): State<PgPool>,
    State(state): State<ReadState>,
) -> Result<Json<Health>, Error> {
    let data = match reader {
        None => None,
        Some(reader) => {
            let mut data = HealthData::default();
            if reader.organizations().is_none() {
                data.hooks = qontak_hook::list(&db).await?;
                data.checks = qontak_check::list(&db).await?;
            }
            data.problems = problem::list(&db, reader.organizations()).await?;
            data.incidents = qontak_status::list(&db).await?;
            data.waiting = Waiting::now(&state.ingest, reader.organizations());
            Some(data)
        }
    };
    Ok(Json(Health { status: Alive::Ok, data }))
}
