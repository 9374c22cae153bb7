//! What the routes have in common: who may ask, how pages are asked for, how it is refused.

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    Array, ArrayItems, KnownFormat, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};

use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::http::extract::{MAX_CHARACTERS, MAX_VALUES};
use crate::http::representation::Form;
use crate::ingest::writer::WriteError;
use crate::model::phone;
use crate::read::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::store::batch::Position;
use crate::store::search::Query;

/// Adds to a route what is not said beside its handler.
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
    if let Some(content) = answer(operation) {
        content.example = example.cloned();
    }
    // A webhook has a token instead of a key, and refusals of its own.
    if tag == "webhooks" {
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new("key", [""; 0])]);
    let mut parameters = operation.parameters.take().unwrap_or_default();
    let is_id =
        |parameter: &_| matches!(parameter, RefOr::T(Parameter { name, .. }) if name == "id");
    if path.contains("{id}") && !parameters.iter().any(is_id) {
        parameters.insert(0, id().into());
    }
    if is_list(operation) {
        parameters.extend([limit(), cursor(), is_counted(), format()].map(RefOr::T));
        add_exports(operation);
    }
    for parameter in &mut parameters {
        if let RefOr::T(Parameter { name, parameter_in, schema: Some(schema), .. }) = parameter
            && *parameter_in != ParameterIn::Path
        {
            restrict(name, schema);
        }
    }
    operation.parameters = Some(parameters);
    for refusal in &refusals() {
        if refusal.status != "404" || path.contains('{') {
            let response = Ref::from_response_name(refusal.name);
            operation.responses.responses.insert(refusal.status.clone(), response.into());
        }
    }
}

/// The JSON that a route answers if all is well.
fn answer(operation: &mut Operation) -> Option<&mut Content> {
    let RefOr::T(response) = operation.responses.responses.get_mut("200")? else { return None };
    match response.content.get_mut("application/json")? {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    }
}

fn is_list(operation: &mut Operation) -> bool {
    let schema = answer(operation).and_then(|content| content.schema.as_ref());
    matches!(schema, Some(RefOr::Ref(list)) if list.ref_location.contains("/List_"))
}

/// A list is answered in other forms as well.
fn add_exports(operation: &mut Operation) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        for form in Form::ALL.iter().filter(|form| **form != Form::Json) {
            let lines = Content::new(Some(Schema::from(text())));
            response.content.insert(form.media_type().to_owned(), lines.into());
        }
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Says which texts a parameter takes, if there is no list of them.
fn restrict(name: &str, schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Array(Array {
            items: ArrayItems::RefOrSchema(item), max_items, ..
        })) => {
            *max_items = Some(MAX_VALUES);
            restrict(name, item);
        }
        RefOr::T(Schema::Object(object)) if is_text(object) => *schema = allowed(name).into(),
        _ => {}
    }
}

fn is_text(object: &Object) -> bool {
    let is_text = match &object.schema_type {
        SchemaType::Type(one) => *one == Type::String,
        SchemaType::Array(types) => types.contains(&Type::String),
        SchemaType::AnyValue => false,
    };
    is_text && object.enum_values.is_none()
}

/// What a parameter of this name takes, on whichever route it is.
fn allowed(name: &str) -> Schema {
    let some = match name {
        "start_date" | "end_date" => return day_or_time().into(),
        "q" | "query" => {
            text().max_length(Some(Query::MAX_CHARACTERS)).pattern(Some(Query::PATTERN))
        }
        "phone" => text().pattern(Some(phone::PATTERN)),
        "last_event_id" => text().pattern(Some(Position::PATTERN)),
        "Last-Event-ID" => text().pattern(Some(format!("^$|{}", Position::PATTERN))),
        "cursor" | "time_zone" => not_empty(),
        _ => not_empty().max_length(Some(MAX_CHARACTERS)),
    };
    some.into()
}

fn not_empty() -> ObjectBuilder {
    text().min_length(Some(1)).pattern(Some(r"^[^\u0000]*$"))
}

/// A day or a time, of the years that Postgres and every time zone know.
fn day_or_time() -> OneOfBuilder {
    let one = |format| {
        let format = Some(SchemaFormat::KnownFormat(format));
        Schema::from(text().format(format).pattern(Some("^(19[89]|[2-8])")))
    };
    OneOfBuilder::new().item(one(KnownFormat::Date)).item(one(KnownFormat::DateTime))
}

fn id() -> Parameter {
    parameter("id", ParameterIn::Path, "Its id, as lists show it.", text())
}

fn limit() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_LIMIT))
        .default(Some(json!(DEFAULT_LIMIT)));
    let limit =
        "Rows on a page. An export has all rows, or as many as this says, which may be more.";
    parameter("limit", ParameterIn::Query, limit, schema)
}

fn cursor() -> Parameter {
    let cursor =
        "Which page: a `meta.pagination.cursor` of this list, asked with the same filters.";
    parameter("cursor", ParameterIn::Query, cursor, text())
}

fn is_counted() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(json!(false)));
    let is_counted =
        "Whether `meta.pagination.total` is to say how many rows there are, to 10,000.";
    parameter("is_counted", ParameterIn::Query, is_counted, schema)
}

fn format() -> Parameter {
    let format = "Anything but `json` is an export: the page and all that follow, a row on each \
        line. It wants a key with the scope `export`. The header `Accept` says the same.";
    let forms = text().enum_values(Some(Form::ALL.map(Form::name)));
    parameter("format", ParameterIn::Query, format, forms)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    description: &str,
    schema: ObjectBuilder,
) -> Parameter {
    let is_required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(is_required)
        .description(Some(description))
        .schema(Some(Schema::from(schema)))
        .build()
}

/// How any route may refuse.
pub struct Shared {
    /// Its name in the document.
    pub name: &'static str,
    /// The answer.
    pub response: Response,
    status: String,
}

/// All that any route may answer if it refuses.
pub fn refusals() -> [Shared; 6] {
    let limit = Error::parameter("limit", format!("must be between 1 and {MAX_LIMIT}"));
    [
        shared("Unauthorized", "There is no key, or nobody knows it.", &Error::Unauthorized),
        shared("Forbidden", "The key lacks the scope.", &Error::Forbidden("replay")),
        shared("NotFound", "There is none, or the key may not see it.", &Error::NotFound),
        shared("Unprocessable", "A parameter is unknown or cannot be used.", &limit),
        shared(
            "TooManyRequests",
            "The key asks too often. `Retry-After` has the seconds to wait.",
            &Error::TooManyRequests(1),
        ),
        shared(
            "Unavailable",
            "The database is away or takes too long. `Retry-After` has the seconds to wait.",
            &Error::WriteError(WriteError::StorageUnavailable),
        ),
    ]
}

fn shared(name: &'static str, description: &str, error: &Error) -> Shared {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorResponse")))
        .example(serde_json::to_value(ErrorResponse::from(error)).ok())
        .build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    Shared { name, response: response.build(), status: error.status().as_str().to_owned() }
}
