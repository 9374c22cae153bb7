//! Keyset pagination in both directions.
//!
//! A cursor holds the sort key of the row next to the page, so pages are stable while rows arrive,
//! and page 10,000 costs what page 1 costs.

use axum::Json;
use axum::http::header::{HeaderName, LINK, VARY};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::VariantArray;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::envelope::Success;
use super::export::csv::Dialect;
use super::export::{self, Lines};
use super::reader::Reader;
use super::waiting::Waiting;
use crate::config::Scope;
use crate::http::Error;
use crate::http::query::value::{Flag, Token, text};
use crate::http::query::{Parameter, Parameters, Query};
use crate::http::representation::Format;
use crate::store::walk::Walk;
use crate::{parameter_schema, query};

/// Path of the exports: each list has its export there, at the rest of its own path.
pub const EXPORTS: &str = "/v1/exports/";

/// Rows of a page by default.
const DEFAULT_LIMIT: i64 = 50;
/// Maximum rows of a page.
pub const MAX_LIMIT: i64 = 500;
/// Rows are counted up to this many.
const MAX_TOTAL: i64 = 10_000;

/// Version of the cursor's content; cursors of another version are rejected.
const CURSOR_VERSION: u8 = 1;

query! {
    /// Parameters of every export. Lists accept them too, with `json` as the default format, but do
    /// not document them: in generated clients the type of a list would be that of all its formats.
    pub struct ExportQuery {
        /// Format of the export; `csv` by default. The header `Accept` has the same effect.
        format: RequestedFormat,
        /// Whether CSV begins with a byte order mark, by which Excel recognises UTF-8. Other formats
        /// ignore it.
        bom: Flag,
        /// Delimiter of CSV: `,` by default, or `;` for Excel in Indonesia and much of Europe.
        delimiter: Delimiter,
    }
}

query! {
    /// Parameters of every list.
    pub struct PageQuery {
        /// Rows of a page, 50 by default.
        limit: Limit,
        /// Whether `meta.pagination.total` counts the rows of all pages, up to 10,000.
        is_counted: Flag,
        /// Cursor of a page: a `meta.pagination.cursor` of this list, with the same filters.
        cursor: Token,
    }
}

/// Number of rows. Its maximum depends on the format, so [`Page::read`] checks it.
struct Limit(String);

parameter_schema!(
    Limit,
    [],
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_LIMIT))
        .default(Some(json!(DEFAULT_LIMIT)))
);

impl Parameter for Limit {
    fn parse(values: &[&str]) -> Result<Self, String> {
        Ok(Self(values[0].to_owned()))
    }
}

/// Name of a format. Which ones are known depends on the path, so [`Page::read`] checks it.
struct RequestedFormat(String);

parameter_schema!(
    RequestedFormat,
    [],
    text().enum_values(Some(Format::EXPORTS.iter().map(|format| format.as_str())))
);

impl Parameter for RequestedFormat {
    fn parse(values: &[&str]) -> Result<Self, String> {
        Ok(Self(values[0].trim().to_owned()))
    }
}

/// Delimiter of CSV.
struct Delimiter(u8);

parameter_schema!(Delimiter, [], text().pattern(Some("^[,;]$")));

impl Parameter for Delimiter {
    fn parse(values: &[&str]) -> Result<Self, String> {
        match values[0] {
            "," => Ok(Self(b',')),
            ";" => Ok(Self(b';')),
            _ => Err("must be `,` or `;`".to_owned()),
        }
    }
}

/// The requested page of a list, and its format. `P` is the place of a row in the list.
pub struct Page<P> {
    from: Option<P>,
    backward: bool,
    /// `None` for JSON.
    export: Option<Lines>,
    reader: Reader,
    limit: Option<i64>,
    is_counted: bool,
    fingerprint: String,
    path: String,
    url_before_cursor: String,
    waiting: Option<Waiting>,
}

/// Response with one page of a list, in Qontak's envelope.
#[derive(Serialize, ToSchema)]
pub struct List<T> {
    status: Success,
    /// Rows of this page.
    data: Vec<T>,
    meta: Meta,
}

/// Metadata of a page.
#[derive(Serialize, ToSchema)]
struct Meta {
    pagination: Pagination,
    /// Only in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting: Option<Waiting>,
}

#[derive(Serialize, ToSchema)]
struct Pagination {
    cursor: Cursors,
    /// Maximum rows of the page.
    limit: i64,
    /// With `is_counted=true` the number of rows of all pages; 10,000 means 10,000 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    total: Option<i64>,
}

/// Values of the parameter `cursor` for the adjacent pages.
#[derive(Serialize, ToSchema)]
struct Cursors {
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
    /// Cursor of the previous page; null on the first page.
    prev: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Cursor<P> {
    #[serde(rename = "v")]
    version: u8,
    /// The list and filters it is valid for.
    #[serde(rename = "q")]
    fingerprint: String,
    #[serde(rename = "b")]
    backward: bool,
    #[serde(rename = "p")]
    place: P,
}

impl<P: Serialize + DeserializeOwned + Send + 'static> Page<P> {
    /// Reads [`PageQuery`]. Fails if it is an export and the key lacks the scope.
    pub fn read(reader: &Reader, parameters: &mut Parameters) -> Result<Self, Error> {
        let is_export = parameters.path().starts_with(EXPORTS);
        let ExportQuery { format, bom, delimiter } = ExportQuery::read(parameters);
        let PageQuery { limit, is_counted, cursor } = PageQuery::read(parameters);
        let formats = if is_export { Format::EXPORTS } else { Format::VARIANTS };
        let format = format.and_then(|RequestedFormat(text)| {
            let format = formats.iter().find(|format| format.as_str().eq_ignore_ascii_case(&text));
            if format.is_none() {
                let names: Vec<&str> = formats.iter().map(|format| format.as_str()).collect();
                parameters.reject("format", &format!("must be one of {}", names.join(", ")));
            }
            format.copied()
        });
        let accepted = || Format::accepted(parameters.accept(), formats);
        let default = if is_export { Format::Csv } else { Format::Json };
        let format = format.or_else(accepted).unwrap_or(default);
        if format != Format::Json {
            reader.require(Scope::Export)?;
        }
        let export = match format {
            Format::Json => None,
            Format::Ndjson => Some(Lines::Ndjson),
            Format::Csv => Some(Lines::Csv(Dialect {
                bom: bom.is_some_and(|flag| flag.0),
                delimiter: delimiter.map_or(b',', |delimiter| delimiter.0),
            })),
        };
        let max = if format == Format::Json { MAX_LIMIT } else { export::MAX_LIMIT };
        let limit = limit.and_then(|Limit(text)| {
            let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
            if limit.is_none() {
                parameters.reject("limit", &format!("must be between 1 and {max}"));
            }
            limit
        });
        let fingerprint = parameters.fingerprint();
        let cursor = cursor.and_then(|Token(text)| {
            let cursor = decode(&text, &fingerprint);
            if cursor.is_none() {
                parameters
                    .reject("cursor", "must be one that this list gave, with the same filters");
            }
            cursor
        });
        Ok(Self {
            backward: cursor.as_ref().is_some_and(|cursor| cursor.backward),
            from: cursor.map(|cursor| cursor.place),
            export,
            reader: reader.clone(),
            limit,
            is_counted: is_counted.is_some_and(|flag| flag.0),
            fingerprint,
            path: parameters.path().to_owned(),
            url_before_cursor: parameters.url_before_cursor(),
            waiting: None,
        })
    }

    /// Adds to the metadata what is acknowledged and not in the list yet.
    pub fn with_waiting(self, waiting: Option<Waiting>) -> Self {
        Self { waiting, ..self }
    }

    /// Begins the page at this place, unless a cursor was sent. The place is that of the first row, or
    /// just before it.
    pub fn starting_at(self, place: Option<P>) -> Self {
        Self { from: self.from.or(place), ..self }
    }

    /// Responds with the page or, for an export, with this page and all after it.
    ///
    /// `fetch` returns rows in the order of the walk; an export calls a clone of it per page.
    /// `place` returns the place of a row in the list.
    pub async fn respond<R, F>(
        self,
        fetch: impl FnOnce(Walk<P>) -> F + Clone + Send + 'static,
        place: impl Fn(&R) -> P + Send + 'static,
    ) -> Result<Response, Error>
    where
        R: Serialize + ToSchema + Send + 'static,
        F: Future<Output = sqlx::Result<Vec<R>>> + Send + 'static,
    {
        let Self { from, backward, export, limit, .. } = self;
        if let Some(lines) = export {
            let walk = Walk { from, backward, rows: 0 };
            let rows = export::rows(lines, limit, walk, fetch, place).await?;
            return Ok(export::respond(lines, &self.path, rows, self.reader.validity()));
        }
        let total = if self.is_counted { Some(count(fetch.clone(), &place).await?) } else { None };
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let has_from = from.is_some();
        // One row more than the page holds tells whether there is another page.
        let mut rows = fetch(Walk { from, backward, rows: limit + 1 }).await?;
        let has_more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        if backward {
            rows.reverse();
        }
        let (has_next, has_prev) = if backward { (true, has_more) } else { (has_more, has_from) };
        let cursor = |backward, place| {
            let fingerprint = self.fingerprint.clone();
            let cursor = Cursor { version: CURSOR_VERSION, fingerprint, backward, place };
            let json = serde_json::to_vec(&cursor).expect("places are numbers and texts");
            BASE64_URL_SAFE_NO_PAD.encode(json)
        };
        let next = rows.last().filter(|_| has_next).map(|row| cursor(false, place(row)));
        let prev = rows.first().filter(|_| has_prev).map(|row| cursor(true, place(row)));
        let links = links(&self.url_before_cursor, [("next", &next), ("prev", &prev)]);
        let pagination = Pagination { cursor: Cursors { next, prev }, limit, total };
        let meta = Meta { pagination, waiting: self.waiting };
        let page = Json(List { status: Success::Success, data: rows, meta });
        Ok(([(VARY, "accept")], links, page).into_response())
    }
}

/// Decodes a cursor. `None` if it is not one of this list.
fn decode<P: DeserializeOwned>(text: &str, fingerprint: &str) -> Option<Cursor<P>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let json: Value = serde_json::from_slice(&bytes).ok()?;
    // No id has a NUL, which Postgres rejects.
    let has_nul = |value: &Value| value.as_str().is_some_and(|text| text.contains('\0'));
    if json["p"].as_object()?.values().any(has_nul) {
        return None;
    }
    let cursor: Cursor<P> = serde_json::from_value(json).ok()?;
    let is_valid = cursor.version == CURSOR_VERSION && cursor.fingerprint == fingerprint;
    is_valid.then_some(cursor)
}

/// Counts the rows of a list up to [`MAX_TOTAL`], page by page, so that no statement is slow.
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

/// The header `Link` with the adjacent pages; `None` if there are none.
fn links(
    url_before_cursor: &str,
    pages: [(&str, &Option<String>); 2],
) -> Option<[(HeaderName, String); 1]> {
    let link = |(rel, cursor): (_, &Option<String>)| {
        cursor.as_ref().map(|cursor| format!("<{url_before_cursor}{cursor}>; rel=\"{rel}\""))
    };
    let links: Vec<String> = pages.into_iter().filter_map(link).collect();
    (!links.is_empty()).then(|| [(LINK, links.join(", "))])
}
