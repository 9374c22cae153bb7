//! A status page in the format of Statuspage.

use axum::Json;
use axum::extract::State as Extract;
use serde_json::{Value, json};

use super::state::Fake;

/// `GET /api/v2/summary.json`.
pub async fn summary(Extract(fake): Extract<Fake>) -> Json<Value> {
    let state = fake.state();
    let incidents: Vec<Value> = state
        .incidents
        .iter()
        .enumerate()
        .map(|(number, name)| {
            json!({
                "id": format!("incident-{number}"),
                "name": name,
                "status": "investigating",
                "impact": "minor",
                "created_at": "2025-06-12T02:12:00.000Z",
                "shortlink": format!("https://stspg.example/{number}"),
            })
        })
        .collect();
    let indicator = if incidents.is_empty() { "none" } else { "minor" };
    Json(json!({
        "page": { "id": "fake", "name": "Mekari Qontak", "url": "https://status.example" },
        "components": [],
        "incidents": incidents,
        "scheduled_maintenances": [],
        "status": { "indicator": indicator, "description": "" },
    }))
}
