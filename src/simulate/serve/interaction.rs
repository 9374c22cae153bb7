//! Webhook settings: `GET` and `PUT` of each category.

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::response::error;
use super::state::{CATEGORIES, Fake, State};
use crate::simulate::client::{Address, Client};
use crate::simulate::world::Subject;

/// Routes of the categories that have a documented call.
pub fn routes() -> Router<Fake> {
    CATEGORIES.into_iter().take(3).fold(Router::new(), |routes, (category, _)| {
        let path = format!("/{category}");
        let show = async move |Extract(fake): Extract<Fake>| {
            Json(json!({ "status": "success", "data": settings(&fake.state(), category) }))
        };
        let set = async move |Extract(fake): Extract<Fake>, Json(body): Json<Value>| {
            set(&fake, category, &body).await
        };
        routes.route(&path, get(show).put(set))
    })
}

/// The settings of the organisation, of which those of webhooks are a small part.
fn settings(state: &State, shown: &str) -> Value {
    let mut settings = json!({
        "organization_id": state.organization_id(),
        "name": "Toko Maju",
        "broadcast_rate": 10,
        "is_contact_masking": false,
        "authorization": state.secret("settings", 0),
    });
    for (category, events) in CATEGORIES {
        if state.is_split && category != shown {
            continue;
        }
        let rows = state.webhooks.get(category).map_or(&[][..], Vec::as_slice);
        for event in events {
            let webhooks: Vec<Value> = rows
                .iter()
                .map(|row| json!({ "id": row.id, "event": category, "url": row.url }))
                .collect();
            settings[event] = json!({ "enabled": state.enabled[event], "webhooks": webhooks });
        }
    }
    settings
}

/// Saves a URL after its handshake; with all events off it removes the URL.
async fn set(fake: &Fake, category: &'static str, body: &Value) -> Response {
    let url = body["url"].as_str().unwrap_or_default().to_owned();
    let flags: Vec<(String, bool)> = body
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_bool()?)))
        .collect();
    let is_removal = flags.iter().all(|(_, is_on)| !is_on);
    if !is_removal && !shakes_hands(fake, &url).await {
        // Repeats the URL, whose token must not reach any log.
        let messages = ["Webhook url is invalid", &url];
        return error(StatusCode::UNPROCESSABLE_ENTITY, &messages).into_response();
    }
    let mut state = fake.state();
    if is_removal {
        state.remove(category, &url);
    } else if !state.webhooks.get(category).is_some_and(|rows| rows.iter().any(|it| it.url == url))
    {
        state.add(category, &url);
    }
    if !is_removal || state.is_removal_off {
        for (event, is_on) in &flags {
            state.switch(event, *is_on);
        }
    }
    Json(json!({ "status": "success", "data": settings(&state, category) })).into_response()
}

async fn shakes_hands(fake: &Fake, url: &str) -> bool {
    let info = fake.state().ids.of(Subject::Other, u32::MAX).to_string();
    let body = json!({ "verify_info": info }).to_string().into_bytes();
    let Ok(address) = url.parse::<Address>() else { return false };
    let response = Client::new(address).post(body).await;
    response.is_ok_and(|(status, _)| status.is_success())
}
