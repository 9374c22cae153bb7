//! Rooms and their messages.

use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::page::{Cursors, PageQuery, Row};
use super::record::{NOT_LISTED, Record};
use super::response::error;
use super::state::{Fake, State};

/// Routes of rooms.
pub fn routes() -> Router<Fake> {
    Router::new()
        .route("/rooms", get(list))
        .route("/rooms/{id}", get(show))
        .route("/rooms/{id}/messages", get(messages))
        .route("/rooms/{id}/histories", get(histories))
}

/// Rooms by their last activity.
async fn list(Extract(fake): Extract<Fake>, Query(query): Query<PageQuery>) -> Json<Value> {
    let state = fake.state();
    let rows = state.records.rooms.iter();
    let rows = rows.map(|(id, room)| (room.at("last_activity_at"), listed(&state, id, room)));
    state.page(rows.collect(), &query, Cursors::Base64Reversed)
}

/// A room as lists show it: `updated_at` stays that of its creation, and `resolved_at` is null even if
/// the room is resolved.
fn listed(state: &State, id: &str, room: &Record) -> Value {
    let mut row = room.fields.clone();
    for name in NOT_LISTED {
        row.insert(name.to_owned(), Value::Null);
    }
    row.insert("updated_at".to_owned(), room.fields["created_at"].clone());
    row.remove("channel_uniq_id");
    row.insert("last_message".to_owned(), last_message(state, id));
    Value::Object(row)
}

fn last_message(state: &State, room_id: &str) -> Value {
    let mut messages = messages_of(state, room_id);
    messages.sort_by_key(|(at, _)| *at);
    let Some((_, mut last)) = messages.pop() else { return Value::Null };
    last["channel"] = "wa_cloud".into();
    last["raw_message"] = Value::Null;
    last
}

/// One room, with its real `updated_at`.
async fn show(Extract(fake): Extract<Fake>, Path(id): Path<String>) -> Response {
    let state = fake.state();
    let Some(room) = state.records.rooms.get(&id) else { return not_found() };
    let mut data = Value::Object(room.fields.clone());
    data["last_message"] = last_message(&state, &id);
    Json(json!({ "status": "success", "data": data })).into_response()
}

/// Messages of a room. Not every account of Qontak has this list.
async fn messages(
    Extract(fake): Extract<Fake>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let state = fake.state();
    if !state.has_messages || !state.records.rooms.contains_key(&id) {
        return not_found();
    }
    state.page(messages_of(&state, &id), &query, Cursors::Millis).into_response()
}

fn messages_of(state: &State, room_id: &str) -> Vec<Row> {
    let messages = state.records.messages.values();
    let messages = messages.filter(|message| message.fields["room_id"] == room_id);
    let row = |message: &Record| (message.at("created_at"), Value::Object(message.fields.clone()));
    messages.map(row).collect()
}

/// Earlier rooms of the same contact, which is not its message history.
async fn histories(
    Extract(fake): Extract<Fake>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let state = fake.state();
    let Some(room) = state.records.rooms.get(&id) else { return not_found() };
    let rows = state.records.rooms.iter().filter(|(other, it)| {
        *other != &id && it.fields["account_uniq_id"] == room.fields["account_uniq_id"]
    });
    let rows = rows.map(|(id, room)| (room.at("created_at"), listed(&state, id, room)));
    state.page(rows.collect(), &query, Cursors::Base64Reversed).into_response()
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, &["Resource not found."]).into_response()
}
