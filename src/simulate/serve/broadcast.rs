//! Broadcasts and their recipients.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::page::{Cursors, PageQuery};
use super::record::Record;
use super::response::error;
use super::state::{Fake, State};

/// Statuses in `message_status_count`.
const STATUSES: [&str; 5] = ["failed", "delivered", "read", "pending", "sent"];

/// Routes of broadcasts.
pub fn routes() -> Router<Fake> {
    Router::new()
        .route("/broadcasts/whatsapp", get(list))
        .route("/broadcasts/{id}/whatsapp", get(show))
        .route("/broadcasts/{id}/whatsapp/log", get(log))
}

/// Recipients by broadcast.
fn broadcasts(state: &State) -> BTreeMap<&str, Vec<&Record>> {
    let mut broadcasts: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for log in state.records.logs.values() {
        let id = log.fields["messages_broadcast_id"].as_str().unwrap_or_default();
        broadcasts.entry(id).or_default().push(log);
    }
    broadcasts
}

fn created_at(logs: &[&Record]) -> i64 {
    logs.iter().map(|log| log.at("created_at")).min().unwrap_or(0)
}

fn broadcast(state: &State, id: &str, logs: &[&Record]) -> Value {
    let time = chrono::DateTime::from_timestamp_millis(created_at(logs)).unwrap_or_default();
    json!({
        "id": id,
        "organization_id": state.organization_id(),
        "name": "Promo Gajian Juni",
        "message_broadcast_template_id": logs[0].fields["messages_broadcast_template_id"],
        "execute_status": "done",
        "execute_type": "immediately",
        "message_broadcast_error": "n/a",
        "created_at": time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
    })
}

async fn list(Extract(fake): Extract<Fake>, Query(query): Query<PageQuery>) -> Json<Value> {
    let state = fake.state();
    let rows = broadcasts(&state).into_iter();
    let rows = rows.map(|(id, logs)| (created_at(&logs), broadcast(&state, id, &logs)));
    state.page(rows.collect(), &query, Cursors::Absent)
}

async fn show(Extract(fake): Extract<Fake>, Path(id): Path<String>) -> Response {
    let state = fake.state();
    let broadcasts = broadcasts(&state);
    let Some(logs) = broadcasts.get(id.as_str()) else { return not_found() };
    let mut data = broadcast(&state, &id, logs);
    for status in STATUSES {
        let count = logs.iter().filter(|log| log.fields["status"] == status).count();
        data["message_status_count"][status] = count.into();
    }
    Json(json!({ "status": "success", "data": data })).into_response()
}

async fn log(
    Extract(fake): Extract<Fake>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let state = fake.state();
    let broadcasts = broadcasts(&state);
    let Some(logs) = broadcasts.get(id.as_str()) else { return not_found() };
    let rows = logs.iter().map(|log| (log.at("created_at"), Value::Object(log.fields.clone())));
    state.page(rows.collect(), &query, Cursors::Base64Reversed).into_response()
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, &["Resource not found."]).into_response()
}
