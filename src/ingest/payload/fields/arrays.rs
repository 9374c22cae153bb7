//! Reads arrays of an object: element by element, so that one wrong element costs only itself.

use std::borrow::Cow;

use super::{Field, Fields, SHORT_TEXT};
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
    /// An array of short texts or numbers. Placeholders are no elements, and other values are dropped.
    pub fn list(&self, key: &str) -> Option<PackedList> {
        self.read(key, |field| {
            let Value::Array(_) = field.value else { return field.report("an array of text") };
            field.note_read_whole();
            // Only the first is reported: there may be thousands.
            let mut first_unusable = None;
            let mut unusable = 0_usize;
            let texts = field.value.elements().enumerate().filter_map(|(i, element)| {
                let text = element.text().or_else(|| element.digits().map(Cow::from));
                let text = text.filter(|text| text.len() <= MAX_TEXT_BYTES);
                if text.is_none() {
                    first_unusable.get_or_insert((i, element));
                    unusable += 1;
                }
                text.filter(|text| !is_placeholder(text))
            });
            let list: PackedList = texts.collect();
            if let Some((i, element)) = first_unusable {
                let is_text = matches!(element, Value::String(_));
                let expected = if is_text { SHORT_TEXT } else { "text" };
                let expected = match unusable - 1 {
                    0 => expected.to_owned(),
                    others => format!("{expected}, here and in {others} more elements"),
                };
                field.report_element::<()>(i, &expected, element);
            }
            // Without a usable element it says nothing, unlike an empty array.
            (!list.is_empty() || field.value.is_empty()).then_some(list)
        })
    }

    /// The first element of an array of objects.
    pub fn first(&self, key: &str) -> Option<Self> {
        self.read(key, |field| {
            let Value::Array(_) = field.value else { return field.report("an array of objects") };
            match field.value.elements().next()? {
                Value::Object(text) => {
                    Some(self.nested(field.node.child(text, &format!("{key}[0]"))?))
                }
                other => field.report_element(0, "an object", other),
            }
        })
    }

    /// The first elements of an array of objects or texts, or one such value in place of an array.
    pub fn elements<'f>(&'f self, key: &'f str) -> impl Iterator<Item = Element<'a>> {
        let is_usable = |field: &Field<'_, '_>| {
            matches!(field.value, Value::Array(_) | Value::Object(_) | Value::String(_))
        };
        let [first, second] = self.fields(key);
        let field = first.filter(is_usable).or(second).or(first);
        let value = field.map(|field| field.value);
        let is_array = matches!(value, Some(Value::Array(_)));
        let elements = value.filter(|_| is_array).into_iter().flat_map(Value::elements);
        let values = elements.take(MAX_ELEMENTS).chain(value.filter(|_| !is_array));
        values.enumerate().filter_map(move |(i, value)| match value {
            Value::Null => None,
            Value::String(_) => {
                value.text().filter(|text| !is_placeholder(text)).map(Element::Text)
            }
            Value::Object(text) => {
                let key = if is_array { format!("{key}[{i}]") } else { key.to_owned() };
                Some(Element::Object(self.nested(field?.node.child(text, &key)?)))
            }
            other if is_array => field?.report_element(i, "an object or text", other),
            _ => field?.report("an object or text"),
        })
    }
}
