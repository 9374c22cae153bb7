//! Reads arrays of an object: element by element, so that one wrong element costs only itself.

use std::borrow::Cow;

use super::{Fields, SHORT_TEXT};
use crate::ingest::json::Value;
use crate::ingest::payload::value::{MAX_TEXT_BYTES, is_placeholder};
use crate::model::PackedList;

/// Maximum number of elements that [`Fields::elements`] reads of an array: a body may have thousands.
const MAX_ELEMENTS: usize = 10;

/// A value that should be an object, and may be only its text.
pub enum Element<'a> {
    /// An object.
    Object(Fields<'a>),
    /// Text that is no placeholder.
    Text(Cow<'a, str>),
}

impl<'a> Fields<'a> {
    /// An array of short texts or numbers; other elements are dropped.
    pub fn list(&self, key: &str) -> Option<PackedList> {
        let value = self.value(key)?;
        let Value::Array(_) = value else {
            return self.report(key, "an array of text", value);
        };
        self.issues.note_read_whole(|| self.path_of(key));
        // Only the first is reported: there may be thousands.
        let mut first_unusable = None;
        let mut unusable = 0_usize;
        let texts = value.elements().enumerate().filter_map(|(i, element)| {
            let text = element.text().or_else(|| element.digits().map(Cow::from));
            let text = text.filter(|text| text.len() <= MAX_TEXT_BYTES);
            if text.is_none() {
                first_unusable.get_or_insert((i, element));
                unusable += 1;
            }
            text
        });
        let list = texts.collect();
        if let Some((i, element)) = first_unusable {
            let is_text = matches!(element, Value::String(_));
            let expected = if is_text { SHORT_TEXT } else { "text" };
            let expected = match unusable - 1 {
                0 => expected.to_owned(),
                others => format!("{expected}, here and in {others} more elements"),
            };
            self.report::<()>(&format!("{key}[{i}]"), &expected, element);
        }
        Some(list)
    }

    /// The first element of an array of objects.
    pub fn first(&self, key: &str) -> Option<Self> {
        let (node, value) = self.find(key)?;
        let Value::Array(_) = value else {
            return self.report(key, "an array of objects", value);
        };
        let key = format!("{key}[0]");
        match value.elements().next()? {
            Value::Object(text) => Some(self.nested(node.child(text, &key)?)),
            other => self.report(&key, "an object", other),
        }
    }

    /// The first elements of an array of objects or texts, or one such value in place of an array.
    pub fn elements(&self, key: &str) -> impl Iterator<Item = Element<'a>> {
        let found = self.find(key);
        let value = found.map(|(_, value)| value);
        let is_array = matches!(value, Some(Value::Array(_)));
        let elements = value.filter(|_| is_array).into_iter().flat_map(Value::elements);
        let values = elements.take(MAX_ELEMENTS).chain(value.filter(|_| !is_array));
        values.enumerate().filter_map(move |(i, value)| {
            let key = if is_array { format!("{key}[{i}]") } else { key.to_owned() };
            match value {
                Value::Null => None,
                Value::String(_) => {
                    value.text().filter(|text| !is_placeholder(text)).map(Element::Text)
                }
                Value::Object(text) => {
                    let (node, _) = found?;
                    Some(Element::Object(self.nested(node.child(text, &key)?)))
                }
                other => self.report(&key, "an object or text", other),
            }
        })
    }
}
