//! JSON that stays in its text: a value is a slice of the body and is read when it is needed.
//!
//! A tree of serde_json takes up to 100 bytes per byte of a body such as `[{"":0},{"":0},…]`, and a
//! tenth of the CPU of an event. Here a body takes at most two bytes per byte, for the keys of the
//! objects that are read.
//!
//! NUL is removed from all texts, because Postgres supports it neither in text nor in jsonb. The body
//! in the journal keeps it.

mod error;
mod object;
mod scan;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Number;
use serde_json::value::{RawValue, to_raw_value};

pub use self::error::ParseError;
use self::error::error_of;
pub use self::object::Object;
use self::scan::Scanner;

/// The JSON of a body.
pub enum Document<'a> {
    /// An object.
    Object(Object<'a>),
    /// Any other value.
    Other(Value<'a>),
}

/// Parses a text that must be one JSON document.
pub fn parse(text: &str) -> Result<Document<'_>, ParseError> {
    document(text).ok_or_else(|| error_of(text))
}

fn document(text: &str) -> Option<Document<'_>> {
    let mut scanner = Scanner::new(text, 0);
    scanner.skip_blanks();
    let document = if scanner.peek() == Some(b'{') {
        Document::Object(Object::scan(&mut scanner)?)
    } else {
        let value = Value::new(scanner.rest());
        scanner.value()?;
        Document::Other(value)
    };
    scanner.skip_blanks();
    scanner.peek().is_none().then_some(document)
}

/// A JSON value. Slices start with the value, and end anywhere behind it.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    Array(&'a str),
    Object(&'a str),
}

impl<'a> Value<'a> {
    /// The value at the start of a text, which [`parse`] has checked.
    pub fn new(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => Self::Object(text),
            Some(b'[') => Self::Array(text),
            Some(b'"') => Self::String(text),
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            _ => Self::Number(text),
        }
    }

    /// The text of a string.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let Self::String(text) = self else { return None };
        Some(unquote(Scanner::new(text, 0).string()?))
    }

    /// A number.
    pub fn number(self) -> Option<Number> {
        serde_json::from_str(self.digits()?).ok()
    }

    /// A number as sent.
    pub fn digits(self) -> Option<&'a str> {
        let Self::Number(text) = self else { return None };
        Scanner::new(text, 0).number()
    }

    /// The elements of an array; none of other values.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        let text = if let Self::Array(text) = self { text } else { "" };
        elements(text, b']').map(|(_, value)| value)
    }

    /// The value of a key of an object.
    pub fn get(self, key: &str) -> Option<Self> {
        let Self::Object(text) = self else { return None };
        Object::new(text)?.get(key)
    }

    /// Whether this is an empty array or object.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Array(text) => elements(text, b']').next().is_none(),
            Self::Object(text) => elements(text, b'}').next().is_none(),
            _ => false,
        }
    }

    /// The value as JSON that Postgres accepts; `None` if it has more than `max_depth` levels of
    /// nesting. Numbers stay as sent, unless Postgres may reject them.
    pub fn to_raw(self, max_depth: u8) -> Option<Box<RawValue>> {
        let text = match self {
            Self::Number(text) | Self::String(text) | Self::Array(text) | Self::Object(text) => {
                text
            }
            Self::Null | Self::Bool(_) => return to_raw_value(&self).ok(),
        };
        let mut scanner = Scanner::new(text, 0);
        scanner.value()?;
        if scanner.deepest > max_depth {
            None
        } else if scanner.is_plain {
            let raw: &RawValue = serde_json::from_str(&text[..scanner.position()]).ok()?;
            Some(raw.to_owned())
        } else {
            to_raw_value(&self).ok()
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(flag),
            Self::Number(text) => serialize_number(text, serializer),
            Self::String(_) => serializer.serialize_str(&self.text().unwrap_or_default()),
            Self::Array(_) => serializer.collect_seq(self.elements()),
            Self::Object(text) => serializer
                .collect_map(elements(text, b'}').map(|(key, value)| (unquote(key), value))),
        }
    }
}

/// Serializes a number as sent. Unusual ones are rounded to what `f64` holds, and never longer than
/// they were.
fn serialize_number<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut scanner = Scanner::new(text, 0);
    let number = scanner.number().unwrap_or("0");
    let rounded = (!scanner.is_plain).then(|| number.parse::<f64>().unwrap_or_default());
    let number = rounded.map_or_else(|| number.into(), |number| Cow::from(format!("{number:e}")));
    let raw: Result<&RawValue, _> = serde_json::from_str(&number);
    raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// Keys, with their quotes, and values of the object at the start of the text, or values of the
/// array, without keys.
fn elements(text: &str, close: u8) -> impl Iterator<Item = (&str, Value<'_>)> {
    let mut scanner = Scanner::new(text, 0);
    let mut has_next = !text.is_empty() && scanner.enter(close) == Some(true);
    std::iter::from_fn(move || {
        if !has_next {
            return None;
        }
        let key = if close == b'}' { scanner.key()? } else { "" };
        let value = Value::new(scanner.rest());
        scanner.value()?;
        has_next = scanner.next(close)?;
        Some((key, value))
    })
}

/// The text of a string with its quotes.
fn unquote(string: &str) -> Cow<'_, str> {
    let text = &string[1..string.len() - 1];
    if !text.contains('\\') {
        return text.into();
    }
    let text: String = serde_json::from_str(string).unwrap_or_default();
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        match parse(text) {
            Ok(Document::Object(object)) => object,
            _ => panic!("not an object: {text}"),
        }
    }

    fn raw(text: &str) -> Option<String> {
        let Ok(Document::Other(value)) = parse(text) else { panic!("not a value: {text}") };
        value.to_raw(3).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn last_of_several_equal_keys_counts() {
        let body = object(r#" {"id":1,"ix":2, "\u0069d" : "a\n\u0000b" ,"i\u0000d":"c","":{}} "#);
        assert_eq!(body.get("id").and_then(Value::text).as_deref(), Some("c"));
        let body = object(r#"{"id":1,"ix":2, "\u0069d" : "a\n\u0000b"}"#);
        assert_eq!(body.get("id").and_then(Value::text).as_deref(), Some("a\nb"));
        assert_eq!(body.get("ix").and_then(Value::number), Some(2.into()));
        assert!(body.get("iy").is_none() && body.get("").is_none());
    }

    #[test]
    fn raw_json_is_a_copy_unless_postgres_may_reject_it() {
        for (text, expected) in [
            (
                r#"[1.10, 1e15, -0, 12345678901234567890123]"#,
                "[1.10, 1e15, -0, 12345678901234567890123]",
            ),
            (r#"["\u0000a\n"]"#, r#"["a\n"]"#),
            ("[1e-999, 1.5E+0010, 2]", "[0e0,1.5e10,2]"),
            ("[100000000000000000000000000000000]", "[1e32]"),
            ("[[[1]]]", "[[[1]]]"),
            ("[[[[]]]]", "[[[[]]]]"),
        ] {
            assert_eq!(raw(text).as_deref(), Some(expected));
        }
        assert_eq!(raw(r#"[[[[1]]]]"#), None);
        assert_eq!(raw(r#"[[[{"a":1}]]]"#), None);
    }
}
