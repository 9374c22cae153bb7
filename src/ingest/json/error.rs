//! Why a text is no JSON document, or none that can be read.
//!
//! The errors are serde_json's: its messages have lines and columns.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Why a body could not be parsed. The texts are shown to the sender.
#[derive(Debug)]
pub enum ParseError {
    /// JSON that the parser does not support; a retry would not help.
    Unsupported(String),
    /// Not JSON, perhaps truncated; a retry may be complete.
    NotJson(String),
}

/// The error of a text that the scanner rejects.
pub fn error_of(text: &str) -> ParseError {
    // serde_json rejects deep nesting, lone surrogates and huge numbers although they are JSON.
    // `IgnoredAny` accepts them, so it tells the two cases apart.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return ParseError::NotJson(format!("not JSON: {error}"));
    }
    let error = serde_json::from_str::<Checked>(text).err();
    ParseError::Unsupported(
        error.map_or_else(|| "unknown error".to_owned(), |error| error.to_string()),
    )
}

/// Any JSON that a `serde_json::Value` can hold, checked and dropped.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
