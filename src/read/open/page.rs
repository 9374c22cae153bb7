//! Pages in the format of Qontak's API.
//!
//! A cursor is a time, and `cursor_direction` selects rows after or before it: later or earlier ones,
//! whatever the order of the list. `next` is the newest row of a page and `prev` the oldest, as in
//! Qontak's answers for rooms; `offset` is a page number.

use std::fmt::Write;

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use strum::{EnumString, VariantNames};
use utoipa::ToSchema;

use crate::http::query::value::{Flag, Integer, Token};
use crate::http::query::{Parameters, Query};
use crate::model::Timestamp;
use crate::query;
use crate::read::envelope::Success;
use crate::store::walk::Walk;

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 500;
/// Maximum row that `offset` reaches, and maximum count.
const MAX_ROWS: i64 = 10_000;

/// The requested page of a list.
pub struct Page {
    from: Option<Place>,
    is_later: bool,
    offset: i64,
    limit: i64,
    /// Whether all rows are counted.
    is_counted: bool,
}

/// Place of a row in a list: its time, and ids that order rows of the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(pub Timestamp, pub Vec<String>);

query! {
    /// Parameters of every list.
    pub struct PageQuery {
        /// Rows of a page, 10 by default.
        limit: Integer<1, { MAX_LIMIT }>,
        /// Page number, from 1 (0 means 1 as well). Pages beyond row 10,000 need a cursor.
        offset: Integer<0, { MAX_ROWS }>,
        /// A `meta.pagination.cursor` of this list, or base64 of seconds with decimals.
        cursor: Token,
        /// `before` (default) returns rows earlier than the cursor's, `after` later ones.
        cursor_direction: Direction,
        /// Whether `meta.pagination.total` counts the rows of all pages.
        is_counted: Flag,
    }
}

/// Direction of a cursor.
#[derive(Clone, Copy, PartialEq, EnumString, ToSchema, VariantNames)]
#[schema(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum Direction {
    After,
    Before,
}

/// A page in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct OpenList<T> {
    status: Success,
    data: Vec<T>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenMeta)]
struct Meta {
    pagination: Pagination,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenPagination)]
struct Pagination {
    cursor: Cursors,
    /// Page number, from 1.
    offset: i64,
    /// Maximum rows of the page.
    limit: i64,
    /// With `is_counted=true` the number of rows of all pages, at most 10,000 for rooms and messages;
    /// else the number of rows of this page.
    total: i64,
}

/// Values of the parameter `cursor`: base64 of `seconds.micros|id`.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenCursors)]
struct Cursors {
    /// Newest row of this page; continue with `cursor_direction=after`. Null on an empty page.
    next: Option<String>,
    /// Oldest row of this page; continue with `cursor_direction=before`. Null on an empty page.
    prev: Option<String>,
}

/// Reads [`PageQuery`].
impl Query for Page {
    fn read(parameters: &mut Parameters) -> Self {
        let query = PageQuery::read(parameters);
        let limit = query.limit.map_or(DEFAULT_LIMIT, |limit| limit.0);
        // Clients send both 0 and 1 for the first page.
        let offset = query.offset.map_or(1, |offset| offset.0).max(1);
        if offset * limit > MAX_ROWS {
            let expected = format!(
                "must not lead past row {MAX_ROWS}; use cursor and cursor_direction beyond it"
            );
            parameters.reject("offset", &expected);
        }
        let is_later = query.cursor_direction == Some(Direction::After);
        let from = query.cursor.and_then(|Token(text)| {
            let place = Place::decode(&text, is_later);
            if place.is_none() {
                parameters.reject("cursor", "must be one that this list gave");
            }
            place
        });
        let is_counted = query.is_counted.is_some_and(|flag| flag.0);
        // Without a cursor `cursor_direction` is ignored.
        let is_later = is_later && from.is_some();
        Self { from, is_later, offset, limit, is_counted }
    }
}

impl Page {
    /// Rows to fetch: all up to the end of the page.
    pub fn walk(&self) -> Walk<Place> {
        let rows = self.offset * self.limit;
        Walk { from: self.from.clone(), backward: self.is_later, rows }
    }

    /// Rows to count; `None` if they are not counted.
    pub fn count(&self) -> Option<Walk<Place>> {
        self.is_counted.then_some(Walk { from: None, backward: false, rows: MAX_ROWS })
    }

    /// Removes the rows of the pages before, and sorts newest first.
    pub fn cut<R>(&self, mut rows: Vec<R>) -> Vec<R> {
        let before = usize::try_from((self.offset - 1) * self.limit).unwrap_or(usize::MAX);
        rows.drain(..before.min(rows.len()));
        if self.is_later {
            rows.reverse();
        }
        rows
    }

    /// Responds with the rows, each converted by `show`. `total` is the count of all pages.
    pub fn respond<R, T>(
        self,
        rows: Vec<R>,
        total: Option<i64>,
        place: impl Fn(&R) -> Place,
        show: impl Fn(R) -> T,
    ) -> Json<OpenList<T>> {
        let next = rows.first().map(|row| place(row).encode());
        let prev = rows.last().map(|row| place(row).encode());
        let total = total.unwrap_or(rows.len() as i64);
        let data = rows.into_iter().map(show).collect();
        let Self { offset, limit, .. } = self;
        let cursor = Cursors { next, prev };
        let meta = Meta { pagination: Pagination { cursor, offset, limit, total } };
        Json(OpenList { status: Success::Success, data, meta })
    }
}

impl Place {
    /// The id at this position; empty, which sorts first, if the client built the cursor from a time.
    pub fn id(&self, position: usize) -> String {
        self.1.get(position).cloned().unwrap_or_default()
    }

    fn encode(&self) -> String {
        let micros = self.0.0.timestamp_micros();
        let mut text =
            format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        for id in &self.1 {
            _ = write!(text, "|{id}");
        }
        BASE64.encode(text)
    }

    /// Decodes a cursor of ours, or a time in the forms of Qontak's cursors: base64 of seconds with
    /// decimals, or milliseconds. For such a time the rows of its millisecond are repeated rather
    /// than skipped.
    fn decode(text: &str, is_later: bool) -> Option<Self> {
        if let Ok(millis) = text.parse::<i64>() {
            return Self::at(millis.checked_mul(1000)?, if is_later { 0 } else { 1000 });
        }
        // Clients may have re-encoded it in the other alphabet, and with padding.
        let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        if text.contains('\0') {
            return None;
        }
        let mut parts = text.split('|');
        let (seconds, decimals) = parts.next()?.split_once('.')?;
        if decimals.len() > 6 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let micros = format!("{decimals:0<6}").parse::<i64>().ok()?;
        let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
        let ids: Vec<String> = parts.map(str::to_owned).collect();
        let more = if ids.is_empty() && !is_later { 1000 } else { 0 };
        Self::at(micros, more).map(|Self(at, _)| Self(at, ids))
    }

    /// The place `more` microseconds after a time. `None` if Postgres cannot store it.
    fn at(micros: i64, more: i64) -> Option<Self> {
        let time = (0..253_402_300_000_000_000).contains(&micros).then_some(micros + more)?;
        Timestamp::from_micros(time).map(|at| Self(at, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(micros: i64, ids: &[&str]) -> Option<Place> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Timestamp::from_micros(micros).map(|at| Place(at, ids))
    }

    #[test]
    fn cursor_decodes_to_its_row() {
        let row = place(1_749_694_904_118_007, &["24a60fba", ""]);
        let text = row.as_ref().map(Place::encode).unwrap_or_default();
        assert_eq!(Place::decode(&text, false), row);
        assert_eq!(Place::decode(&format!("{text}=="), true), row);
    }

    #[test]
    fn cursor_of_qontak_is_a_time() {
        let millis = 1_749_694_904_118;
        let text = BASE64.encode("1749694904.118");
        assert_eq!(Place::decode(&text, true), place(millis * 1000, &[]));
        assert_eq!(Place::decode(&text, false), place((millis + 1) * 1000, &[]));
        assert_eq!(Place::decode(&millis.to_string(), false), place((millis + 1) * 1000, &[]));
    }

    #[test]
    fn invalid_cursor_is_rejected() {
        for text in ["!", "e30", "-1", "99999999999999999999", "9223372036854775807"] {
            assert_eq!(Place::decode(text, false), None, "{text}");
        }
        for text in ["1.1234567", "a.b", "1", "1.5\0", "-5.0", "99999999999999.0", "1.+1"] {
            assert_eq!(Place::decode(&BASE64.encode(text), false), None, "{text}");
        }
    }
}
