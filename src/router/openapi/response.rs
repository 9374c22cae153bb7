//! Responses and response headers that routes share.

use std::collections::BTreeMap;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    Components, ContentBuilder, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder,
};

use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::ingest::writer::WriteError;
use crate::read::page::MAX_LIMIT;

/// Headers: name in the document, name, type, description.
const HEADERS: [(&str, &str, Type, &str); 8] = [
    (
        "RequestId",
        "x-request-id",
        Type::String,
        "Id of the request, as in the log; that of the request's own header, if it has one.",
    ),
    (
        "ETag",
        "ETag",
        Type::String,
        "Tag of the response. Send it as `If-None-Match`: a response that has not changed is a 304.",
    ),
    ("Link", "Link", Type::String, "URLs of the pages `next` and `prev`, if there are any."),
    ("Location", "Location", Type::String, "Path of the resource that shows the state."),
    (
        "RetryAfter",
        "Retry-After",
        Type::Integer,
        "Seconds to wait before a retry. A 503 without it is a query that timed out: narrow it.",
    ),
    (
        "WwwAuthenticate",
        "WWW-Authenticate",
        Type::String,
        "`Bearer`; with `error=\"invalid_token\"` for a key that is unknown, expired or revoked.",
    ),
    (
        "ContentDisposition",
        "Content-Disposition",
        Type::String,
        "File name: list, day and format, such as `rooms-2025-06-12.csv`.",
    ),
    (
        "CellLimit",
        "x-cell-limit",
        Type::String,
        "CSV only: maximum characters of a cell, and the `mark` at the end of a cell that was cut.",
    ),
];

fn headers(names: &[&str]) -> BTreeMap<String, RefOr<Header>> {
    let known = HEADERS.iter().filter(|(name, ..)| names.contains(name));
    let reference = |name: &str| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    known.map(|(name, header, ..)| ((*header).to_owned(), reference(name))).collect()
}

/// Adds the headers to the responses that a handler declares, and a 304 where there is an `ETag`.
pub fn add_headers(operation: &mut Operation, is_get: bool, is_list: bool) {
    let responses = &mut operation.responses.responses;
    let mut is_tagged = false;
    for (status, response) in &mut *responses {
        let RefOr::T(response) = response else { continue };
        let has_tag =
            is_get && status == "200" && response.content.contains_key("application/json");
        let mut names = vec!["RequestId"];
        names.extend(has_tag.then_some("ETag"));
        names.extend((has_tag && is_list).then_some("Link"));
        names.extend(["201", "202"].contains(&status.as_str()).then_some("Location"));
        names.extend(["409", "503"].contains(&status.as_str()).then_some("RetryAfter"));
        response.headers = headers(&names);
        is_tagged |= has_tag;
    }
    if is_tagged {
        responses.insert("304".to_owned(), Ref::from_response_name("NotModified").into());
    }
}

/// Sets the headers of an export.
pub fn set_export_headers(response: &mut Response) {
    response.headers = headers(&["RequestId", "ContentDisposition", "CellLimit"]);
}

/// Adds what operations refer to.
pub fn add_components(components: &mut Components) {
    for (name, _, header_type, description) in HEADERS {
        let schema = Schema::from(ObjectBuilder::new().schema_type(header_type));
        let header =
            HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        components.headers.insert(name.to_owned(), header.into());
    }
    for error in errors() {
        components.responses.insert(error.name.to_owned(), error.response.into());
    }
    let mut unchanged = Response::new("Not changed since the response with this `ETag`.");
    unchanged.headers = headers(&["RequestId", "ETag"]);
    components.responses.insert("NotModified".to_owned(), unchanged.into());
}

/// An error response that any route may return.
pub struct SharedError {
    /// Its name in the document.
    pub name: &'static str,
    /// The response.
    pub response: Response,
    /// Its status.
    pub status: String,
}

/// Error responses that any route may return.
pub fn errors() -> [SharedError; 6] {
    let limit = Error::parameter("limit", format!("must be between 1 and {MAX_LIMIT}"));
    [
        shared(
            "Unauthorized",
            "The key is missing, unknown, expired or revoked.",
            &Error::Unauthorized,
            &["WwwAuthenticate"],
        ),
        shared("Forbidden", "The key lacks the scope.", &Error::Forbidden("replay"), &[]),
        shared(
            "NotFound",
            "The id is unknown, or the key may not see its organisation or `organization_id`.",
            &Error::NotFound,
            &[],
        ),
        shared("Unprocessable", "A parameter is unknown or invalid.", &limit, &[]),
        shared(
            "TooManyRequests",
            "The key exceeds its rate limit. Retry after `Retry-After` seconds.",
            &Error::TooManyRequests(1),
            &["RetryAfter"],
        ),
        shared(
            "Unavailable",
            "The database is unavailable or too slow. Retry after `Retry-After` seconds, if given.",
            &Error::WriteError(WriteError::StorageUnavailable),
            &["RetryAfter"],
        ),
    ]
}

fn shared(name: &'static str, description: &str, error: &Error, names: &[&str]) -> SharedError {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorResponse")))
        .example(serde_json::to_value(ErrorResponse::from(error)).ok())
        .build();
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build();
    response.headers = headers(&[&["RequestId"], names].concat());
    SharedError { name, response, status: error.status().as_str().to_owned() }
}
