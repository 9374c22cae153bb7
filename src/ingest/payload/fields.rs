//! Lenient reading of one JSON object.
//!
//! A field that cannot be used is absent, and noted with what was expected there: one odd
//! field must never cost the others. Numbers in strings, ids in numbers, `"n/a"` and the like
//! are read as what they mean; this is the one place that knows these habits.

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::model::{PackedList, Timestamp};

/// Ids are keys of indexes, whose rows Postgres limits to about 2,700 bytes.
const MAX_ID_BYTES: usize = 512;

/// How deep JSON may be nested that is kept as it is.
const MAX_DEPTH: usize = 32;

/// What [`Fields::id`] expects.
pub const ID: &str = "text of 1 to 512 bytes or an integer";

/// What could not be used in one body.
pub struct ParseIssues {
    received_at: Timestamp,
    reasons: RefCell<Vec<String>>,
}

impl ParseIssues {
    /// No issues yet on a body received at `received_at`.
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
    issues: &'a ParseIssues,
}

impl<'a> Fields<'a> {
    /// The fields of the body itself.
    pub fn of_body(object: &'a Map<String, Value>, issues: &'a ParseIssues) -> Self {
        Self { object, path: String::new(), issues }
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
            other => return self.report(key, ID, other),
        };
        if id.len() > MAX_ID_BYTES {
            return self.report(key, ID, &Value::String(id));
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
            other => self.report(key, "text", other),
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
        number.or_else(|| self.report(key, "an integer", value))
    }

    /// `true` or `false`, also as text.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => self.report(key, "true or false", other),
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
        time.filter(|time| time.is_plausible(self.issues.received_at))
            .or_else(|| self.report(key, "a time (RFC 3339 or unix), 2015 to tomorrow", value))
    }

    /// An array of ids, or of words; elements that are neither are left out.
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
            // The first stands for all of them: there may be thousands.
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

    /// An object, to be read in turn.
    pub fn object(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Object(object) => {
                let path = format!("{}{key}.", self.path);
                Some(Self { object, path, issues: self.issues })
            }
            other => self.report(key, "an object", other),
        }
    }

    /// The first element of an array of objects, to be read in turn.
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

    /// An object kept as it is; an empty one says nothing.
    pub fn object_as_is(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            value @ Value::Object(_) => self.raw(key, value),
            other => self.report(key, "an object", other),
        }
    }

    /// An array kept as it is; an empty one says nothing.
    pub fn array_as_is(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Array(elements) if elements.is_empty() => None,
            value @ Value::Array(_) => self.raw(key, value),
            other => self.report(key, "an array", other),
        }
    }

    /// A avatar: an object with `url`, or the URL itself.
    pub fn avatar(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            Value::Object(object) if object.is_empty() => None,
            Value::String(text) if !is_said(text) => None,
            value @ (Value::Object(_) | Value::String(_)) => self.raw(key, value),
            other => self.report(key, "an object or a URL", other),
        }
    }

    /// Whatever is there.
    pub fn as_is(&self, key: &str) -> Option<Box<RawValue>> {
        self.raw(key, self.value(key)?)
    }

    /// A value that the API shows inside of its own JSON, which has to stay readable: many parsers
    /// give up at 64 or 128 levels.
    fn raw(&self, key: &str, value: &Value) -> Option<Box<RawValue>> {
        if is_deeper(value, MAX_DEPTH) {
            return self.report(key, "JSON nested at most 32 deep", value);
        }
        to_raw_value(value).ok()
    }

    /// Null is as good as absent.
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// What stands at a path of keys with dots between them, in words for a reason.
    pub fn found(&self, path: &str) -> Cow<'static, str> {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| self.object.get(key));
        match first.and_then(|value| keys.try_fold(value, |value, key| value.get(key))) {
            Some(value) => found(value),
            None => "missing".into(),
        }
    }

    fn report<T>(&self, key: &str, expected: &str, value: &Value) -> Option<T> {
        let reason = format!("{}{key}: expected {expected}, but it is {}", self.path, found(value));
        let mut reasons = self.issues.reasons.borrow_mut();
        // A field may be looked at twice, once to classify and once to read.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
        None
    }
}

/// What a value is, in words for a reason. Never the value itself: reasons are shown to people who
/// may not read what customers write.
pub fn found(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "true or false".into(),
        Value::Number(_) => "a number".into(),
        Value::String(text) if !is_said(text) => "blank".into(),
        Value::String(text) if text.len() > MAX_ID_BYTES => {
            format!("text of {} bytes", text.len()).into()
        }
        Value::String(_) => "text".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Whether a text that may stand for "nothing" says something.
fn is_said(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && !text.eq_ignore_ascii_case("n/a")
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    let inside = |value| depth == 0 || is_deeper(value, depth - 1);
    match value {
        Value::Array(elements) => elements.iter().any(inside),
        Value::Object(object) => object.values().any(inside),
        _ => false,
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
    fn what_is_written_in_another_type_is_read_as_meant() {
        let body = json!({"id": 7, "count": "3", "flag": "false", "at": 1_749_690_003});
        let (values, issues) = read(&body, |fields| {
            (fields.id("id"), fields.integer("count"), fields.boolean("flag"), fields.time("at"))
        });
        let at = Timestamp::parse("2025-06-12T01:00:03Z");
        assert_eq!(values, (Some("7".to_owned()), Some(3), Some(false), at));
        assert!(issues.is_empty(), "{issues:?}");
    }

    #[test]
    fn what_is_nested_deeper_than_many_parsers_go_is_left_out() {
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        let body = json!({"a": nested(32), "b": nested(33)});
        let (kept, issues) = read(&body, |fields| (fields.as_is("a"), fields.as_is("b")));
        assert!(kept.0.is_some() && kept.1.is_none(), "{kept:?}");
        assert_eq!(issues, ["b: expected JSON nested at most 32 deep, but it is an array"]);
    }

    #[test]
    fn nothing_in_any_form_is_absent_and_no_reason_to_complain() {
        let body = json!({"a": null, "b": "", "c": "n/a"});
        for key in ["a", "b", "c", "missing"] {
            let (values, issues) = read(&body, |fields| (fields.id(key), fields.time(key)));
            assert_eq!(values, (None, None), "{key}");
            assert!(issues.is_empty(), "{issues:?}");
        }
    }

    #[test]
    fn a_wrong_type_costs_its_field_and_is_noted_with_its_path() {
        let body = json!({"room": {"tags": "vip", "is_blocked": "no"}});
        let (values, issues) = read(&body, |fields| {
            let room = fields.object("room").unwrap();
            (room.list("tags"), room.boolean("is_blocked"))
        });
        assert_eq!(values, (None, None));
        let expected = [
            "room.tags: expected an array of text, but it is text",
            "room.is_blocked: expected true or false, but it is text",
        ];
        assert_eq!(issues, expected);
    }

    #[test]
    fn an_id_too_long_for_an_index_is_no_id() {
        let body = json!({"id": "x".repeat(MAX_ID_BYTES + 1)});
        let (id, issues) = read(&body, |fields| fields.id("id"));
        assert_eq!(id, None);
        let expected = format!(
            "id: expected text of 1 to {MAX_ID_BYTES} bytes or an integer, but it is text of 513 bytes"
        );
        assert_eq!(issues, [expected]);
    }

    #[test]
    fn elements_that_cannot_be_used_cost_one_note_with_the_place_of_the_first() {
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
    fn the_first_element_of_an_array_is_noted_with_its_place() {
        let body = json!({"response": {"errors": ["odd"]}});
        let (error, issues) =
            read(&body, |fields| fields.object("response").unwrap().first("errors").is_some());
        assert!(!error);
        assert_eq!(issues, ["response.errors[0]: expected an object, but it is text"]);
    }

    #[test]
    fn what_stands_at_a_path_is_told_without_its_value() {
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
            assert_eq!(read(&body, |fields| fields.found(path)).0, expected, "{path}");
        }
    }
}
