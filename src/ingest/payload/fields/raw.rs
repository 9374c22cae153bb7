//! Reads values that are stored as they are, as JSON.

use serde_json::value::RawValue;

use super::{Field, Fields};
use crate::ingest::json::Value;

/// Maximum nesting of stored JSON. The API returns it inside its own JSON, and many parsers accept
/// only 64 or 128 levels.
const MAX_DEPTH: u8 = 32;

impl Fields<'_> {
    /// An object as JSON; absent if it is empty.
    pub fn raw_object(&self, key: &str) -> Option<Box<RawValue>> {
        self.read(key, |field| match field.value {
            Value::Object(_) if field.value.is_empty() => None,
            Value::Object(_) => field.to_raw(),
            _ => field.report("an object"),
        })
    }

    /// An array as JSON; absent if it is empty.
    pub fn raw_array(&self, key: &str) -> Option<Box<RawValue>> {
        self.read(key, |field| match field.value {
            Value::Array(_) if field.value.is_empty() => None,
            Value::Array(_) => field.to_raw(),
            _ => field.report("an array"),
        })
    }

    /// An avatar as JSON: an object with `url`, or the URL.
    pub fn avatar(&self, key: &str) -> Option<Box<RawValue>> {
        self.read(key, |field| match field.value {
            Value::Object(_) | Value::String(_) if field.is_empty() => None,
            Value::Object(_) | Value::String(_) => field.to_raw(),
            _ => field.report("an object or a URL"),
        })
    }

    /// Any value as JSON.
    pub fn raw(&self, key: &str) -> Option<Box<RawValue>> {
        self.read(key, |field| field.to_raw())
    }
}

impl Field<'_, '_> {
    fn to_raw(self) -> Option<Box<RawValue>> {
        self.note_read_whole();
        let raw = self.value.to_raw(MAX_DEPTH);
        raw.or_else(|| self.report("JSON nested at most 32 levels deep"))
    }
}
