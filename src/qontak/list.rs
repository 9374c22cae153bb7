//! Walks a list page by page, from newest to oldest.
//!
//! Which of the two cursors of a page leads to older rows differs from list to list, so the older one by
//! value is followed; without a usable cursor, page numbers. A page starts one millisecond later than that
//! cursor: messages of customers have whole seconds, and a cursor would skip those of the second in which
//! a page ended. A walk ends whatever Qontak answers: with an empty page, with one that repeats, or if the
//! cursor does not become older.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;

use super::client::{Client, Route};
use super::error::Error;

/// Rows of a page.
const LIMIT: usize = 100;

/// A page with fewer rows is the last one. Qontak may return fewer than asked for, but hardly so few.
const MIN_ROWS: usize = 10;

/// A walk through one list.
pub struct Walk<'a> {
    client: &'a Client,
    name: &'static str,
    path: String,
    cursor: Option<Cursor>,
    /// Number of the next page, as long as there is no cursor.
    number: u32,
    hasher: RandomState,
    seen: HashSet<u64>,
    is_done: bool,
}

/// Where a page starts.
#[derive(Clone, Debug, PartialEq)]
struct Cursor {
    text: String,
    millis: i64,
}

impl<'a> Walk<'a> {
    /// A walk through the list at `path`, from its beginning. `name` is the path in metrics and errors.
    pub fn new(client: &'a Client, name: &'static str, path: String) -> Self {
        let (hasher, seen) = (RandomState::new(), HashSet::new());
        Self { client, name, path, cursor: None, number: 1, hasher, seen, is_done: false }
    }

    /// Starts at a cursor that an earlier walk returned.
    pub fn resume(mut self, cursor: Option<String>) -> Self {
        self.cursor = cursor.and_then(|text| Cursor::parse(&Value::String(text)));
        self
    }

    /// Cursor of the next page; `None` if page numbers are used.
    pub fn cursor(&self) -> Option<String> {
        self.cursor.as_ref().map(|cursor| cursor.text.clone())
    }

    /// The rows of the next page that were not on an earlier one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let mut query = format!("limit={LIMIT}");
        match &self.cursor {
            Some(cursor) => {
                query.push_str(&format!("&cursor={}&cursor_direction=before", cursor.text));
            }
            None if self.number > 1 => query.push_str(&format!("&offset={}", self.number)),
            None => {}
        }
        let route = Route::get_path(self.name, self.path.clone(), query);
        let mut answer = self.client.call(route, None).await?;
        let Value::Array(mut rows) = answer["data"].take() else {
            let problem = "data is no list";
            return Err(Error::UnknownForm { route: self.name, problem });
        };
        let count = rows.len();
        rows.retain(|row| self.seen.insert(self.hasher.hash_one(identity(row))));
        let pagination = &answer["meta"]["pagination"];
        let limit = pagination["limit"].as_u64().map_or(LIMIT, |limit| limit as usize);
        let is_short = count < MIN_ROWS.min(limit);
        self.is_done = is_short || rows.is_empty() || !self.advance(&pagination["cursor"]);
        Ok((!rows.is_empty()).then_some(rows))
    }

    /// Moves to the next page. `false` if it is not known where it is.
    fn advance(&mut self, cursors: &Value) -> bool {
        let both = [&cursors["next"], &cursors["prev"]].map(Cursor::parse);
        let oldest = both.into_iter().flatten().min_by_key(|cursor| cursor.millis);
        let is_older =
            |next: &Cursor| self.cursor.as_ref().is_none_or(|current| next.millis < current.millis);
        match (oldest, &self.cursor) {
            (Some(oldest), _) => {
                // All rows of the page may have one time.
                let next = [oldest.later(), oldest].into_iter().find(is_older);
                let Some(next) = next else { return false };
                self.cursor = Some(next);
            }
            (None, Some(_)) => return false,
            (None, None) => self.number += 1,
        }
        true
    }
}

impl Cursor {
    /// Reads integer milliseconds, or base64 of `seconds.millis`. `None` if it is something else, or
    /// would need percent-encoding.
    fn parse(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=".contains(c);
        let millis = text.parse().ok().or_else(|| {
            let decoded = String::from_utf8(BASE64.decode(&text).ok()?).ok()?;
            let seconds: f64 = decoded.parse().ok()?;
            Some((seconds * 1000.0).round() as i64)
        })?;
        text.chars().all(is_plain).then_some(Self { text, millis })
    }

    /// The cursor one millisecond later, in the same form.
    fn later(&self) -> Self {
        let millis = self.millis + 1;
        let text = if self.text.parse::<i64>().is_ok() {
            millis.to_string()
        } else {
            BASE64.encode(format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000)))
        };
        Self { text, millis }
    }
}

/// What makes two rows the same.
fn identity(row: &Value) -> String {
    match &row["id"] {
        Value::Null => row.to_string(),
        id => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cursors_are_read_in_every_form() {
        let millis = |value: Value| Cursor::parse(&value).map(|cursor| cursor.millis);
        assert_eq!(millis(json!(1_749_694_503_007_i64)), Some(1_749_694_503_007));
        assert_eq!(millis(json!("1749694503007")), Some(1_749_694_503_007));
        assert_eq!(millis(json!("MTc0OTY5NDUwMy4wMDc=")), Some(1_749_694_503_007));
        let later = |value: Value| Cursor::parse(&value).map(|cursor| cursor.later().text);
        assert_eq!(later(json!(1_749_694_503_999_i64)), Some("1749694504000".to_owned()));
        assert_eq!(later(json!("MTc0OTY5NDUwMy4wMDY=")), Some("MTc0OTY5NDUwMy4wMDc=".to_owned()));
        for other in [json!(null), json!({}), json!(""), json!("a b"), json!("????")] {
            assert_eq!(millis(other.clone()), None, "{other}");
        }
    }
}
