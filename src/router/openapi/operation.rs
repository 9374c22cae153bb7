//! What all routes have in common: names, authentication, path parameters and responses.

use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, RefOr, Required};

use super::{export, response};
use crate::config::Scope;
use crate::http::query::value::text;
use crate::read::page::EXPORTS;

/// Adds to an operation what its handler does not declare.
pub fn complete(method: &str, path: &str, operation: &mut Operation, example: Option<&Value>) {
    let is_list = is_list(operation);
    let tag = match path.trim_start_matches("/v1").split('/').nth(1).unwrap_or_default() {
        "api" => "qontak",
        tag => tag,
    };
    operation.tags = Some(vec![tag.to_owned()]);
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200")
        && response.description.is_empty()
    {
        response.description = operation.summary.clone().unwrap_or_default();
    }
    if let Some(content) = success(operation) {
        content.example = example.cloned();
    }
    response::add_headers(operation, method == "GET", is_list);
    // A webhook has a token instead of a key, and declares its errors itself.
    if tag == "webhooks" {
        return;
    }
    if let Some(name) = name(method, path, is_list) {
        operation.operation_id = Some(name);
    }
    let is_export = path.starts_with(EXPORTS);
    let scopes = if is_export { &[Scope::Read, Scope::Export][..] } else { &[Scope::Read] };
    let scopes = scopes.iter().map(|scope| scope.as_str());
    operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("key", scopes)]);
    let parameters = operation.parameters.get_or_insert_default();
    let has = |name| parameters.iter().any(|parameter| name_of(parameter) == name);
    let may_be_not_found = path.contains('{') || has("organization_id");
    if path.contains("{id}") && !has("id") {
        parameters.insert(0, id().into());
    }
    if is_export {
        export::complete(operation);
    }
    for error in response::errors() {
        if error.status != "404" || may_be_not_found {
            let response = Ref::from_response_name(error.name);
            operation.responses.responses.insert(error.status, response.into());
        }
    }
}

/// Name of an operation, which is unique: `list_room_messages`, `get_room`, `replay_event`.
/// Generators make the name of a function of it. `None` if the path has none of the prefixes, so that
/// its handler names it.
fn name(method: &str, path: &str, is_list: bool) -> Option<String> {
    let prefixes = [(EXPORTS, "export"), ("/v1/", ""), ("/api/open/v1/", "qontak")];
    let find = |(prefix, first): &(&str, _)| Some((*first, path.strip_prefix(prefix)?));
    let (first, path): (&str, &str) = prefixes.iter().find_map(find)?;
    let parts: Vec<&str> = path.split('/').collect();
    let is_id = |part: &str| part.starts_with('{');
    let mut nouns: Vec<String> = Vec::new();
    for (i, part) in parts.iter().enumerate().filter(|(_, part)| !is_id(part)) {
        // One of them: `rooms/{id}` is a room.
        let is_one = parts.get(i + 1).is_some_and(|next| is_id(next));
        let noun = if is_one { part.strip_suffix('s').unwrap_or(part) } else { part };
        nouns.push(noun.replace('-', "_"));
    }
    let verb = match method {
        // A new one of a collection.
        "POST" if nouns.len() == 1 => {
            let noun = nouns.pop()?.trim_end_matches('s').to_owned();
            let verb = if noun == "replay" { "start" } else { "create" };
            nouns.push(noun);
            verb.to_owned()
        }
        "POST" => nouns.pop()?,
        "DELETE" => "cancel".to_owned(),
        _ if first == "export" => String::new(),
        _ if is_list => "list".to_owned(),
        _ => "get".to_owned(),
    };
    let words = [first, verb.as_str()].into_iter().chain(nouns.iter().map(String::as_str));
    Some(words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_"))
}

/// Name of a parameter.
pub fn name_of(parameter: &RefOr<Parameter>) -> &str {
    match parameter {
        RefOr::T(parameter) => &parameter.name,
        RefOr::Ref(reference) => &reference.ref_location,
    }
}

/// The JSON of a successful response.
fn success(operation: &mut Operation) -> Option<&mut Content> {
    let responses = &mut operation.responses.responses;
    let status = if responses.contains_key("200") { "200" } else { "201" };
    let RefOr::T(response) = responses.get_mut(status)? else { return None };
    match response.content.get_mut("application/json")? {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    }
}

fn is_list(operation: &mut Operation) -> bool {
    let schema = success(operation).and_then(|content| content.schema.as_ref());
    matches!(schema, Some(RefOr::Ref(list)) if list.ref_location.contains("List_"))
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
