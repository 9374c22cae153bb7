//! Reads values that are stored as they are, as JSON.

use serde_json::value::RawValue;

use super::Fields;
use crate::ingest::json::Value;
use crate::ingest::payload::value::is_placeholder;

/// Maximum nesting of stored JSON. The API returns it inside its own JSON, and many parsers accept
/// only 64 or 128 levels.
const MAX_DEPTH: u8 = 32;

impl Fields<'_> {
    /// An object as JSON; absent if it is empty.
    pub fn raw_object(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            object @ Value::Object(_) if object.is_empty() => None,
            object @ Value::Object(_) => self.to_raw(key, object),
            other => self.report(key, "an object", other),
        }
    }

    /// An array as JSON; absent if it is empty.
    pub fn raw_array(&self, key: &str) -> Option<Box<RawValue>> {
        match self.value(key)? {
            array @ Value::Array(_) if array.is_empty() => None,
            array @ Value::Array(_) => self.to_raw(key, array),
            other => self.report(key, "an array", other),
        }
    }

    /// An avatar as JSON: an object with `url`, or the URL.
    pub fn avatar(&self, key: &str) -> Option<Box<RawValue>> {
        let value = self.value(key)?;
        match value {
            Value::Object(_) if value.is_empty() => None,
            Value::String(_) if is_placeholder(&value.text()?) => None,
            Value::Object(_) | Value::String(_) => self.to_raw(key, value),
            other => self.report(key, "an object or a URL", other),
        }
    }

    /// Any value as JSON.
    pub fn raw(&self, key: &str) -> Option<Box<RawValue>> {
        self.to_raw(key, self.value(key)?)
    }

    fn to_raw(&self, key: &str, value: Value<'_>) -> Option<Box<RawValue>> {
        self.issues.note_read_whole(|| self.path_of(key));
        let raw = value.to_raw(MAX_DEPTH);
        raw.or_else(|| self.report(key, "JSON nested at most 32 levels deep", value))
    }
}
