//! CSV of what a page computes, which no list of the API has.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::ApiError;
use super::layout::{Section, page};
use super::session::Visitor;
use crate::read::export::csv::{Columns, Dialect};

/// Rows as a file, in the dialect of the API's exports. The key needs the same scope.
pub async fn respond<R: Serialize + ToSchema>(
    visitor: &Visitor,
    section: Section,
    name: &str,
    rows: Result<Vec<R>, ApiError>,
) -> Response {
    let forbidden =
        || ApiError { status: StatusCode::FORBIDDEN, messages: Vec::new(), request_id: None };
    let rows = match rows {
        _ if !visitor.can_export => return page(visitor, section, Err(forbidden())).await,
        Err(error) => return page(visitor, section, Err(error)).await,
        Ok(rows) => rows,
    };
    let columns = Columns::of::<R>(Dialect { bom: false, delimiter: b',' });
    let file = format!("attachment; filename=\"{name}-{}.csv\"", Utc::now().format("%F"));
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, file.as_str()),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, [columns.header(), columns.lines(&rows)].concat()).into_response()
}
