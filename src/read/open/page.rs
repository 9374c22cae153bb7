//! Pages in the format of Qontak's API.
//!
//! A cursor is a time, and `cursor_direction` selects rows after or before it: later or earlier ones,
//! whatever the order of the list. `next` is the newest row of a page and `prev` the oldest, as in
//! Qontak's answers for rooms; `offset` is a page number.
//!
//! Most clients send no direction and expect `next` to lead to the following page. From the newest
//! row that would be the same page again, without its first row. So `next` also contains the oldest
//! row, where a request without a direction goes on.

use std::fmt::Write;

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
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

/// Characters of ids that have a meaning in a cursor.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b'%').add(b'|').add(b'>');

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
        /// A `meta.pagination.cursor` of this list: the page after the one that it came with. Or
        /// base64 of seconds with decimals: rows earlier than this time.
        cursor: Token,
        /// With `before` rows earlier than the cursor's, with `after` later ones.
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

/// Values of the parameter `cursor`: base64 of `seconds.micros|id`. Without `cursor_direction` both lead
/// to the following page.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenCursors)]
struct Cursors {
    /// Newest row of this page, for `cursor_direction=after`. Null on an empty page.
    next: Option<String>,
    /// Oldest row of this page, for `cursor_direction=before`. Null on an empty page.
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
            let Some((place, following)) = decode(&text, is_later) else {
                parameters.reject("cursor", "must be one that this list gave");
                return None;
            };
            Some(if query.cursor_direction.is_none() { following.unwrap_or(place) } else { place })
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

    /// Selects the page from all rows of a short list.
    pub fn select<R>(&self, mut rows: Vec<R>, place: impl Fn(&R) -> Place) -> Vec<R> {
        if let Some(from) = &self.from {
            let is_before = |row: &R| place(row).1 < from.1;
            let is_at = |row: &R| place(row).1 == from.1;
            rows.retain(|row| !is_at(row) && is_before(row) == self.is_later);
        }
        if self.is_later {
            rows.reverse();
        }
        rows.truncate(usize::try_from(self.walk().rows).unwrap_or(usize::MAX));
        self.cut(rows)
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
        let oldest = rows.last().map(&place);
        let next = rows.first().map(|row| encode(&place(row), oldest.as_ref()));
        let prev = oldest.map(|oldest| encode(&oldest, None));
        let total = total.unwrap_or(rows.len() as i64);
        let data = rows.into_iter().map(show).collect();
        let Self { offset, limit, .. } = self;
        let cursor = Cursors { next, prev };
        let meta = Meta { pagination: Pagination { cursor, offset, limit, total } };
        Json(OpenList { status: Success::Success, data, meta })
    }
}

impl Place {
    /// Place in a list that is ordered by ids.
    pub fn by_ids(ids: Vec<String>) -> Self {
        Self(Timestamp::default(), ids)
    }

    /// The id at this position; empty, which sorts first, if the client built the cursor from a time.
    pub fn id(&self, position: usize) -> String {
        self.1.get(position).cloned().unwrap_or_default()
    }

    /// The text of a cursor.
    fn text(&self) -> String {
        let micros = self.0.0.timestamp_micros();
        let mut text =
            format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        for id in &self.1 {
            _ = write!(text, "|{}", utf8_percent_encode(id, SEPARATORS));
        }
        text
    }

    /// Reads the text of a cursor: one of ours, or a time as in Qontak's cursors. For such a time the
    /// rows of its millisecond are repeated rather than skipped.
    fn parse(text: &str, is_later: bool) -> Option<Self> {
        let mut parts = text.split('|');
        let (seconds, decimals) = parts.next()?.split_once('.')?;
        if decimals.len() > 6 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let micros = format!("{decimals:0<6}").parse::<i64>().ok()?;
        let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
        let id = |part| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        let ids: Vec<String> = parts.map(id).collect::<Option<_>>()?;
        if ids.iter().any(|id| id.contains('\0')) {
            return None;
        }
        let more = if ids.is_empty() && !is_later { 1000 } else { 0 };
        Self::at(micros, more).map(|Self(at, _)| Self(at, ids))
    }

    /// The place `more` microseconds after a time. `None` if Postgres cannot store it.
    fn at(micros: i64, more: i64) -> Option<Self> {
        let time = (0..253_402_300_000_000_000).contains(&micros).then_some(micros + more)?;
        Timestamp::from_micros(time).map(|at| Self(at, Vec::new()))
    }
}

/// A cursor at `place`, and where to go on without a direction.
fn encode(place: &Place, following: Option<&Place>) -> String {
    let following = following.map(|following| format!(">{}", following.text()));
    BASE64.encode(place.text() + &following.unwrap_or_default())
}

/// Decodes a cursor of ours, or a time in the forms of Qontak's cursors: base64 of seconds with
/// decimals, or milliseconds.
fn decode(text: &str, is_later: bool) -> Option<(Place, Option<Place>)> {
    if let Ok(millis) = text.parse::<i64>() {
        let place = Place::at(millis.checked_mul(1000)?, if is_later { 0 } else { 1000 })?;
        return Some((place, None));
    }
    // Clients may have re-encoded it in the other alphabet, and with padding.
    let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
    match text.split_once('>') {
        Some((place, following)) => {
            Some((Place::parse(place, is_later)?, Some(Place::parse(following, false)?)))
        }
        None => Some((Place::parse(&text, is_later)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(micros: i64, ids: &[&str]) -> Option<Place> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Timestamp::from_micros(micros).map(|at| Place(at, ids))
    }

    fn decoded(text: &str, is_later: bool) -> Option<Place> {
        decode(text, is_later).map(|(place, _)| place)
    }

    #[test]
    fn cursor_decodes_to_its_rows() {
        let newest = place(1_749_694_904_118_007, &["24a60fba", ""]).unwrap();
        for ids in [&["b"][..], &["a|b", "c>d"], &["100%|\\", "é\n😊"], &[]] {
            let oldest = place(1_749_694_903_000_000, ids).unwrap();
            let text = encode(&newest, Some(&oldest));
            let more = Timestamp::from_micros(1_749_694_903_001_000).unwrap();
            let oldest = if ids.is_empty() { Place(more, Vec::new()) } else { oldest };
            for is_later in [true, false] {
                let expected = Some((newest.clone(), Some(oldest.clone())));
                assert_eq!(decode(&format!("{text}=="), is_later), expected);
            }
        }
        assert_eq!(decode(&encode(&newest, None), true), Some((newest, None)));
    }

    #[test]
    fn cursor_of_qontak_is_a_time() {
        let millis = 1_749_694_904_118;
        let text = BASE64.encode("1749694904.118");
        assert_eq!(decoded(&text, true), place(millis * 1000, &[]));
        assert_eq!(decoded(&text, false), place((millis + 1) * 1000, &[]));
        assert_eq!(decoded(&millis.to_string(), false), place((millis + 1) * 1000, &[]));
    }

    #[test]
    fn invalid_cursor_is_rejected() {
        for text in ["!", "e30", "-1", "99999999999999999999", "9223372036854775807"] {
            assert_eq!(decoded(text, false), None, "{text}");
        }
        for text in [
            "1.1234567",
            "a.b",
            "1",
            "1.5\0",
            "1.5|%00",
            "-5.0",
            "99999999999999.0",
            "1.+1",
            "1.5>",
        ] {
            assert_eq!(decoded(&BASE64.encode(text), false), None, "{text}");
        }
    }
}
