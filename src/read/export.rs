//! A whole list in one answer, page after page as its reader takes it.
//!
//! What is held is one page, and between pages no connection to the database: a reader may take
//! as long as it likes, and be as slow.

mod csv;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::stream::{StreamExt, TryStreamExt, iter, try_unfold};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use self::csv::Columns;
use crate::http::Error;
use crate::http::representation::Form;
use crate::store::walk::Walk;
use crate::store::{self, Failure};

/// The most rows that may be asked for; without a limit there are as many as there are.
pub const MAX_LIMIT: i64 = 1_000_000_000;

/// Rows of a page: large enough that finding it costs little, small enough to be held.
const PAGE_ROWS: i64 = 500;

/// Statements have a limit of their own. This is for a page whose answer never comes, because the
/// link died without a word.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers with the rows of a walk, at most `limit` of them.
pub async fn answer<P, R, F>(
    form: Form,
    path: &str,
    limit: Option<i64>,
    walk: Walk<P>,
    fetch: impl FnOnce(Walk<P>) -> F + Clone + Send + 'static,
    place: impl Fn(&R) -> P + Send + 'static,
) -> Result<Response, Error>
where
    P: Send + 'static,
    R: Serialize + ToSchema + Send + 'static,
    F: Future<Output = sqlx::Result<Vec<R>>> + Send + 'static,
{
    let columns = (form == Form::Csv).then(Columns::of::<R>);
    let head = columns.as_ref().map(|columns| Bytes::from(columns.head()));
    let left = limit.unwrap_or(i64::MAX);
    let mut export = Export { columns, walk, left, fetch, place };
    // Found before the answer begins, so that a failure still has a status.
    let first = export.next().await?;
    let rest = try_unfold(export, async |mut export: Export<_, _, _>| {
        Ok(export.next().await?.map(|page| (page, export)))
    });
    let rest = rest.map_err(|cause: sqlx::Error| {
        let failure = Failure::from(cause);
        error!("an export was cut off: {failure}");
        failure
    });
    let pages = iter(head.into_iter().chain(first).map(Ok)).chain(rest);

    let list = path.rsplit('/').next().unwrap_or_default();
    let file = format!("{list}-{}.{}", Utc::now().format("%F"), form.name());
    let headers = [
        (VARY, "accept".to_owned()),
        (CONTENT_TYPE, format!("{}; charset=utf-8", form.media_type())),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// An export on its way.
struct Export<P, F, L> {
    /// Those of CSV; else each line is a row as JSON.
    columns: Option<Columns>,
    walk: Walk<P>,
    /// Rows still wanted.
    left: i64,
    fetch: F,
    place: L,
}

impl<P, F, L> Export<P, F, L> {
    /// The next page as text; none after the last.
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
        let asked = self.left.min(PAGE_ROWS);
        let Walk { from, backward, .. } = &mut self.walk;
        let walk = Walk { from: from.take(), backward: *backward, rows: asked };
        let rows = store::within(PAGE_TIMEOUT, self.fetch.clone()(walk)).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.walk.from = Some((self.place)(last));
        let found = rows.len() as i64;
        self.left = if found < asked { 0 } else { self.left - found };

        if let Some(columns) = &self.columns {
            return Ok(Some(columns.lines(&rows).into()));
        }
        let mut text = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut text, row).expect("rows are JSON, and memory takes it");
            text.push(b'\n');
        }
        Ok(Some(text.into()))
    }
}
