//! Exports: a whole list in one response, fetched page by page as the client reads it.
//!
//! Memory holds one page, and between pages no database connection is held, so a slow client costs
//! little.

pub mod csv;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::stream::{Stream, StreamExt, TryStreamExt, iter, try_unfold};
use serde::Serialize;
use utoipa::ToSchema;

use self::csv::{Columns, Dialect};
use super::validity::{Validity, while_valid};
use crate::http::Error;
use crate::http::representation::Format;
use crate::store::walk::Walk;
use crate::store::{self, Failure};
use crate::telemetry::fault::Fault;

static ABORTED: Fault = Fault::error("export aborted");

/// Maximum of the parameter `limit` of an export; without it all rows are exported.
pub const MAX_LIMIT: i64 = 1_000_000_000;

/// Rows fetched at a time: enough to make the query cheap per row, few enough to hold.
const PAGE_ROWS: i64 = 500;

/// Timeout of a page, for a connection that died silently. Statements have a timeout of their own.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Tells how cells of CSV are cut: the maximum number of characters, and how such a cell ends.
pub const CELL_LIMIT: HeaderName = HeaderName::from_static("x-cell-limit");

/// What an export consists of.
#[derive(Clone, Copy, Debug)]
pub enum Lines {
    /// JSON.
    Ndjson,
    /// Cells.
    Csv(Dialect),
}

impl Lines {
    const fn format(self) -> Format {
        match self {
            Self::Ndjson => Format::Ndjson,
            Self::Csv(_) => Format::Csv,
        }
    }
}

/// The rows of a walk as text, at most `limit` of them. The first ones are fetched before this
/// returns, so that a failure still has a status.
pub async fn rows<P, R, F>(
    lines: Lines,
    limit: Option<i64>,
    walk: Walk<P>,
    fetch: impl FnOnce(Walk<P>) -> F + Clone + Send + 'static,
    place: impl Fn(&R) -> P + Send + 'static,
) -> Result<impl Stream<Item = Result<Bytes, Failure>> + Send + 'static, Error>
where
    P: Send + 'static,
    R: Serialize + ToSchema + Send + 'static,
    F: Future<Output = sqlx::Result<Vec<R>>> + Send + 'static,
{
    let columns = match lines {
        Lines::Ndjson => None,
        Lines::Csv(dialect) => Some(Columns::of::<R>(dialect)),
    };
    let header = columns.as_ref().map(|columns| Bytes::from(columns.header()));
    let left = limit.unwrap_or(i64::MAX);
    let mut export = Export { columns, walk, left, fetch, place };
    let first = export.next().await?;
    let rest = try_unfold(export, async |mut export: Export<_, _, _>| {
        Ok(export.next().await?.map(|page| (page, export)))
    });
    let rest = rest.map_err(|cause: sqlx::Error| {
        let failure = Failure::from(cause);
        ABORTED.occurred(&failure);
        failure
    });
    Ok(iter(header.into_iter().chain(first).map(Ok)).chain(rest))
}

/// Responds with rows, as long as the key is valid.
pub fn respond(
    lines: Lines,
    path: &str,
    rows: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    validity: Validity,
) -> Response {
    let cell_limit = matches!(lines, Lines::Csv(_))
        .then(|| [(CELL_LIMIT, format!("{}; mark=\"{}\"", csv::MAX_CHARACTERS, csv::CUT))]);
    let format = lines.format();
    let list = path.rsplit('/').next().unwrap_or_default();
    let file = format!("{list}-{}.{}", Utc::now().format("%F"), format.as_str());
    let headers = [
        (VARY, "accept".to_owned()),
        (CONTENT_TYPE, format!("{}; charset=utf-8", format.media_type())),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ];
    (headers, cell_limit, Body::from_stream(while_valid(rows, validity))).into_response()
}

/// State of an export.
struct Export<P, F, L> {
    /// Columns of CSV; `None` for NDJSON.
    columns: Option<Columns>,
    walk: Walk<P>,
    /// Rows left to export.
    left: i64,
    fetch: F,
    place: L,
}

impl<P, F, L> Export<P, F, L> {
    /// The next page as text; `None` after the last.
    async fn next<R, T>(&mut self) -> sqlx::Result<Option<Bytes>>
    where
        R: Serialize,
        T: Future<Output = sqlx::Result<Vec<R>>>,
        F: FnOnce(Walk<P>) -> T + Clone,
        L: Fn(&R) -> P,
    {
        if self.left == 0 {
            return Ok(None);
        }
        let wanted = self.left.min(PAGE_ROWS);
        let Walk { from, backward, .. } = &mut self.walk;
        let walk = Walk { from: from.take(), backward: *backward, rows: wanted };
        let rows = store::within(PAGE_TIMEOUT, self.fetch.clone()(walk)).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.walk.from = Some((self.place)(last));
        let found = rows.len() as i64;
        self.left = if found < wanted { 0 } else { self.left - found };

        if let Some(columns) = &self.columns {
            return Ok(Some(columns.lines(&rows).into()));
        }
        let mut text = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut text, row).expect("rows are JSON");
            text.push(b'\n');
        }
        Ok(Some(text.into()))
    }
}
