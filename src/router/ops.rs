//! The ops port: alive, ready, metrics.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::http::Error;
use crate::ingest::spool::Spool;
use crate::model::Timestamp;
use crate::store::{self, Failure, partition};

/// The longest that `/readyz` takes: who asks gives up soon as well, and would not learn why.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);

/// What the ops port tells about.
#[derive(Clone)]
pub struct Ops {
    /// Connections of the read API.
    pub db: PgPool,
    /// Where webhooks wait while the database is away.
    pub spool: Option<Spool>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Whether the service was told to stop.
    pub stopping: watch::Receiver<bool>,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(ops): State<Ops>| ops.metrics.render()))
        .fallback(async || Error::NotFound)
        .with_state(ops)
}

/// 200 if a webhook sent now would be kept, be it in the spool; else 503. Says what is wrong, and
/// with `?verbose` what waits in the spool.
async fn ready(State(ops): State<Ops>, RawQuery(query): RawQuery) -> Response {
    let is_stopping = *ops.stopping.borrow();
    let asked = tokio::time::timeout(READY_TIMEOUT, problems(&ops.db)).await;
    let mut problems = asked.unwrap_or_else(|_| vec!["database: does not answer".to_owned()]);
    let has_room = ops.spool.as_ref().is_some_and(Spool::has_room);
    let is_ready = !is_stopping && (problems.is_empty() || has_room);
    if is_stopping {
        problems.push("stopping".to_owned());
    }
    let mut answer = json!({ "ready": is_ready, "problems": problems });
    if query.is_some_and(|query| query.starts_with("verbose")) {
        answer["spool"] = json!(ops.spool.map(|spool| {
            let depth = spool.depth();
            json!({
                "events": depth.events,
                "bytes": depth.bytes,
                "max_bytes": spool.max_bytes(),
                "oldest_seconds": depth.oldest_at.map(Timestamp::age_seconds),
            })
        }));
    }
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(answer)).into_response()
}

/// What keeps webhooks out of the database.
async fn problems(db: &PgPool) -> Vec<String> {
    match store::pending_migrations(db).await {
        Ok(0) => {}
        Ok(pending) => return vec![format!("schema: {pending} migration(s) to run")],
        Err(_) => return vec!["database: cannot be reached".to_owned()],
    }
    match partition::missing(db).await {
        Ok(days) => days.iter().map(|day| format!("partitions: none for {day}")).collect(),
        Err(cause) => vec![format!("partitions: {}", Failure::from(cause))],
    }
}
