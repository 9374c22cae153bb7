//! What all routes have in common: authentication, path parameters, export formats and errors.

use serde_json::Value;
use strum::VariantArray;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};

use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::http::query::value::text;
use crate::http::representation::Format;
use crate::ingest::writer::WriteError;
use crate::read::page::MAX_LIMIT;

/// Adds to an operation what its handler does not declare.
pub fn complete(path: &str, operation: &mut Operation, example: Option<&Value>) {
    let tag = match path.trim_start_matches("/v1").split('/').nth(1).unwrap_or_default() {
        "api" => "qontak",
        tag => tag,
    };
    // Handlers of different files have the same names.
    let name = operation.operation_id.as_deref().unwrap_or_default();
    operation.operation_id = Some(format!("{tag}_{name}"));
    operation.tags = Some(vec![tag.to_owned()]);
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200")
        && response.description.is_empty()
    {
        response.description = operation.summary.clone().unwrap_or_default();
    }
    if let Some(content) = success(operation) {
        content.example = example.cloned();
    }
    // A webhook has a token instead of a key, and declares its errors itself.
    if tag == "webhooks" {
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new("key", [""; 0])]);
    let parameters = operation.parameters.get_or_insert_default();
    let is_id =
        |parameter: &_| matches!(parameter, RefOr::T(Parameter { name, .. }) if name == "id");
    if path.contains("{id}") && !parameters.iter().any(is_id) {
        parameters.insert(0, id().into());
    }
    let has_organization = |parameter: &_| matches!(parameter, RefOr::T(Parameter { name, .. }) if name == "organization_id");
    let may_be_not_found = path.contains('{') || parameters.iter().any(has_organization);
    if is_list(operation) {
        add_export_formats(operation);
    }
    for error in &errors() {
        if error.status != "404" || may_be_not_found {
            let response = Ref::from_response_name(error.name);
            operation.responses.responses.insert(error.status.clone(), response.into());
        }
    }
}

/// The JSON of a successful response.
fn success(operation: &mut Operation) -> Option<&mut Content> {
    let RefOr::T(response) = operation.responses.responses.get_mut("200")? else { return None };
    match response.content.get_mut("application/json")? {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    }
}

fn is_list(operation: &mut Operation) -> bool {
    let schema = success(operation).and_then(|content| content.schema.as_ref());
    matches!(schema, Some(RefOr::Ref(list)) if list.ref_location.contains("/List_"))
}

fn add_export_formats(operation: &mut Operation) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        for format in Format::VARIANTS.iter().filter(|format| **format != Format::Json) {
            let lines = Content::new(Some(Schema::from(text())));
            response.content.insert(format.media_type().to_owned(), lines.into());
        }
    }
}

fn id() -> Parameter {
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Id, as returned by lists."))
        .schema(Some(Schema::from(text())))
        .build()
}

/// An error response that any route may return.
pub struct SharedError {
    /// Its name in the document.
    pub name: &'static str,
    /// The response.
    pub response: Response,
    status: String,
}

/// Error responses that any route may return.
pub fn errors() -> [SharedError; 6] {
    let limit = Error::parameter("limit", format!("must be between 1 and {MAX_LIMIT}"));
    [
        shared(
            "Unauthorized",
            "The key is missing, unknown, expired or revoked.",
            &Error::Unauthorized,
        ),
        shared("Forbidden", "The key lacks the scope.", &Error::Forbidden("replay")),
        shared(
            "NotFound",
            "The id is unknown, or the key may not see its organisation or `organization_id`.",
            &Error::NotFound,
        ),
        shared("Unprocessable", "A parameter is unknown or invalid.", &limit),
        shared(
            "TooManyRequests",
            "The key exceeds its rate limit. Retry after `Retry-After` seconds.",
            &Error::TooManyRequests(1),
        ),
        shared(
            "Unavailable",
            "The database is unavailable or too slow. Retry after `Retry-After` seconds, if given.",
            &Error::WriteError(WriteError::StorageUnavailable),
        ),
    ]
}

fn shared(name: &'static str, description: &str, error: &Error) -> SharedError {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorResponse")))
        .example(serde_json::to_value(ErrorResponse::from(error)).ok())
        .build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    SharedError { name, response: response.build(), status: error.status().as_str().to_owned() }
}
