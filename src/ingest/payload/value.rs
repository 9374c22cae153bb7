//! Properties of JSON values.
//!
//! No function here returns content of a value: it could reach a reason or a log.

use std::borrow::Cow;

use crate::ingest::json::Value;

/// Maximum length of ids, words, names and elements of lists. Index keys have up to four of them, and
/// Postgres limits a key to about 2,700 bytes.
pub const MAX_TEXT_BYTES: usize = 512;

/// Describes a value for a reason, by type and never by content: readers of reasons may not be
/// allowed to read messages.
pub fn describe(value: Value<'_>) -> Cow<'static, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(_) => match value.text().unwrap_or_default() {
            text if is_placeholder(&text) => "blank".into(),
            text if text.len() > MAX_TEXT_BYTES => format!("text of {} bytes", text.len()).into(),
            _ => "text".into(),
        },
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Whether a text stands for an absent value.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.eq_ignore_ascii_case("n/a")
}

/// An integer in decimal form. Spreadsheets write it as `6281200010001.0`, which is exact up to 2^53.
pub fn integer(value: Value<'_>) -> Option<String> {
    let number = value.number()?;
    if !number.is_f64() {
        return Some(number.to_string());
    }
    let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
    Some(format!("{number:.0}"))
}
