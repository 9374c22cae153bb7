//! Lenient reader of a JSON object.
//!
//! A field that cannot be used is absent, and reported with what was expected: it never affects
//! other fields. Numbers as strings, ids as numbers and placeholders such as `"n/a"` are accepted
//! here, and only here.

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::value::{MAX_ID_BYTES, describe, is_deeper, is_placeholder};
use crate::model::{PackedList, Timestamp};

/// Maximum nesting of stored JSON. The API returns it inside its own JSON, and many parsers accept
/// only 64 or 128 levels.
const MAX_DEPTH: usize = 32;

/// Maximum number of elements that [`Fields::elements`] reads of an array: a body may have thousands.
const MAX_ELEMENTS: usize = 10;

/// Values that [`Fields::id`] accepts.
pub const ID: &str = "text of 1 to 512 bytes or an integer";

/// Fields of one body that could not be used.
pub struct ParseIssues {
    received_at: Timestamp,
    reasons: RefCell<Vec<String>>,
}

impl ParseIssues {
    /// No issues yet on a body received at `received_at`.
    pub fn new(received_at: Timestamp) -> Self {
        Self { received_at, reasons: RefCell::default() }
    }

    /// All reasons, without duplicates, in the order of reading.
    pub fn into_reasons(self) -> Vec<String> {
        self.reasons.into_inner()
    }
}

/// A JSON object and its path in the body.
#[derive(Clone)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    issues: &'a ParseIssues,
}

/// A value that should be an object, and may be only its text.
pub enum Element<'a> {
    /// An object.
    Object(Fields<'a>),
    /// Text that is no placeholder.
    Text(&'a str),
}

impl<'a> Fields<'a> {
    /// The fields of the body itself.
    pub fn of_body(object: &'a Map<String, Value>, issues: &'a ParseIssues) -> Self {
        Self { object, path: String::new(), issues }
    }

    /// Whether the key exists, with any value.
    pub fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// An id: text, or an integer in decimal form. Placeholders are absent.
    pub fn id(&self, key: &str) -> Option<String> {
        let id = match self.value(key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if !number.is_f64() => number.to_string(),
            other => return self.report(key, ID, other),
        };
        if id.len() > MAX_ID_BYTES {
            return self.report(key, ID, &Value::String(id));
        }
        Some(id).filter(|id| !is_placeholder(id))
    }

    /// Text that is not blank.
    pub fn non_blank(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.trim().is_empty())
    }

    /// Text, which may be empty.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            other => self.report(key, "text", other),
        }
    }

    /// Text that is no placeholder.
    pub fn non_placeholder(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !is_placeholder(text))
    }

    /// An integer, also as text.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let value = self.value(key)?;
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if is_placeholder(text) => return None,
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.or_else(|| self.report(key, "an integer", value))
    }

    /// `true` or `false`, also as text, or as 1 or 0.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        let text = match value {
            Value::Bool(flag) => return Some(*flag),
            Value::String(text) if is_placeholder(text) => return None,
            Value::String(text) => text.trim().to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => self.report(key, "a boolean", value),
        }
    }

    /// A time in RFC 3339 or Unix form, between 2015 and a day after receipt.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        let value = self.value(key)?;
        let time = match value {
            Value::String(text) if is_placeholder(text) => return None,
            Value::String(text) => Timestamp::parse(text),
            Value::Number(number) => number.as_i64().and_then(Timestamp::from_unix),
            _ => None,
        };
        time.filter(|time| time.is_plausible(self.issues.received_at))
            .or_else(|| self.report(key, "a time (RFC 3339 or unix), 2015 to tomorrow", value))
    }

    /// An array of texts or numbers; other elements are dropped.
    pub fn list(&self, key: &str) -> Option<PackedList> {
        let value = self.value(key)?;
        let Value::Array(elements) = value else {
            return self.report(key, "an array of text", value);
        };
        let mut unusable = elements
            .iter()
            .enumerate()
            .filter(|(_, element)| !matches!(element, Value::String(_) | Value::Number(_)));
        if let Some((i, element)) = unusable.next() {
            // Only the first is reported: there may be thousands.
            let expected = match unusable.count() {
                0 => "text".to_owned(),
                others => format!("text, here and in {others} more elements"),
            };
            self.report::<()>(&format!("{key}[{i}]"), &expected, element);
        }
        let usable = elements.iter().filter_map(|element| match element {
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(number.to_string().into()),
            _ => None,
        });
        Some(usable.collect())
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Object(object) => {
                let path = format!("{}{key}.", self.path);
                Some(Self { object, path, issues: self.issues })
            }
            other => self.report(key, "an object", other),
        }
    }

    /// The first element of an array of objects.
    pub fn first(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Array(elements) => match elements.first()? {
                Value::Object(object) => {
                    let path = format!("{}{key}[0].", self.path);
                    Some(Fields { object, path, issues: self.issues })
                }
                other => self.report(&format!("{key}[0]"), "an object", other),
            },
            other => self.report(key, "an array of objects", other),
        }
    }

    /// The first elements of an array of objects or texts, or one such value in place of an array.
    pub fn elements(&self, key: &str) -> impl Iterator<Item = Element<'a>> {
        let value = self.value(key);
        let array = value.and_then(Value::as_array);
        let values = match (array, value) {
            (Some(elements), _) => &elements[..elements.len().min(MAX_ELEMENTS)],
            (None, Some(value)) => std::slice::from_ref(value),
            (None, None) => &[],
        };
        values.iter().enumerate().filter_map(move |(i, value)| {
            let key = if array.is_some() { format!("{key}[{i}]") } else { key.to_owned() };
            match value {
                Value::Null => None,
                Value::String(text) => (!is_placeholder(text)).then_some(Element::Text(text)),
                Value::Object(object) => {
                    let path = format!("{}{key}.", self.path);
                    Some(Element::Object(Fields { object, path, issues: self.issues }))
                }
                other => self.report(&key, "an object or text", other),
            }
        })
    }

    /// An object as JSON; absent if it is empty.
    pub fn raw_object(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            value @ Value::Object(_) => self.to_raw(key, value),
            other => self.report(key, "an object", other),
        }
    }

    /// An array as JSON; absent if it is empty.
    pub fn raw_array(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Array(elements) if elements.is_empty() => None,
            value @ Value::Array(_) => self.to_raw(key, value),
            other => self.report(key, "an array", other),
        }
    }

    /// An avatar as JSON: an object with `url`, or the URL.
    pub fn avatar(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            Value::String(text) if is_placeholder(text) => None,
            value @ (Value::Object(_) | Value::String(_)) => self.to_raw(key, value),
            other => self.report(key, "an object or a URL", other),
        }
    }

    /// Any value as JSON.
    pub fn raw(&self, key: &str) -> Option<Box<RawValue>> {
        self.to_raw(key, self.value(key)?)
    }

    fn to_raw(&self, key: &str, value: &Value) -> Option<Box<RawValue>> {
        if is_deeper(value, MAX_DEPTH) {
            return self.report(key, "JSON nested at most 32 levels deep", value);
        }
        to_raw_value(value).ok()
    }

    /// Null counts as absent.
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Describes the value at a path of keys separated by dots, for a reason.
    pub fn describe(&self, path: &str) -> Cow<'static, str> {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| self.object.get(key));
        match first.and_then(|value| keys.try_fold(value, |value, key| value.get(key))) {
            Some(value) => describe(value),
            None => "missing".into(),
        }
    }

    fn report<T>(&self, key: &str, expected: &str, value: &Value) -> Option<T> {
        let reason =
            format!("{}{key}: expected {expected}, but it is {}", self.path, describe(value));
        let mut reasons = self.issues.reasons.borrow_mut();
        // Some fields are read twice, to classify the body and to parse it.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T>(body: &Value, read: impl Fn(&Fields<'_>) -> T) -> (T, Vec<String>) {
        let issues = ParseIssues::new(Timestamp::parse("2025-06-12T02:00:00Z").unwrap());
        let value = read(&Fields::of_body(body.as_object().unwrap(), &issues));
        (value, issues.into_reasons())
    }

    #[test]
    fn ids_numbers_booleans_and_times_are_accepted_in_other_types() {
        let body = json!({"id": 7, "count": "3", "flag": "false", "at": 1_749_690_003});
        let (values, issues) = read(&body, |fields| {
            (fields.id("id"), fields.integer("count"), fields.boolean("flag"), fields.time("at"))
        });
        let at = Timestamp::parse("2025-06-12T01:00:03Z");
        assert_eq!(values, (Some("7".to_owned()), Some(3), Some(false), at));
        assert!(issues.is_empty(), "{issues:?}");
    }

    #[test]
    fn json_nested_more_than_32_levels_deep_is_dropped() {
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        let body = json!({"a": nested(32), "b": nested(33)});
        let (kept, issues) = read(&body, |fields| (fields.raw("a"), fields.raw("b")));
        assert!(kept.0.is_some() && kept.1.is_none(), "{kept:?}");
        assert_eq!(issues, ["b: expected JSON nested at most 32 levels deep, but it is an array"]);
    }

    #[test]
    fn null_and_placeholders_are_absent_without_a_reason() {
        let body = json!({"a": null, "b": "", "c": "n/a"});
        for key in ["a", "b", "c", "missing"] {
            let (values, issues) = read(&body, |fields| (fields.id(key), fields.time(key)));
            assert_eq!(values, (None, None), "{key}");
            assert!(issues.is_empty(), "{issues:?}");
        }
    }

    #[test]
    fn field_of_a_wrong_type_is_dropped_and_reported_with_its_path() {
        let body = json!({"room": {"tags": "vip", "is_blocked": "no"}});
        let (values, issues) = read(&body, |fields| {
            let room = fields.object("room").unwrap();
            (room.list("tags"), room.boolean("is_blocked"))
        });
        assert_eq!(values, (None, None));
        let expected = [
            "room.tags: expected an array of text, but it is text",
            "room.is_blocked: expected a boolean, but it is text",
        ];
        assert_eq!(issues, expected);
    }

    #[test]
    fn id_too_long_for_an_index_is_rejected() {
        let body = json!({"id": "x".repeat(MAX_ID_BYTES + 1)});
        let (id, issues) = read(&body, |fields| fields.id("id"));
        assert_eq!(id, None);
        let expected = format!(
            "id: expected text of 1 to {MAX_ID_BYTES} bytes or an integer, \
             but it is text of 513 bytes"
        );
        assert_eq!(issues, [expected]);
    }

    #[test]
    fn unusable_elements_are_reported_once_with_the_path_of_the_first() {
        let body = json!({"a": ["x", null], "b": ["x", 7, {}, [], true], "c": ["x"]});
        for (key, usable, expected) in [
            ("a", vec!["x"], vec!["a[1]: expected text, but it is null"]),
            (
                "b",
                vec!["x", "7"],
                vec!["b[2]: expected text, here and in 2 more elements, but it is an object"],
            ),
            ("c", vec!["x"], vec![]),
        ] {
            let (list, issues) = read(&body, |fields| fields.list(key).unwrap());
            assert_eq!(list, usable.iter().collect(), "{key}");
            assert_eq!(issues, expected);
        }
    }

    #[test]
    fn first_element_of_an_array_is_reported_with_its_index() {
        let body = json!({"response": {"errors": ["odd"]}});
        let (error, issues) =
            read(&body, |fields| fields.object("response").unwrap().first("errors").is_some());
        assert!(!error);
        assert_eq!(issues, ["response.errors[0]: expected an object, but it is text"]);
    }

    #[test]
    fn value_at_a_path_is_described_without_its_content() {
        let body = json!({"id": 1.5, "room": {"id": " ", "tags": []}, "data": "secret"});
        let cases = [
            ("id", "a number"),
            ("room.id", "blank"),
            ("room.tags", "an array"),
            ("room", "an object"),
            ("data", "text"),
            ("data.room.id", "missing"),
            ("nowhere", "missing"),
        ];
        for (path, expected) in cases {
            assert_eq!(read(&body, |fields| fields.describe(path)).0, expected, "{path}");
        }
    }
}
