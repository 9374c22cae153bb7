//! The OpenAPI document suits generators of clients, and what it says beyond types is true.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, IF_NONE_MATCH};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures;
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Response, Service};
use super::openapi::{document, routes};

/// Calls `visit` with each object in a value.
fn each_object<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            // Examples are responses, not parts of the document.
            let parts = fields.iter().filter(|(name, _)| *name != "example");
            parts.for_each(|(_, part)| each_object(part, visit));
        }
        Value::Array(elements) => elements.iter().for_each(|part| each_object(part, visit)),
        _ => {}
    }
}

/// The media types of a route's 200, joined.
fn media_types(operation: &Value) -> String {
    let content = operation["responses"]["200"]["content"].as_object().unwrap();
    content.keys().cloned().collect::<Vec<_>>().join(" ")
}

fn names(parameters: &Value) -> BTreeSet<&str> {
    let parameters = parameters.as_array().unwrap().iter();
    parameters.map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

/// Sends a GET request with another header.
async fn get_with_header(service: &Service, path: &str, name: &str, value: &str) -> Response {
    let key = format!("Bearer {KEY_OF_ALL}");
    let request = Request::get(path).header(AUTHORIZATION, key).header(name, value);
    service.send(request.body(Body::empty()).unwrap()).await
}

#[test]
fn integers_have_no_format_and_patterns_no_control_characters() {
    let document = document();
    let mut integers = 0;
    each_object(&document, &mut |schema| {
        let types = schema.get("type").cloned().unwrap_or_default();
        let is_integer = types == "integer" || types == json!(["integer", "null"]);
        if is_integer {
            integers += 1;
            // From `int64` zod makes a BigInt.
            assert_eq!(schema.get("format"), None, "{schema:?}");
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            let is_plain = |part: &str| !pattern.contains(part) && !pattern.contains("\\x");
            assert!(is_plain("\\u0000") && is_plain("\0"), "{pattern}");
        }
    });
    assert!(integers > 50, "{integers}");
}

#[test]
fn every_operation_has_a_unique_name_of_verb_and_noun() {
    let mut found = BTreeSet::new();
    for (path, operation) in routes("get").into_iter().chain(routes("post")) {
        let name = operation["operationId"].as_str().unwrap().to_owned();
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.contains('_') && name.chars().all(is_word), "{path}: {name}");
        assert!(found.insert(name.clone()), "{path}: {name} is not unique");
    }
    for name in [
        "list_rooms",
        "get_room",
        "list_room_messages",
        "export_room_messages",
        "list_broadcast_logs",
        "list_delivery_statuses",
        "get_event_body",
        "replay_event",
        "get_me",
        "receive_webhook",
        "qontak_get_room",
        "qontak_list_room_messages",
    ] {
        assert!(found.contains(name), "{name} is not in {found:?}");
    }
}

#[test]
fn no_parameter_has_a_name_that_generated_functions_use() {
    // openapi-python-client: arguments and variables of its functions.
    let taken = ["response", "client", "kwargs", "params", "body", "url", "headers"];
    for (path, operation) in routes("get") {
        let names = names(&operation["parameters"]);
        assert!(taken.iter().all(|name| !names.contains(name)), "{path}: {names:?}");
    }
}

#[test]
fn lists_are_json_only_and_each_has_an_export_as_text_with_the_same_filters() {
    let (lists, mut exports) = (routes("get"), 0);
    for (path, list) in &lists {
        let schema = &list["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let is_list = schema.as_str().is_some_and(|schema| schema.contains("/List_"));
        if !is_list {
            continue;
        }
        assert_eq!(media_types(list), "application/json", "{path}");
        let export = &lists[&path.replace("/v1/", "/v1/exports/")];
        assert_eq!(media_types(export), "application/x-ndjson text/csv", "{path}");
        each_object(&export["responses"]["200"]["content"], &mut |schema| {
            assert!(schema.get("type").is_none_or(|found| found == "string"), "{schema:?}");
        });
        let formats = ["format", "bom", "delimiter"];
        let mut expected = names(&list["parameters"]);
        assert!(formats.iter().all(|name| !expected.contains(name)), "{path}");
        expected.remove("is_counted");
        expected.extend(formats);
        assert_eq!(names(&export["parameters"]), expected, "{path}");
        let parameters = export["parameters"].as_array().unwrap();
        let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").unwrap();
        // A generated client sends a default: an export would be cut to that many rows.
        assert_eq!(limit["schema"].get("default"), None, "{path}");
        exports += 1;
    }
    let documented = lists.keys().filter(|path| path.starts_with("/v1/exports/")).count();
    assert_eq!((exports, exports > 8), (documented, true));
}

#[test]
fn objects_of_qontak_are_open_and_promise_no_field() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let open = ["Attachment", "AvatarObject", "RepliedMessage", "Button", "RawMessage", "Content"];
    for name in open.into_iter().chain(["RawContent", "NoteObject", "Extra", "Rendition"]) {
        let schema = &schemas[name];
        assert!(schema["properties"].is_object(), "{name}");
        assert!(schema["additionalProperties"].is_object(), "{name}: {schema}");
        assert_eq!(schema.get("required"), None, "{name}");
    }
    let mut free = 0;
    each_object(schemas, &mut |schema| {
        // openapi-typescript: an object without any field.
        let is_object = schema.get("type").is_some_and(|found| found == "object");
        let has_fields = schema.contains_key("properties");
        assert!(!is_object || has_fields || schema.contains_key("additionalProperties"));
        free += usize::from(schema.is_empty());
    });
    assert!(free < 30, "{free} schemas say nothing");
}

#[test]
fn words_of_this_service_are_closed_lists() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (schema, field, expected) in [
        ("Event", "outcome", "Outcome"),
        ("Event", "kind", "Kind"),
        ("Applied", "kind", "Kind"),
        ("Message", "status", "Status"),
        ("Log", "status", "Status"),
        ("Delivery", "status", "Status"),
        ("Delivery", "implied", "Status"),
        ("Delivery", "conflicts", "Conflict"),
        ("StatusTime", "source", "Source"),
        ("TimelineEntry", "source", "Source"),
        ("TimelineEntry", "subject", "Subject"),
        ("RoomEvent", "type", "RoomEventType"),
        ("Key", "scopes", "Scope"),
        ("Stats", "interval", "Interval"),
        ("Receipt", "outcome", "ReceiptOutcome"),
        ("ErrorResponse", "status", "Failed"),
        ("List_Room", "status", "Success"),
    ] {
        let text = schemas[schema]["properties"][field].to_string();
        let reference = format!("\"#/components/schemas/{expected}\"");
        assert!(text.contains(&reference), "{schema}.{field}: {text}");
        assert!(schemas[expected]["enum"].is_array(), "{expected}");
    }
    // Qontak's may have others.
    for (schema, field) in [("Room", "status"), ("Room", "channel"), ("Message", "type")] {
        let text = schemas[schema]["properties"][field].to_string();
        assert!(!text.contains("enum") && !text.contains("$ref"), "{schema}.{field}: {text}");
    }
}

#[sqlx::test]
async fn documented_scopes_are_those_that_a_route_requires(db: PgPool) {
    let service = Service::start(db).await;
    // Scopes of each key.
    let keys =
        [(KEY_OF_ALL, "read"), (KEY_REPLAY_ONLY, "replay"), (KEY_OF_ORGANIZATION, "read export")];
    for (method, operations) in [("GET", routes("get")), ("POST", routes("post"))] {
        for (path, operation) in operations {
            let Some(security) = operation["security"][0]["key"].as_array() else { continue };
            let scopes: Vec<&str> = security.iter().filter_map(Value::as_str).collect();
            for (key, own) in keys {
                let request = Request::builder().method(method).uri(path.replace(['{', '}'], ""));
                let request = request.header(AUTHORIZATION, format!("Bearer {key}"));
                let response = service.respond(request.body(Body::empty()).unwrap()).await;
                let is_allowed = scopes.iter().all(|scope| own.contains(scope));
                let is_forbidden = response.status() == StatusCode::FORBIDDEN;
                assert_eq!(is_allowed, !is_forbidden, "{method} {path} with {own}: {scopes:?}");
            }
        }
    }
}

#[sqlx::test]
async fn responses_have_the_documented_headers(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &fixtures::ALL {
        service.post(fixture.body()).await;
    }
    let list = service.get("/v1/rooms?limit=1").await;
    let tag = list.headers["etag"].to_str().unwrap().to_owned();
    let unchanged =
        get_with_header(&service, "/v1/rooms?limit=1", IF_NONE_MATCH.as_str(), &tag).await;
    let export = service.get_with(KEY_OF_ORGANIZATION, "/v1/exports/rooms").await;
    let unknown = service.get_with("unknown key", "/v1/rooms").await;
    let document = document();
    for (path, status, response) in [
        ("/v1/rooms", "200", list),
        ("/v1/rooms", "304", unchanged),
        ("/v1/rooms", "401", unknown),
        ("/v1/rooms", "422", service.get("/v1/rooms?a=b").await),
        ("/v1/rooms/{id}", "200", service.get(&format!("/v1/rooms/{}", fixtures::SITI_ROOM)).await),
        ("/v1/exports/rooms", "200", export),
    ] {
        assert_eq!(response.status.as_str(), status, "{path}");
        let documented = &document["paths"][path]["get"]["responses"][status];
        let documented = match documented["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).unwrap(),
            None => documented,
        };
        let documented = documented["headers"].as_object().unwrap();
        for name in documented.keys() {
            assert!(response.headers.contains_key(name), "{path} {status}: {name}");
        }
        for name in ["etag", "link", "content-disposition", "www-authenticate", "x-request-id"] {
            let is_documented = documented.keys().any(|known| known.eq_ignore_ascii_case(name));
            // All routes share the 304; that of a list also has the links.
            if (status, name) == ("304", "link") {
                continue;
            }
            assert_eq!(
                response.headers.contains_key(name),
                is_documented,
                "{path} {status} {name}"
            );
        }
    }
}

#[sqlx::test]
async fn exports_have_their_own_paths_and_take_the_cursors_of_their_lists(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &fixtures::ALL {
        service.post(fixture.body()).await;
    }
    let get = async |path: &str| {
        let response = service.get_with(KEY_OF_ORGANIZATION, path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        response
    };
    let csv = get("/v1/rooms?format=csv").await;
    for path in ["/v1/exports/rooms", "/v1/exports/rooms?format=CSV"] {
        let export = get(path).await;
        assert_eq!(export.bytes, csv.bytes, "{path}");
        assert_eq!(export.headers["content-type"], "text/csv; charset=utf-8");
        assert_eq!(export.headers["content-disposition"], csv.headers["content-disposition"]);
    }
    let lines = get("/v1/rooms?format=ndjson").await;
    let export = get("/v1/exports/rooms?format=ndjson").await;
    assert_eq!(export.bytes, lines.bytes);
    assert_eq!(export.headers["content-type"], "application/x-ndjson; charset=utf-8");
    let accept = |path| get_with_accept(&service, path, "application/json, text/csv;q=0.5");
    assert_eq!(accept("/v1/exports/rooms").await.bytes, csv.bytes);

    // A cursor is valid for the list and its export.
    let page = get("/v1/rooms?limit=1").await.json();
    let next = page["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    let rest = get(&format!("/v1/exports/rooms?format=ndjson&cursor={next}")).await;
    assert_eq!(rest.bytes, get(&format!("/v1/rooms?format=ndjson&cursor={next}")).await.bytes);
    assert!(!rest.bytes.is_empty() && lines.bytes.ends_with(&rest.bytes));

    for (path, message) in [
        ("/v1/exports/rooms?format=json", "format: must be one of ndjson, csv"),
        ("/v1/rooms?format=xlsx", "format: must be one of json, ndjson, csv"),
        ("/v1/exports/rooms?limit=0", "limit: must be between 1 and 1000000000"),
    ] {
        let response = service.get_with(KEY_OF_ORGANIZATION, path).await;
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{path}");
    }
    let room = format!("/v1/exports/rooms/{}/messages", fixtures::SITI_ROOM);
    assert!(get(&room).await.bytes.starts_with(b"id,organization_id,room_id,"));
    let missing = service.get_with(KEY_OF_ORGANIZATION, "/v1/exports/rooms/none/messages").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/v1/exports/rooms").await.status, StatusCode::FORBIDDEN);
}

async fn get_with_accept(service: &Service, path: &str, accept: &str) -> Response {
    let key = format!("Bearer {KEY_OF_ORGANIZATION}");
    let request = Request::get(path).header(AUTHORIZATION, key).header("accept", accept);
    service.send(request.body(Body::empty()).unwrap()).await
}

#[sqlx::test]
async fn renamed_parameter_is_accepted_under_its_former_name(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &fixtures::ALL {
        service.post(fixture.body()).await;
    }
    for state in ["unanswered", "answered"] {
        let rooms = service.data(&format!("/v1/rooms?response_state={state}")).await;
        assert_ne!(rooms, json!([]), "{state}");
        assert_eq!(rooms, service.data(&format!("/v1/rooms?response={state}")).await);
    }
    for (query, message) in [
        ("response_state=maybe", "response_state: must be one of unanswered, answered"),
        ("response=maybe", "response: must be one of unanswered, answered"),
        (
            "response=answered&response_state=answered",
            "response: is the former name of response_state; must not be given with it",
        ),
    ] {
        let response = service.get(&format!("/v1/rooms?{query}")).await;
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
}
