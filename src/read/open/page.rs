//! Pages as Qontak's own API has them.
//!
//! A cursor is a time, and `cursor_direction` says whether rows after or before it are asked for:
//! later or earlier ones, whatever the order of the list. `next` is the newest row of a page and
//! `prev` the oldest, as its answers for rooms have it; `offset` is the number of a page.

use std::fmt::Write;

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::extract::Parameters;
use crate::model::Timestamp;
use crate::store::walk::Walk;

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 500;
/// How far `offset` reaches, and a count.
const MAX_ROWS: i64 = 10_000;

/// Which page of a list is asked for.
pub struct Page {
    from: Option<Place>,
    is_later: bool,
    offset: i64,
    limit: i64,
    /// Whether the number of all rows is asked for.
    is_counted: bool,
}

/// A row's place in a list: its time, and ids that tell it from others of the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(pub Timestamp, pub Vec<String>);

/// How a page is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the OpenAPI document; `Page::read` reads them")]
pub struct Asked {
    /// Rows on a page.
    #[param(minimum = 1, maximum = 500, default = 10)]
    limit: Option<i64>,
    /// Number of the page, from 1. It leads as far as row 10,000; a cursor leads on.
    #[param(minimum = 0, maximum = 10_000, default = 1)]
    offset: Option<i64>,
    /// A `meta.pagination.cursor` of this list, or base64 of seconds with decimals.
    cursor: Option<String>,
    /// `before` asks for rows earlier than the cursor's, as does nothing; `after` for later ones.
    #[param(inline)]
    cursor_direction: Option<Direction>,
    /// Whether `meta.pagination.total` is to count the rows of all pages.
    #[param(default = false)]
    is_counted: Option<bool>,
}

/// Which rows a cursor leads to.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum Direction {
    After,
    Before,
}

/// A page in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct OpenList<T> {
    /// Always `success`.
    status: &'static str,
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
    /// Number of this page, from 1.
    offset: i64,
    /// The most rows that the page may have.
    limit: i64,
    /// With `is_counted=true` the rows of all pages, of rooms and messages up to 10,000; else those of this page.
    total: i64,
}

/// Base64 of `seconds.micros|id`, to be sent as `cursor`.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenCursors)]
struct Cursors {
    /// The newest row of this page: go on with `cursor_direction=after`. Null on an empty page.
    next: Option<String>,
    /// The oldest row of this page: go on with `cursor_direction=before`. Null on an empty page.
    prev: Option<String>,
}

impl Page {
    /// Reads the parameters that all lists have.
    pub fn read(parameters: &mut Parameters) -> Self {
        let limit = parameters.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        // Both 0 and 1 are seen for the first page.
        let offset = parameters.integer("offset", 0..=MAX_ROWS).unwrap_or(1).max(1);
        if offset * limit > MAX_ROWS {
            let allowed = format!(
                "must not lead past row {MAX_ROWS}; beyond it go on with cursor and cursor_direction"
            );
            parameters.refuse::<()>("offset", &allowed);
        }
        let direction = parameters.one_of("cursor_direction", &["after", "before"]);
        let is_later = direction.as_deref() == Some("after");
        let cursor = parameters.value("cursor");
        let from = cursor.and_then(|cursor| {
            Place::decode(&cursor, is_later)
                .or_else(|| parameters.refuse("cursor", "must be one that this list gave"))
        });
        let is_counted = parameters.flag("is_counted").unwrap_or(false);
        // From a place on, later rows are those before it; without one, all are.
        let is_later = is_later && from.is_some();
        Self { from, is_later, offset, limit, is_counted }
    }

    /// Which rows to fetch: all up to the end of the page.
    pub fn walk(&self) -> Walk<Place> {
        let rows = self.offset * self.limit;
        Walk { from: self.from.clone(), backward: self.is_later, rows }
    }

    /// Which rows to count, if their number is asked for.
    pub fn count(&self) -> Option<Walk<Place>> {
        self.is_counted.then_some(Walk { from: None, backward: false, rows: MAX_ROWS })
    }

    /// Leaves only what is on the page, newest first.
    pub fn cut<R>(&self, mut rows: Vec<R>) -> Vec<R> {
        let before = usize::try_from((self.offset - 1) * self.limit).unwrap_or(usize::MAX);
        rows.drain(..before.min(rows.len()));
        if self.is_later {
            rows.reverse();
        }
        rows
    }

    /// The answer with these rows, each shown so. `total` is that of all pages, if it was asked for.
    pub fn answer<R, T>(
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
        Json(OpenList { status: "success", data, meta })
    }
}

impl Place {
    /// The id at this position; where a client made the cursor of a time alone, one before all.
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

    /// Reads a cursor of ours, or a time as Qontak's own cursors have it: base64 of seconds with
    /// decimals, or milliseconds. Of such a time all rows of its millisecond are told again rather
    /// than left out.
    fn decode(text: &str, is_later: bool) -> Option<Self> {
        if let Ok(millis) = text.parse::<i64>() {
            return Self::at(millis.checked_mul(1000)?, if is_later { 0 } else { 1000 });
        }
        // Clients may have read and written it by the other alphabet, and with padding.
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

    /// A place so many microseconds after a time of this era, which Postgres knows as well.
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
    fn a_cursor_leads_back_to_its_row() {
        let row = place(1_749_694_904_118_007, &["24a60fba", ""]);
        let text = row.as_ref().map(Place::encode).unwrap_or_default();
        assert_eq!(Place::decode(&text, false), row);
        assert_eq!(Place::decode(&format!("{text}=="), true), row);
    }

    #[test]
    fn a_cursor_of_qontaks_is_a_time() {
        let millis = 1_749_694_904_118;
        let text = BASE64.encode("1749694904.118");
        assert_eq!(Place::decode(&text, true), place(millis * 1000, &[]));
        assert_eq!(Place::decode(&text, false), place((millis + 1) * 1000, &[]));
        assert_eq!(Place::decode(&millis.to_string(), false), place((millis + 1) * 1000, &[]));
    }

    #[test]
    fn what_is_no_cursor_is_none() {
        for text in ["!", "e30", "-1", "99999999999999999999", "9223372036854775807"] {
            assert_eq!(Place::decode(text, false), None, "{text}");
        }
        for text in ["1.1234567", "a.b", "1", "1.5\0", "-5.0", "99999999999999.0", "1.+1"] {
            assert_eq!(Place::decode(&BASE64.encode(text), false), None, "{text}");
        }
    }
}
