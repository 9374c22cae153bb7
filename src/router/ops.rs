//! The ops port: liveness, readiness, metrics.
//!
//! Readiness is about webhooks: with a usable spool the service is ready without a database.

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

/// Timeout of the checks of `/readyz`, so that it responds before the caller's own timeout.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);

/// State of the ops port.
#[derive(Clone)]
pub struct Ops {
    /// Connections of the read API.
    pub db: PgPool,
    /// Stores webhooks while the database is unavailable.
    pub spool: Option<Spool>,
    /// Why there is no spool although one is configured.
    pub spool_problem: Option<String>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Whether the service is stopping.
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

/// 200 if a webhook sent now would be stored, in Postgres or in the spool; otherwise 503. Lists
/// problems, and with `?verbose` the state of the spool.
async fn ready(State(ops): State<Ops>, RawQuery(query): RawQuery) -> Response {
    let is_stopping = *ops.stopping.borrow();
    let checked = tokio::time::timeout(READY_TIMEOUT, problems(&ops.db)).await;
    let mut problems =
        checked.unwrap_or_else(|_| vec![format!("database: no response within {READY_TIMEOUT:?}")]);
    let has_room = ops.spool.as_ref().is_some_and(Spool::has_room);
    let is_ready = !is_stopping && (problems.is_empty() || has_room);
    // A problem only of the next outage of the database.
    problems.extend(ops.spool_problem);
    if ops.spool.as_ref().is_some_and(|spool| spool.depth().has_failed) {
        problems.push("spool: the last operation of its disk failed, see the log".to_owned());
    }
    if is_stopping {
        problems.push("stopping".to_owned());
    }
    let mut body = json!({ "ready": is_ready, "problems": problems });
    if query.is_some_and(|query| query.starts_with("verbose")) {
        body["spool"] = json!(ops.spool.map(|spool| {
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
    (status, Json(body)).into_response()
}

/// Reasons why webhooks cannot be written to the database.
async fn problems(db: &PgPool) -> Vec<String> {
    match store::pending_migrations(db).await {
        Ok(0) => {}
        Ok(pending) => {
            return vec![format!(
                "schema: {pending} migration(s) pending; run `qontak-receiver migrate`"
            )];
        }
        Err(_) => return vec!["database: unavailable".to_owned()],
    }
    match partition::missing(db).await {
        Ok(days) => days.iter().map(|day| format!("partitions: no partition for {day}")).collect(),
        Err(cause) => vec![format!("partitions: {}", Failure::from(cause))],
    }
}
