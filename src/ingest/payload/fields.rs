//! Lenient reader of a JSON object.
//!
//! A field that cannot be used is absent, and reported with what was expected: it never affects
//! other fields. Numbers as strings, ids as numbers and placeholders such as `"n/a"` are accepted
//! here, and only here.

mod arrays;
mod field;
mod node;
mod raw;

use std::borrow::Cow;
use std::rc::Rc;

pub use self::arrays::Element;
use self::field::Field;
use self::node::Node;
use super::issues::ParseIssues;
use super::time::{self, ParsedTime};
use super::value::{MAX_TEXT_BYTES, describe, integer, is_placeholder};
use crate::ingest::json::{Object, Value};
use crate::model::Timestamp;

/// Values that [`Fields::id`] accepts.
pub const ID: &str = "text of 1 to 512 bytes or an integer";

/// Texts that [`Fields::non_blank`] and the elements of [`Fields::list`] accept.
const SHORT_TEXT: &str = "text of at most 512 bytes";

/// The fields of a JSON object.
#[derive(Clone)]
pub struct Fields<'a> {
    object: Rc<Node<'a>>,
    /// Object to read fields from that are absent or cannot be used.
    data: Option<Rc<Node<'a>>>,
    issues: &'a ParseIssues,
}

impl<'a> Fields<'a> {
    /// The fields of the body itself.
    pub fn of_body(object: Object<'a>, issues: &'a ParseIssues) -> Self {
        Self { object: Rc::new(Node::new(object, String::new())), data: None, issues }
    }

    /// Also reads fields from the object `data`: those that are absent or cannot be used outside of it.
    pub fn with_data(&self) -> Self {
        let data = match self.object.get("data") {
            Some(Value::Object(text)) => self.object.child(text, "data"),
            _ => None,
        };
        Self { data, ..self.clone() }
    }

    /// Whether the key exists, with any value.
    pub fn has(&self, key: &str) -> bool {
        let data = || self.data.as_ref()?.get(key);
        self.object.get(key).or_else(data).is_some()
    }

    /// Whether there is an object under the key.
    pub fn has_object(&self, key: &str) -> bool {
        self.read(key, |field| matches!(field.value, Value::Object(_)).then_some(())).is_some()
    }

    /// An id: text, or an integer in decimal form. Placeholders are absent.
    pub fn id(&self, key: &str) -> Option<String> {
        self.id_str(key).map(Cow::into_owned)
    }

    /// The same as [`id`](Self::id), without a copy.
    pub fn id_str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.read(key, |field| {
            let id = field.value.text().or_else(|| integer(field.value).map(Cow::from));
            match id.filter(|id| id.len() <= MAX_TEXT_BYTES) {
                Some(id) => Some(id).filter(|id| !is_placeholder(id)),
                None => field.report(ID),
            }
        })
    }

    /// A word or name: text that is not blank and not too long for an index.
    pub fn non_blank(&self, key: &str) -> Option<String> {
        self.non_blank_str(key).map(Cow::into_owned)
    }

    /// The same as [`non_blank`](Self::non_blank), without a copy.
    pub fn non_blank_str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.read(key, |field| {
            let text = field.text()?;
            if text.len() > MAX_TEXT_BYTES {
                return field.report(SHORT_TEXT);
            }
            Some(text).filter(|text| !text.trim().is_empty())
        })
    }

    /// A word of an open list, such as a status: without surrounding white space, in lower case.
    pub fn word(&self, key: &str) -> Option<String> {
        Some(self.non_blank_str(key)?.trim().to_ascii_lowercase())
    }

    /// Text of any length, which may be empty.
    pub fn text(&self, key: &str) -> Option<String> {
        self.text_str(key).map(Cow::into_owned)
    }

    /// The same as [`text`](Self::text), without a copy.
    pub fn text_str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.read(key, |field| field.text())
    }

    /// Text that is no placeholder.
    pub fn non_placeholder(&self, key: &str) -> Option<String> {
        let text = self.read(key, |field| field.text().filter(|text| !is_placeholder(text)));
        text.map(Cow::into_owned)
    }

    /// An integer, also as text.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.read(key, |field| {
            let number = match field.value.text() {
                Some(text) if is_placeholder(&text) => return None,
                Some(text) => text.trim().parse().ok(),
                None => field.value.number().and_then(|number| number.as_i64()),
            };
            number.or_else(|| field.report("an integer"))
        })
    }

    /// `true` or `false`, also as text, or as 1 or 0.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.read(key, |field| {
            let value = field.value;
            let text = match value {
                Value::Bool(flag) => return Some(flag),
                Value::String(_) => value.text()?.trim().to_ascii_lowercase(),
                Value::Number(_) => value.number()?.to_string(),
                _ => String::new(),
            };
            match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                text if matches!(value, Value::String(_)) && is_placeholder(text) => None,
                _ => field.report("a boolean"),
            }
        })
    }

    /// A time between 2015 and a day after receipt. Without a zone it is UTC.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        self.read(key, |field| {
            if field.value.text().is_some_and(|text| is_placeholder(&text)) {
                return None;
            }
            let received_at = self.issues.received_at();
            let parsed = time::parse(field.value);
            let parsed = parsed.filter(|parsed| parsed.time.is_plausible(received_at));
            let Some(ParsedTime { time, has_zone }) = parsed else {
                return field.report("a time (RFC 3339 or unix), 2015 to tomorrow");
            };
            if !has_zone {
                self.issues.note_missing_zone(&field.path());
            }
            Some(time)
        })
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<Self> {
        self.read(key, |field| match field.value {
            Value::Object(text) => Some(self.nested(field.node.child(text, key)?)),
            _ => field.report("an object"),
        })
    }

    /// An object, if the key has one; anything else is no error.
    pub fn object_if_any(&self, key: &str) -> Option<Self> {
        if self.has_object(key) { self.object(key) } else { None }
    }

    /// Reads a field: that of the object, or that of `data` if the former is absent, empty or unusable.
    fn read<T>(&self, key: &str, read: impl Fn(Field<'_, 'a>) -> Option<T>) -> Option<T> {
        let [first, second] = self.fields(key);
        first.and_then(&read).or_else(|| read(second?))
    }

    /// The field of the object and that of `data`, in the order in which they count. Null counts as absent.
    fn fields<'f>(&'f self, key: &'f str) -> [Option<Field<'f, 'a>>; 2] {
        // Also null, which is an answer.
        for node in [Some(&self.object), self.data.as_ref()].into_iter().flatten() {
            self.issues.note_read(|| node.get(key).map(|_| node.path_of(key)));
        }
        let issues = self.issues;
        let field = |node: &'f Rc<Node<'a>>| {
            let value = node.get(key).filter(|value| !matches!(value, Value::Null))?;
            Some(Field { node, key, value, issues })
        };
        let own = field(&self.object);
        let Some(of_data) = self.data.as_ref().and_then(field) else { return [own, None] };
        match own {
            Some(own) if !own.is_empty() => [Some(own), Some(of_data)],
            own => [Some(of_data), own],
        }
    }

    fn nested(&self, object: Rc<Node<'a>>) -> Self {
        Self { object, data: None, issues: self.issues }
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

    /// Records that nothing of the body could be used.
    pub fn note(&self, reason: String) {
        self.issues.note(reason);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T>(body: &Value, read: impl Fn(&Fields<'_>) -> T) -> (T, Vec<String>) {
        let issues = ParseIssues::new(Timestamp::parse("2025-06-12T02:00:00Z").unwrap());
        let body = body.to_string();
        let value = read(&Fields::of_body(Object::new(&body).unwrap(), &issues));
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
            let read = read(&body, |fields| (fields.id(key), fields.time(key)));
            assert_eq!(read, ((None, None), Vec::new()), "{key}");
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
    fn long_ids_words_and_elements_are_dropped_alone() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let body = json!({"id": long, "status": long, "tags": ["vip", long, {}], "text": long});
        let (values, issues) = read(&body, |fields| {
            let dropped = (fields.id("id"), fields.non_blank("status"));
            (dropped, fields.list("tags"), fields.text("text"))
        });
        assert_eq!(values, ((None, None), Some(["vip"].iter().collect()), Some(long)));
        let expected = [
            "id: expected text of 1 to 512 bytes or an integer, but it is text of 513 bytes",
            "status: expected text of at most 512 bytes, but it is text of 513 bytes",
            "tags[1]: expected text of at most 512 bytes, here and in 1 more elements, but it is \
             text of 513 bytes",
        ];
        assert_eq!(issues, expected);
    }

    #[test]
    fn fields_absent_at_the_top_are_read_in_data() {
        let body = json!({"id": "top", "text": null, "data": {"id": "inside", "text": "halo",
            "room": {"tags": 1}, "is_edited": "no"}});
        let (values, issues) = read(&body, |fields| {
            let fields = fields.with_data();
            fields.object("room").unwrap().list("tags");
            fields.boolean("is_edited");
            (fields.id("id"), fields.text("text"), fields.has("is_edited"))
        });
        assert_eq!(values, (Some("top".to_owned()), Some("halo".to_owned()), true));
        let expected = [
            "data.room.tags: expected an array of text, but it is a number",
            "data.is_edited: expected a boolean, but it is text",
        ];
        assert_eq!(issues, expected);
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
        let read_error = |fields: &Fields<'_>| fields.object("response")?.first("errors").map(drop);
        let (error, issues) = read(&body, read_error);
        assert_eq!(error, None);
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
