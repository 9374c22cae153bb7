//! Pages with Qontak's quirks.
//!
//! `offset` is a page number from 1, `total` is the size of the page unless `is_counted=true`, and both
//! the form of cursors and their direction differ from list to list.

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

/// Parameters of a page.
#[derive(Deserialize)]
pub struct PageQuery {
    limit: Option<usize>,
    offset: Option<usize>,
    cursor: Option<String>,
    cursor_direction: Option<String>,
    is_counted: Option<bool>,
}

/// Form of a list's cursors.
#[derive(Clone, Copy)]
pub enum Cursors {
    /// Milliseconds; `next` is the oldest row of the page.
    Millis,
    /// Milliseconds; `next` is the newest row of the page.
    MillisReversed,
    /// Base64 of `seconds.millis`; `next` is the newest row of the page.
    Base64Reversed,
    /// None: `{}`.
    Absent,
}

/// A row and its time in milliseconds since 1970.
pub type Row = (i64, Value);

/// The requested page of these rows, newest first. With `is_stuck` every page is the first one.
pub fn page(
    mut rows: Vec<Row>,
    query: &PageQuery,
    cursors: Cursors,
    max_rows: usize,
    is_stuck: bool,
) -> Json<Value> {
    rows.sort_by_key(|(at, _)| -at);
    let count = rows.len();
    let limit = query.limit.unwrap_or(10).clamp(1, max_rows);
    let offset = query.offset.unwrap_or(1);
    let is_later = query.cursor_direction.as_deref() == Some("after");
    if let Some(from) = query.cursor.as_deref().and_then(decode).filter(|_| !is_stuck) {
        rows.retain(|(at, _)| if is_later { *at > from } else { *at < from });
        if is_later {
            rows.drain(..rows.len().saturating_sub(limit));
        }
    }
    // 0 and 1 are both the first page.
    let skipped = if is_stuck { 0 } else { offset.saturating_sub(1) * limit };
    rows.drain(..skipped.min(rows.len()));
    rows.truncate(limit);
    let newest = rows.first().map(|(at, _)| *at);
    let oldest = rows.last().map(|(at, _)| *at);
    let base64 = |at: i64| BASE64.encode(format!("{}.{:03}", at / 1000, at % 1000));
    let cursor = match cursors {
        Cursors::Millis => json!({ "next": oldest, "prev": newest }),
        Cursors::MillisReversed => json!({ "next": newest, "prev": oldest }),
        Cursors::Base64Reversed => {
            json!({ "next": newest.map(base64), "prev": oldest.map(base64), "pit": null })
        }
        Cursors::Absent => json!({}),
    };
    let total = if query.is_counted == Some(true) { count } else { rows.len() };
    let pagination = json!({ "cursor": cursor, "offset": offset, "limit": limit, "total": total });
    let data: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    Json(json!({ "status": "success", "data": data, "meta": { "pagination": pagination } }))
}

/// Milliseconds of a cursor in any form.
fn decode(cursor: &str) -> Option<i64> {
    if let Ok(millis) = cursor.parse() {
        return Some(millis);
    }
    let text = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
    let (seconds, millis) = text.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1000 + millis.parse::<i64>().ok()?)
}

/// A time of a body in milliseconds since 1970; 0 without one.
pub fn millis(time: &Value) -> i64 {
    let time = time.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    time.map_or(0, |time| time.timestamp_millis())
}
