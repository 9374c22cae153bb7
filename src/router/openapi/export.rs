//! Operations of exports, made of those of the lists.
//!
//! Exports have paths of their own, because generators make one type of all formats of a response:
//! a list that may also be CSV would be a list or a text in every client.

use utoipa::IntoParams;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, RefOr};

use super::operation::name_of;
use super::response;
use crate::http::query::value::text;
use crate::http::representation::Format;
use crate::read::export::MAX_LIMIT;
use crate::read::page::ExportQuery;

const DESCRIPTION: &str = "\
The rows of this page and of all pages after it, one per line. In NDJSON (read it as text) a row is as \
in the list. In CSV, columns are the fields of a row; lists and free objects are JSON. A response that \
ends regularly is complete.";

/// Makes the operation of an export of that of its list.
pub fn complete(operation: &mut Operation) {
    let rest = operation.summary.as_deref().and_then(|text| text.strip_prefix("List "));
    let summary = rest.map(|rest| format!("Export {rest}"));
    let list = operation.description.take();
    operation.description =
        Some(list.map_or(DESCRIPTION.to_owned(), |list| format!("{list}\n\n{DESCRIPTION}")));
    operation.responses.responses.remove("304");
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        response.description = summary.clone().unwrap_or_default();
        response.content.clear();
        for format in [Format::Csv, Format::Ndjson] {
            let lines = Content::new(Some(Schema::from(text())));
            response.content.insert(format.media_type().to_owned(), lines.into());
        }
        response::set_export_headers(response);
    }
    operation.summary = summary;

    let parameters = operation.parameters.get_or_insert_default();
    parameters.retain(|parameter| name_of(parameter) != "is_counted");
    for parameter in &mut *parameters {
        let RefOr::T(parameter) = parameter else { continue };
        match parameter.name.as_str() {
            "limit" => {
                let limit = ObjectBuilder::new().schema_type(Type::Integer);
                let limit = limit.minimum(Some(1)).maximum(Some(MAX_LIMIT));
                parameter.schema = Some(Schema::from(limit).into());
                parameter.description = Some("Maximum number of rows; all by default.".to_owned());
            }
            "cursor" => {
                let cursor = "Start: a `meta.pagination.cursor` of the list, with the same filters. \
                              With a `prev` cursor the order is reversed.";
                parameter.description = Some(cursor.to_owned());
            }
            _ => {}
        }
    }
    let at = parameters.iter().position(|one| name_of(one) == "limit").unwrap_or_default();
    let formats = ExportQuery::into_params(|| Some(ParameterIn::Query));
    parameters.splice(at..at, formats.into_iter().map(RefOr::from));
}
