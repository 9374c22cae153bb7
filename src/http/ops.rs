//! The ops port: alive, ready, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use serde_json::json;

use super::Error;
use crate::app::Ops;
use crate::store::{self, Failure, partition};

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(ops): State<Ops>| ops.metrics.render()))
        .fallback(async || Error::NotFound)
        .with_state(ops)
}

/// 200 if a webhook sent now would be stored; else 503 and why not.
async fn ready(State(ops): State<Ops>) -> Response {
    let problems = problems(&ops).await;
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": problems.is_empty(), "problems": problems }))).into_response()
}

async fn problems(ops: &Ops) -> Vec<String> {
    let mut problems = Vec::new();
    if *ops.stopping.borrow() {
        problems.push("stopping".to_owned());
    }
    match store::pending_migrations(&ops.db).await {
        Ok(0) => {}
        Ok(pending) => problems.push(format!("schema: {pending} migration(s) to run")),
        Err(_) => {
            problems.push("database: cannot be reached".to_owned());
            return problems;
        }
    }
    match partition::missing(&ops.db).await {
        Ok(days) => problems.extend(days.iter().map(|day| format!("partitions: none for {day}"))),
        Err(cause) => problems.push(format!("partitions: {}", Failure::from(cause))),
    }
    problems
}
