//! Reads arrays of an object: element by element, so that one wrong element costs only itself.

use std::borrow::Cow;

use serde_json::Value;

use super::{Fields, SHORT_TEXT};
use crate::ingest::payload::value::{MAX_TEXT_BYTES, is_placeholder};
use crate::model::PackedList;

/// Maximum number of elements that [`Fields::elements`] reads of an array: a body may have thousands.
const MAX_ELEMENTS: usize = 10;

/// A value that should be an object, and may be only its text.
pub enum Element<'a> {
    /// An object.
    Object(Fields<'a>),
    /// Text that is no placeholder.
    Text(&'a str),
}

impl<'a> Fields<'a> {
    /// An array of short texts or numbers; other elements are dropped.
    pub fn list(&self, key: &str) -> Option<PackedList> {
        let value = self.value(key)?;
        let Value::Array(elements) = value else {
            return self.report(key, "an array of text", value);
        };
        let is_usable = |element: &Value| match element {
            Value::String(text) => text.len() <= MAX_TEXT_BYTES,
            element => element.is_number(),
        };
        let mut unusable = elements.iter().enumerate().filter(|(_, element)| !is_usable(element));
        if let Some((i, element)) = unusable.next() {
            let expected = if element.is_string() { SHORT_TEXT } else { "text" };
            // Only the first is reported: there may be thousands.
            let expected = match unusable.count() {
                0 => expected.to_owned(),
                others => format!("{expected}, here and in {others} more elements"),
            };
            self.report::<()>(&format!("{key}[{i}]"), &expected, element);
        }
        let usable = elements.iter().filter(|element| is_usable(element));
        let texts = usable.map(|element| match element {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            number => number.to_string().into(),
        });
        Some(texts.collect())
    }

    /// The first element of an array of objects.
    pub fn first(&self, key: &str) -> Option<Self> {
        match self.value(key)? {
            Value::Array(elements) => match elements.first()? {
                Value::Object(object) => {
                    let path = format!("{}[0].", self.path_of(key));
                    Some(Self { object, data: None, path, issues: self.issues })
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
                    let path = format!("{}.", self.path_of(&key));
                    Some(Element::Object(Fields { object, path, issues: self.issues, data: None }))
                }
                other => self.report(&key, "an object or text", other),
            }
        })
    }
}
