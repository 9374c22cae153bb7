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
use crate::ingest::writer::Writer;
use crate::model::Timestamp;
use crate::store::{self, Failure, partition};

/// Timeout of the checks of `/readyz`, so that it responds before the caller's own timeout.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);

/// Age up to which a failed transaction of the writer counts. While webhooks wait in the spool, it
/// tries again every 2 seconds; without them it does not notice the end of a fault.
const FAILURE_AGE: Duration = Duration::from_secs(10);

/// State of the ops port.
#[derive(Clone)]
pub struct Ops {
    /// Connections of the read API.
    pub db: PgPool,
    /// Writes webhooks to the database.
    pub writer: Writer,
    /// Store webhooks while the database is unavailable.
    pub spools: Vec<Spool>,
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
/// problems, warnings about what is going to be a problem, and with `?verbose` the state of the spool.
async fn ready(State(ops): State<Ops>, RawQuery(query): RawQuery) -> Response {
    let is_stopping = *ops.stopping.borrow();
    let checked = tokio::time::timeout(READY_TIMEOUT, check_database(&ops.db)).await;
    let Report { mut problems, mut warnings } = checked.unwrap_or_else(|_| {
        Report::problem(format!("database: no response within {READY_TIMEOUT:?}"))
    });
    if problems.is_empty()
        && let Some(error) = ops.writer.recent_failure(FAILURE_AGE)
    {
        problems.push(format!("write: {error}"));
    }
    let has_room = ops.spools.iter().any(Spool::has_room);
    let mut spool_problem = ops.spool_problem;
    for spool in ops.spools.iter().filter(|spool| spool.depth().has_failed) {
        match spool.medium() {
            "disk" => {
                let problem = "spool: its disk is full or has failed, see the log";
                spool_problem = Some(problem.to_owned());
            }
            // All replicas lack it at once: if none were ready, webhooks would have nowhere to go.
            _ => warnings.push("spool: NATS is unavailable, see the log".to_owned()),
        }
    }
    // Also while the database works: its next outage would lose webhooks.
    let is_ready = !is_stopping && spool_problem.is_none() && (problems.is_empty() || has_room);
    problems.extend(spool_problem);
    if is_stopping {
        problems.push("stopping".to_owned());
    }
    if ops.spools.iter().any(Spool::is_shared) {
        warnings.push("spool: its folder is used by another process too".to_owned());
    }
    let mut body = json!({ "ready": is_ready, "problems": problems, "warnings": warnings });
    if query.is_some_and(|query| query.starts_with("verbose")) {
        let shown = |spool: &Spool| {
            let depth = spool.depth();
            json!({
                "events": depth.events,
                "bytes": depth.bytes,
                "max_bytes": spool.max_bytes(),
                "oldest_seconds": depth.oldest_at.map(Timestamp::age_seconds),
            })
        };
        let disk = ops.spools.iter().find(|spool| spool.medium() == "disk");
        let nats = ops.spools.iter().find(|spool| spool.medium() == "nats");
        body["spool"] = json!(disk.map(shown));
        if let Some(nats) = nats {
            body["nats"] = shown(nats);
        }
    }
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// State of the database.
#[derive(Default)]
struct Report {
    /// Reasons why webhooks cannot be written now.
    problems: Vec<String>,
    /// Reasons why webhooks soon cannot be written.
    warnings: Vec<String>,
}

impl Report {
    fn problem(problem: String) -> Self {
        Self { problems: vec![problem], warnings: Vec::new() }
    }

    fn warning(warning: impl Into<String>) -> Self {
        Self { problems: Vec::new(), warnings: vec![warning.into()] }
    }
}

async fn check_database(db: &PgPool) -> Report {
    match store::pending_migrations(db).await {
        Ok(0) => {}
        Ok(pending) => {
            return Report::problem(format!(
                "schema: {pending} migration(s) pending; run `qontak-receiver migrate`"
            ));
        }
        Err(cause) => return Report::problem(format!("database: {}", describe(cause))),
    }
    if let Err(cause) = test_write(db).await {
        return Report::problem(format!("write: {}", describe(cause)));
    }
    let no_partition = |day| format!("partitions: no partition for {day}");
    let found = async {
        Ok(match partition::days_ahead(db).await? {
            None if partition::is_replaced(db).await? => Report::warning(
                "partitions: one that was created manually receives today's events; see `qontak-receiver check`",
            ),
            None => Report::problem(no_partition("today")),
            Some(0) => Report::warning(no_partition("tomorrow")),
            Some(_) => Report::default(),
        })
    };
    found.await.unwrap_or_else(|cause: sqlx::Error| {
        Report::problem(format!("partitions: {}", Failure::from(cause)))
    })
}

/// Tests whether the journal can be written, and closes the connection if not: a session that began
/// while the database was read-only stays so.
async fn test_write(db: &PgPool) -> sqlx::Result<()> {
    let mut connection = db.acquire().await?;
    let result = store::test_write(&mut *connection).await;
    if result.is_err() {
        connection.close_on_drop();
    }
    result
}

/// Words for an error of Postgres. That the database cannot be reached has many causes, of which the
/// log has the details.
fn describe(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(_) => Failure::from(error).to_string(),
        _ => "unavailable".to_owned(),
    }
}
