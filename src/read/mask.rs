//! Masks a response for keys with scope `read_masked`: no text, no name, phone numbers as `6281••••••001`.
//!
//! Fields are shown only if they are listed here, so a field that is new is masked until somebody decides.

use std::fmt::Write;

use serde_json::Value;

use crate::model::phone;

/// In place of a text. Not null, because some fields of a response are never null.
const HIDDEN: &str = "•••";

/// Fields whose texts are shown: words of Qontak and of this service, ids, and figures.
const SHOWN: &[&str] = &[
    "agent_ids",
    "billable",
    "category",
    "channel",
    "checked_at",
    "code",
    "column",
    "conversation_origin",
    "currency",
    "day",
    "direction",
    "conflicts",
    "en",
    "end",
    "endpoint",
    "error",
    "error_title",
    "event",
    "execute_status",
    "execute_type",
    "expiration",
    "facet",
    "failing_since",
    "first",
    "from",
    "hour",
    "href",
    "implied",
    "impact",
    "interval",
    "kind",
    "language",
    "last",
    "level",
    "link",
    "messaging_product",
    "month",
    "next",
    "operation",
    "organizations",
    "other_statuses",
    "outcome",
    "outcome_before",
    "participant_type",
    "prev",
    "pricing_category",
    "pricing_model",
    "problem",
    "quality_rating",
    "reason",
    "reasons",
    "resolved_by_type",
    "response",
    "role",
    "scopes",
    "self",
    "sender_kind",
    "sender_type",
    "session",
    "since",
    "source",
    "start",
    "state",
    "status",
    "subject",
    "detail",
    "table",
    "target_channel",
    "time",
    "time_zone",
    "timestamp",
    "to",
    "type",
    "unit",
    "until",
    "value",
    "version",
    "what",
    "at",
    "week",
    "year",
];

/// Ids that are phone numbers or contain one: WhatsApp's message ids do.
const HIDDEN_IDS: [&str; 6] =
    ["account_uniq_id", "channel_uniq_id", "contact_id", "external_id", "wa_id", "recipient_id"];

/// Masks a JSON document. Fails if it is none.
pub fn mask_json(document: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(document)?;
    mask(&mut value, "");
    serde_json::to_vec(&value)
}

/// Masks all texts of a value; `field` is the name under which it stands.
fn mask(value: &mut Value, field: &str) {
    match value {
        Value::String(text) => {
            if let Some(masked) = masked(text, field) {
                *text = masked;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, field)),
        Value::Object(fields) => {
            // A key may be a number too.
            let keys: Vec<String> = fields.keys().filter(|key| is_number(key)).cloned().collect();
            for key in keys {
                if let Some(value) = fields.remove(&key) {
                    let mut masked = phone::mask(&key);
                    while fields.contains_key(&masked) {
                        _ = masked.write_char('•');
                    }
                    fields.insert(masked, value);
                }
            }
            fields.iter_mut().for_each(|(field, value)| mask(value, field));
        }
        Value::Number(number) => {
            if !is_shown(field) && number.as_u64().is_some_and(|it| it >= 10_000_000_000) {
                *value = Value::Null;
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The masked text; `None` if it may be shown.
fn masked(text: &str, field: &str) -> Option<String> {
    if text.is_empty() || is_shown(field) && !is_number(text) && !text.starts_with("wamid.") {
        return None;
    }
    Some(if is_number(text) { phone::mask(text) } else { HIDDEN.to_owned() })
}

fn is_shown(field: &str) -> bool {
    let is_id = field == "id" || field.ends_with("_id") || field.ends_with("_ids");
    let is_time = field.ends_with("_at") || field.ends_with("_date");
    (is_id && !HIDDEN_IDS.contains(&field)) || is_time || SHOWN.contains(&field)
}

/// Whether a text may be a phone number: digits, with what stands between them.
fn is_number(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || "+-() .".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    // Times and days have a T, a Z, or less than nine digits.
    (9..=20).contains(&digits) && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_names_and_numbers_are_masked_and_ids_times_and_words_are_not() {
        let document = json!({
            "id": "24a60fba-3bc1-4694-9f51-66c4b74d1978", "room_id": "6281200010001",
            "created_at": "2025-06-12T02:18:22.517Z", "day": "2025-06-12", "status": "read",
            "text": "Halo Kak", "name": "Siti", "account_uniq_id": "6281200010001",
            "external_id": "wamid.HBgN", "messages": [{"id": "wamid.HBgN"}], "tags": ["vip"],
            "6281200010001": {"unknown_field": "Siti", "phone": 6281200010001_u64}, "count": 7,
        });
        let masked = mask_json(document.to_string().as_bytes()).unwrap();
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        let expected = json!({
            "id": "24a60fba-3bc1-4694-9f51-66c4b74d1978", "room_id": "6281••••••001",
            "created_at": "2025-06-12T02:18:22.517Z", "day": "2025-06-12", "status": "read",
            "text": "•••", "name": "•••", "account_uniq_id": "6281••••••001",
            "external_id": "•••", "messages": [{"id": "•••"}], "tags": ["•••"],
            "6281••••••001": {"unknown_field": "•••", "phone": null}, "count": 7,
        });
        assert_eq!(masked, expected);
    }
}
