//! Lists of the organisation: integrations, templates, agents, divisions.

use axum::extract::{Query, State as Extract};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::page::{Cursors, PageQuery};
use super::state::{Fake, State};
use crate::simulate::world::Subject;

/// Number of rows of each list.
const INTEGRATIONS: u32 = 3;
const TEMPLATES: u32 = 25;
const USERS: u32 = 20;
const DIVISIONS: u32 = 4;

/// Milliseconds since 1970 of the oldest row of each list.
const START: i64 = 1_718_150_400_000;

/// Routes of the lists.
pub fn routes() -> Router<Fake> {
    Router::new()
        .route("/integrations", list(INTEGRATIONS, integration, Cursors::Millis))
        .route("/templates/whatsapp", get(list_templates))
        .route("/users", list(USERS, user, Cursors::MillisReversed))
        .route("/divisions", list(DIVISIONS, division, Cursors::Absent))
}

fn list(
    count: u32,
    row: fn(&State, u32) -> Value,
    cursors: Cursors,
) -> axum::routing::MethodRouter<Fake> {
    get(async move |Extract(fake): Extract<Fake>, Query(query): Query<PageQuery>| {
        let state = fake.state();
        let rows = (0..count).map(|number| (created_at(number), row(&state, number)));
        state.page(rows.collect(), &query, cursors)
    })
}

async fn list_templates(
    Extract(fake): Extract<Fake>,
    Query(query): Query<PageQuery>,
) -> Json<Value> {
    let state = fake.state();
    let created = state.created_templates();
    let all = (0..TEMPLATES).map(|number| template(&state, number)).chain(created);
    let rows = all.zip(0..).map(|(row, number)| (created_at(number), row));
    state.page(rows.collect(), &query, Cursors::MillisReversed)
}

const fn created_at(number: u32) -> i64 {
    START + number as i64 * 86_400_000
}

fn time(number: u32) -> String {
    let time = chrono::DateTime::from_timestamp_millis(created_at(number)).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn integration(state: &State, number: u32) -> Value {
    json!({
        "id": state.ids.of(Subject::Integration, number),
        "organization_id": state.organization_id(),
        "target_channel": if number == 0 { "wa_cloud" } else { "ig" },
        "webhook": format!("https://service-chat.example/webhooks/{}", state.secret("hook", number)),
        "settings": {
            "account_name": format!("Toko Maju {number}"),
            "phone_number": format!("62812000000{number}"),
            "authorization": state.secret("integration", number),
            "password": state.secret("password", number),
        },
        "is_active": true,
        "created_at": time(number),
    })
}

fn template(state: &State, number: u32) -> Value {
    json!({
        "id": state.ids.of(Subject::Template, number),
        "organization_id": state.organization_id(),
        "name": format!("promo_{number}"),
        "language": "id",
        "header": null,
        "body": "Halo {{1}}, diskon 25% untuk semua batik.",
        "footer": null,
        "buttons": [],
        "status": if number % 5 == 4 { "PENDING" } else { "APPROVED" },
        "category": "MARKETING",
        "quality_rating": "GREEN",
        "quality_rating_text": "High quality",
    })
}

fn user(state: &State, number: u32) -> Value {
    json!({
        "id": state.ids.of(Subject::Agent, number),
        "organization_id": state.organization_id(),
        "full_name": format!("Agen {number:02}"),
        "email": format!("agen{number:02}@tokomaju.example"),
        "role": if number == 0 { "admin" } else { "agent" },
        "is_online": number.is_multiple_of(2),
        "created_at": time(number),
    })
}

fn division(state: &State, number: u32) -> Value {
    let names = ["Penjualan", "Gudang", "Keluhan", "Kantor"];
    json!({
        "id": state.ids.of(Subject::Other, 1_000_000 + number),
        "organization_id": state.organization_id(),
        "name": names[number as usize % names.len()],
        "created_at": time(number),
    })
}
