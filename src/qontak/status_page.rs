//! Qontak's status page, in the format of Statuspage: `/api/v2/summary.json`.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, Method};
use serde_json::Value;

use super::error::Error;
use super::response;
use super::transport::Transport;
use crate::model::Timestamp;
use crate::store::qontak_status::StatusRow;

const ROUTE: &str = "api/v2/summary.json";

/// Maximum number of rows that are kept, and of characters of a text.
const MAX_ROWS: usize = 50;
const MAX_CHARS: usize = 300;

/// Reads the unresolved incidents and maintenance of the page at this address.
pub async fn fetch(transport: &Transport, page: &str) -> Result<Vec<StatusRow>, Error> {
    let url = format!("{page}/{ROUTE}");
    let answer = transport.send(Method::GET, &url, HeaderMap::new(), None).await?;
    rows(&response::read(&answer, ROUTE, 0)?)
}

fn rows(summary: &Value) -> Result<Vec<StatusRow>, Error> {
    let mut ids = BTreeSet::new();
    let mut rows = Vec::new();
    for (list, kind, start) in [
        ("incidents", "incident", &["started_at", "created_at"]),
        ("scheduled_maintenances", "maintenance", &["scheduled_for", "created_at"]),
    ] {
        let Some(entries) = summary[list].as_array() else {
            return Err(Error::UnknownForm { route: ROUTE, problem: "a list is missing" });
        };
        for entry in entries {
            let text = |field: &str| entry[field].as_str().map(clean).filter(|it| !it.is_empty());
            let (Some(id), Some(name)) = (text("id"), text("name")) else { continue };
            if rows.len() == MAX_ROWS || !ids.insert(id.clone()) {
                continue;
            }
            let time = |field: &&str| Timestamp::parse(entry[*field].as_str()?);
            let url = text("shortlink").filter(|url| url.starts_with("https://"));
            rows.push(StatusRow {
                id,
                kind: kind.to_owned(),
                name,
                status: text("status").unwrap_or_else(|| "unknown".to_owned()),
                impact: text("impact").filter(|impact| impact != "none"),
                started_at: start.iter().find_map(time).filter(|time| time.is_storable()),
                url,
            });
        }
    }
    Ok(rows)
}

/// Text that Postgres takes.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn incomplete_and_repeated_entries_are_left_out() {
        let incident = json!({"id": "a", "name": "Delayed\u{0} webhooks", "status": "identified",
            "impact": "minor", "created_at": "2025-06-12T02:12:00.000+07:00",
            "shortlink": "https://stspg.io/a"});
        let maintenance = json!({"id": "b", "name": "x".repeat(999), "status": "scheduled",
            "impact": "none", "scheduled_for": "soon", "shortlink": "javascript:alert(1)"});
        let summary = json!({
            "incidents": [incident, incident, {"id": "c"}, 7],
            "scheduled_maintenances": [maintenance],
        });
        let rows = rows(&summary).unwrap();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[0].name, "Delayed webhooks");
        assert_eq!(rows[0].started_at, Timestamp::parse("2025-06-11T19:12:00Z"));
        assert_eq!((rows[1].name.len(), &rows[1].impact, &rows[1].url), (300, &None, &None));
        assert!(super::rows(&json!({"incidents": []})).is_err());
    }
}
