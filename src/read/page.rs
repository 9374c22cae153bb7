//! Pages of a list, both ways, by key.
//!
//! A cursor says after which row a page begins, so pages are stable while rows arrive, and page
//! 10,000 costs what page 1 costs.

use axum::Json;
use axum::http::header::{HeaderName, LINK, VARY};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::export;
use super::reader::Reader;
use crate::config::Scope;
use crate::http::Error;
use crate::http::extract::Parameters;
use crate::http::representation::Form;
use crate::store::walk::Walk;

/// Rows on a page, if nothing else is asked for.
pub const DEFAULT_LIMIT: i64 = 50;
/// The most rows on a page.
pub const MAX_LIMIT: i64 = 500;
/// How far rows are counted.
pub const MAX_TOTAL: i64 = 10_000;

/// What of a list is asked for, and in which form. `P` is a row's place in the order of the list.
pub struct Page<P> {
    from: Option<P>,
    backward: bool,
    form: Form,
    limit: Option<i64>,
    is_counted: bool,
    fingerprint: String,
    path: String,
    base: String,
}

/// The answer that shows a page of a list, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct List<T> {
    /// Always `success`.
    status: &'static str,
    /// The rows of this page.
    data: Vec<T>,
    meta: Meta,
}

/// What an answer with a page says of it.
#[derive(Serialize, ToSchema)]
struct Meta {
    pagination: Pagination,
}

#[derive(Serialize, ToSchema)]
struct Pagination {
    cursor: Cursors,
    /// The most rows that the page may have.
    limit: i64,
    /// With `is_counted=true` the rows of all pages; 10,000 stands for so many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    total: Option<i64>,
}

/// What to ask the pages around with, as `cursor`.
#[derive(Serialize, ToSchema)]
struct Cursors {
    /// Of the page behind this one; null on the last.
    next: Option<String>,
    /// Of the page before this one; null on the first.
    prev: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Cursor<P> {
    /// Which list with which filters it belongs to.
    #[serde(rename = "q")]
    fingerprint: String,
    #[serde(rename = "b")]
    backward: bool,
    #[serde(rename = "p")]
    place: P,
}

impl<P: Serialize + DeserializeOwned + Send + 'static> Page<P> {
    /// Reads the parameters that all lists have: `limit`, `cursor`, `is_counted` and `format`. Fails if it is to
    /// be an export and the key has no right to one.
    pub fn read(reader: &Reader, parameters: &mut Parameters) -> Result<Self, Error> {
        let fingerprint = parameters.fingerprint();
        let form = Form::read(parameters);
        if form != Form::Json {
            reader.require(Scope::Export)?;
        }
        let max = if form == Form::Json { MAX_LIMIT } else { export::MAX_LIMIT };
        let limit = parameters.integer("limit", 1..=max);
        let is_counted = parameters.flag("is_counted").unwrap_or(false);
        let cursor: Option<Cursor<P>> = parameters.value("cursor").and_then(|text| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
            // No id has a NUL, and Postgres takes none.
            let bytes = bytes.filter(|bytes| !bytes.windows(6).any(|six| six == br"\u0000"));
            let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor<P>>(&bytes).ok());
            cursor.filter(|cursor| cursor.fingerprint == fingerprint).or_else(|| {
                parameters
                    .refuse("cursor", "must be one that this list gave, with the same filters")
            })
        });
        let backward = cursor.as_ref().is_some_and(|cursor| cursor.backward);
        let from = cursor.map(|cursor| cursor.place);
        let (path, base) = (parameters.path().to_owned(), parameters.base());
        Ok(Self { from, backward, form, limit, is_counted, fingerprint, path, base })
    }

    /// Answers with the page, or, if it is to be an export, with it and all that follow.
    ///
    /// `fetch` finds rows, in the order of walking; an export asks a clone of it for each of its
    /// pages. `place` tells where a row stands in the list.
    pub async fn answer<R, F>(
        self,
        fetch: impl FnOnce(Walk<P>) -> F + Clone + Send + 'static,
        place: impl Fn(&R) -> P + Send + 'static,
    ) -> Result<Response, Error>
    where
        R: Serialize + ToSchema + Send + 'static,
        F: Future<Output = sqlx::Result<Vec<R>>> + Send + 'static,
    {
        let Self { from, backward, form, limit, .. } = self;
        if form != Form::Json {
            let walk = Walk { from, backward, rows: 0 };
            return export::answer(form, &self.path, limit, walk, fetch, place).await;
        }
        let total = if self.is_counted { Some(count(fetch.clone(), &place).await?) } else { None };
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let has_from = from.is_some();
        // One more than the page holds, to know whether it is the last.
        let mut rows = fetch(Walk { from, backward, rows: limit + 1 }).await?;
        let has_more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        if backward {
            rows.reverse();
        }
        // Where we came from there are rows; ahead there are if one more was found.
        let (has_next, has_prev) = if backward { (true, has_more) } else { (has_more, has_from) };
        let cursor = |backward, place| {
            let cursor = Cursor { fingerprint: self.fingerprint.clone(), backward, place };
            let json = serde_json::to_vec(&cursor).expect("places are numbers and texts");
            BASE64_URL_SAFE_NO_PAD.encode(json)
        };
        let next = rows.last().filter(|_| has_next).map(|row| cursor(false, place(row)));
        let prev = rows.first().filter(|_| has_prev).map(|row| cursor(true, place(row)));
        let links = links(&self.base, [("next", &next), ("prev", &prev)]);
        let pagination = Pagination { cursor: Cursors { next, prev }, limit, total };
        let meta = Meta { pagination };
        let page = Json(List { status: "success", data: rows, meta });
        Ok(([(VARY, "accept")], links, page).into_response())
    }
}

/// How many rows a list has, up to [`MAX_TOTAL`]: counted page by page, so that no statement is slow.
async fn count<P, R, F>(
    fetch: impl FnOnce(Walk<P>) -> F + Clone,
    place: impl Fn(&R) -> P,
) -> sqlx::Result<i64>
where
    F: Future<Output = sqlx::Result<Vec<R>>>,
{
    let (mut total, mut from) = (0, None);
    while total < MAX_TOTAL {
        let rows = fetch.clone()(Walk { from, backward: false, rows: MAX_LIMIT }).await?;
        let found = rows.len() as i64;
        total += found;
        if found < MAX_LIMIT {
            break;
        }
        from = rows.last().map(&place);
    }
    Ok(total)
}

/// The header `Link` with the pages around, if there are any.
fn links(base: &str, pages: [(&str, &Option<String>); 2]) -> Option<[(HeaderName, String); 1]> {
    let link = |(rel, cursor): (_, &Option<String>)| {
        cursor.as_ref().map(|cursor| format!("<{base}{cursor}>; rel=\"{rel}\""))
    };
    let links: Vec<String> = pages.into_iter().filter_map(link).collect();
    (!links.is_empty()).then(|| [(LINK, links.join(", "))])
}
