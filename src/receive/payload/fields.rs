//! Lenient reading of one JSON object.
//!
//! A field that cannot be used is absent, and noted with what was expected there: one odd
//! field must never cost the others. Numbers in strings, ids in numbers, `"n/a"` and the like
//! are read as what they mean; this is the one place that knows these habits.

use std::cell::RefCell;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::model::Timestamp;

/// Ids are keys of indexes, whose rows Postgres limits to about 2,700 bytes.
const MAX_ID_BYTES: usize = 512;

/// What could not be used in one body.
pub struct Notes {
    received_at: Timestamp,
    reasons: RefCell<Vec<String>>,
}

impl Notes {
    /// No notes yet on a body received at `received_at`.
    pub fn new(received_at: Timestamp) -> Self {
        Self { received_at, reasons: RefCell::default() }
    }

    /// Everything noted, each once, in the order of reading.
    pub fn into_reasons(self) -> Vec<String> {
        self.reasons.into_inner()
    }
}

/// One JSON object of a body, and where in the body it is.
#[derive(Clone)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    notes: &'a Notes,
}

impl<'a> Fields<'a> {
    /// The fields of the body itself.
    pub fn of_body(object: &'a Map<String, Value>, notes: &'a Notes) -> Self {
        Self { object, path: String::new(), notes }
    }

    /// Whether the key is there, with whatever value.
    pub fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// Opaque text; an integer counts as its decimal form. Blank and `"n/a"` are no id.
    pub fn id(&self, key: &str) -> Option<String> {
        let id = match self.value(key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if !number.is_f64() => number.to_string(),
            other => return self.note(key, "an id", other),
        };
        if id.len() > MAX_ID_BYTES {
            let reason =
                format!("{}{key}: expected an id of at most {MAX_ID_BYTES} bytes", self.path);
            self.push(reason);
            return None;
        }
        is_said(&id).then_some(id)
    }

    /// A word of an open list: text that is not blank.
    pub fn word(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.trim().is_empty())
    }

    /// Free text, which may be empty.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            other => self.note(key, "text", other),
        }
    }

    /// Text that says `"n/a"` or nothing when there is nothing to say.
    pub fn said(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| is_said(text))
    }

    /// An integer, or its decimal form as text.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let value = self.value(key)?;
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if !is_said(text) => return None,
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.or_else(|| self.note(key, "an integer", value))
    }

    /// `true` or `false`, also as text.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => self.note(key, "true or false", other),
        }
    }

    /// RFC 3339 or unix time, and plausible: after 2014, at most a day after receipt.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        let value = self.value(key)?;
        let time = match value {
            Value::String(text) if !is_said(text) => return None,
            Value::String(text) => Timestamp::parse(text),
            Value::Number(number) => number.as_i64().and_then(Timestamp::from_unix),
            _ => None,
        };
        time.filter(|time| time.is_plausible(self.notes.received_at))
            .or_else(|| self.note(key, "a time after 2014 and not in the future", value))
    }

    /// An array of ids, or of words; elements that are neither are left out.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let Value::Array(elements) = value else {
            return self.note(key, "an array of text", value);
        };
        let element = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            other => self.note(key, "an array of text", other),
        };
        Some(elements.iter().filter_map(element).collect())
    }

    /// An object, to be read in turn.
    pub fn object(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Object(object) => {
                let path = format!("{}{key}.", self.path);
                Some(Self { object, path, notes: self.notes })
            }
            other => self.note(key, "an object", other),
        }
    }

    /// The first element of an array of objects, to be read in turn.
    pub fn first(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Array(elements) => match elements.first()? {
                Value::Object(object) => {
                    let path = format!("{}{key}[0].", self.path);
                    Some(Fields { object, path, notes: self.notes })
                }
                other => self.note(key, "an array of objects", other),
            },
            other => self.note(key, "an array of objects", other),
        }
    }

    /// An object kept as it is; an empty one says nothing.
    pub fn object_as_is(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            value @ Value::Object(_) => to_raw_value(value).ok(),
            other => self.note(key, "an object", other),
        }
    }

    /// An array kept as it is; an empty one says nothing.
    pub fn array_as_is(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Array(elements) if elements.is_empty() => None,
            value @ Value::Array(_) => to_raw_value(value).ok(),
            other => self.note(key, "an array", other),
        }
    }

    /// A picture: an object with `url`, or the URL itself.
    pub fn picture(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            Value::String(text) if !is_said(text) => None,
            value @ (Value::Object(_) | Value::String(_)) => to_raw_value(value).ok(),
            other => self.note(key, "an object or a URL", other),
        }
    }

    /// Whatever is there.
    pub fn as_is(&self, key: &str) -> Option<Box<RawValue>> {
        to_raw_value(self.value(key)?).ok()
    }

    /// Null is as good as absent.
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn note<T>(&self, key: &str, expected: &str, found: &Value) -> Option<T> {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        // Not the value: reasons are shown to people who may not read what customers write.
        let reason = if found == expected {
            format!("{}{key}: expected {expected}", self.path)
        } else {
            format!("{}{key}: expected {expected}, found {found}", self.path)
        };
        self.push(reason);
        None
    }

    fn push(&self, reason: String) {
        let mut reasons = self.notes.reasons.borrow_mut();
        // A field may be looked at twice, once to classify and once to read.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
}

/// Whether a text that may stand for "nothing" says something.
fn is_said(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && !text.eq_ignore_ascii_case("n/a")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T>(body: &Value, read: impl Fn(&Fields<'_>) -> T) -> (T, Vec<String>) {
        let notes = Notes::new(Timestamp::parse("2025-06-12T02:00:00Z").unwrap());
        let value = read(&Fields::of_body(body.as_object().unwrap(), &notes));
        (value, notes.into_reasons())
    }

    #[test]
    fn what_is_written_in_another_type_is_read_as_meant() {
        let body = json!({"id": 7, "count": "3", "flag": "false", "at": 1_749_690_003});
        let (values, notes) = read(&body, |fields| {
            (fields.id("id"), fields.integer("count"), fields.boolean("flag"), fields.time("at"))
        });
        let at = Timestamp::parse("2025-06-12T01:00:03Z");
        assert_eq!(values, (Some("7".to_owned()), Some(3), Some(false), at));
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn nothing_in_any_form_is_absent_and_no_reason_to_complain() {
        let body = json!({"a": null, "b": "", "c": "n/a"});
        for key in ["a", "b", "c", "missing"] {
            let (values, notes) = read(&body, |fields| (fields.id(key), fields.time(key)));
            assert_eq!(values, (None, None), "{key}");
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn a_wrong_type_costs_its_field_and_is_noted_with_its_path() {
        let body = json!({"room": {"tags": "vip", "is_blocked": "no"}});
        let (values, notes) = read(&body, |fields| {
            let room = fields.object("room").unwrap();
            (room.list("tags"), room.boolean("is_blocked"))
        });
        assert_eq!(values, (None, None));
        let expected = [
            "room.tags: expected an array of text, found text",
            "room.is_blocked: expected true or false, found text",
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn an_id_too_long_for_an_index_is_no_id() {
        let body = json!({"id": "x".repeat(MAX_ID_BYTES + 1)});
        let (id, notes) = read(&body, |fields| fields.id("id"));
        assert_eq!(id, None);
        assert_eq!(notes, ["id: expected an id of at most 512 bytes"]);
    }
}
