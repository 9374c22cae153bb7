//! What Qontak's row says about a creation that it accepted.

use serde_json::Value;

use crate::qontak::catalog;
use crate::store::catalog as names;
use crate::store::creation::{Kind, Report, State};

/// The row in the response to a creation. Documents and recordings differ.
pub fn created(answer: &Value) -> Option<&Value> {
    let places = ["/data/data/0", "/data/data", "/data/0", "/data", ""];
    let mut rows = places.iter().filter_map(|place| answer.pointer(place));
    rows.find(|row| row["id"].is_string())
}

/// The state that a row shows, and those of its fields that are stored. The row has an id.
pub fn assess(kind: Kind, row: &Value) -> Report {
    let entry = catalog::entry(catalog_kind(kind), row).expect("`created` has found its id");
    let (state, error) = match kind {
        Kind::Template => template(&entry.data),
        Kind::ContactList => contact_list(&entry.data),
    };
    Report {
        state,
        qontak_id: Some(entry.id),
        result: Some(entry.data),
        error: error.map(str::to_owned),
    }
}

/// Its kind in table `catalog`.
pub const fn catalog_kind(kind: Kind) -> names::Kind {
    match kind {
        Kind::Template => names::Kind::Template,
        Kind::ContactList => names::Kind::ContactList,
    }
}

fn template(data: &Value) -> (State, Option<&'static str>) {
    match text(&data["status"]).as_str() {
        "rejected" => (State::Failed, Some("rejected in review")),
        "deleted" | "pending_deletion" | "disabled" | "archived" => {
            (State::Failed, Some("deleted or disabled at Qontak"))
        }
        // The latter two are approved templates that customers complained about.
        "approved" | "active" | "flagged" | "paused" => (State::Done, None),
        // In review, or a status that is not known yet.
        _ => (State::Processing, None),
    }
}

fn contact_list(data: &Value) -> (State, Option<&'static str>) {
    if data["finished_at"].is_null() {
        (State::Processing, None)
    } else if text(&data["progress"]) != "success" {
        (State::Failed, Some("the import failed"))
    } else if data["contacts_count_success"] == 0 {
        // Qontak calls an import a success that has imported nobody.
        (State::Failed, Some("no contact was imported"))
    } else {
        (State::Done, None)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_ascii_lowercase()
}
