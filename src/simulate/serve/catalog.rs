//! Lists of the organisation: integrations, templates, agents, divisions.
//!
//! The pages have Qontak's quirks: `offset` starts at 1, `total` is the size of the page unless
//! `is_counted=true`, and `cursor.next` is the oldest row in one list and the newest in the others.

use axum::extract::{Query, State as Extract};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{Fake, State};
use crate::simulate::world::Subject;

/// Number of rows of each list.
const INTEGRATIONS: u32 = 3;
const TEMPLATES: u32 = 25;
const USERS: u32 = 20;
const DIVISIONS: u32 = 4;

/// Milliseconds since 1970 of the oldest row of each list.
const START: i64 = 1_718_150_400_000;

/// Parameters of a page.
#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
    is_counted: Option<bool>,
}

/// Routes of the lists.
pub fn routes() -> Router<Fake> {
    Router::new()
        .route("/integrations", list(INTEGRATIONS, integration, false))
        .route("/templates/whatsapp", list(TEMPLATES, template, true))
        .route("/users", list(USERS, user, true))
        .route("/divisions", list(DIVISIONS, division, true))
}

fn list(
    count: u32,
    row: fn(&State, u32) -> Value,
    is_next_newest: bool,
) -> axum::routing::MethodRouter<Fake> {
    get(async move |Extract(fake): Extract<Fake>, Query(page): Query<Page>| {
        let state = fake.state();
        let limit = page.limit.unwrap_or(10).clamp(1, 100);
        // 0 and 1 are both the first page.
        let skipped = page.offset.unwrap_or(1).saturating_sub(1) * limit;
        // Newest first.
        let numbers: Vec<u32> = (0..count).rev().skip(skipped).take(limit).collect();
        let rows: Vec<Value> = numbers.iter().map(|number| row(&state, *number)).collect();
        let cursor = |number: Option<&u32>| number.map(|number| created_at(*number));
        let (newest, oldest) = (cursor(numbers.first()), cursor(numbers.last()));
        let (next, prev) = if is_next_newest { (newest, oldest) } else { (oldest, newest) };
        let total = if page.is_counted == Some(true) { count as usize } else { rows.len() };
        let pagination = json!({
            "cursor": { "next": next, "prev": prev },
            "offset": page.offset.unwrap_or(1), "limit": limit, "total": total,
        });
        Json(json!({ "status": "success", "data": rows, "meta": { "pagination": pagination } }))
    })
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
