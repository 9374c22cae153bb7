//! Parameters in the OpenAPI document are those that the service accepts.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use qontak_receiver::read::page::EXPORTS;
use qontak_receiver::store::search;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::super::creation::{WRITER, WRITER_SETTINGS};
use super::super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Service};
use super::{document, routes};

/// First error message of a query that must return 422.
async fn rejected_message(service: &Service, path: &str, query: &str) -> String {
    let path = path.replace(['{', '}'], "");
    let key = match &*path {
        path if path.starts_with(EXPORTS) => KEY_OF_ORGANIZATION,
        path if path.starts_with("/v1/replays") => KEY_REPLAY_ONLY,
        path if path.starts_with("/v1/creations") => WRITER,
        _ => KEY_OF_ALL,
    };
    let response = service.get_with(key, &format!("{path}?{query}")).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}?{query}");
    response.json()["error"]["messages"][0].as_str().unwrap().to_owned()
}

#[sqlx::test]
async fn openapi_document_lists_every_parameter_and_its_allowed_values(db: PgPool) {
    let service = Service::start_with(db, &WRITER_SETTINGS).await;
    for (path, operation) in routes("get") {
        let parameters = operation["parameters"].as_array().unwrap();
        let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let mut documented: Vec<&str> = Vec::new();
        for parameter in of_query {
            let name = parameter["name"].as_str().unwrap();
            documented.push(name);
            assert_ne!(parameter["description"].as_str().unwrap_or_default(), "", "{path}: {name}");
            let schema = &parameter["schema"];
            let allowed = if let Some(words) = schema["enum"].as_array() {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                format!("{name}: must be one of {}", words.join(", "))
            } else if schema["minimum"].is_number() {
                format!("{name}: must be between {} and {}", schema["minimum"], schema["maximum"])
            } else {
                continue;
            };
            assert_eq!(
                rejected_message(&service, &path, &format!("{name}=~")).await,
                allowed,
                "{path}"
            );
        }
        // Qontak's own routes ignore unknown parameters.
        if path.starts_with("/api/open/v1") {
            continue;
        }
        let message = rejected_message(&service, &path, "no_such_parameter=1").await;
        let (_, known) = message.split_once("unknown parameter; ").unwrap();
        let mut known: Vec<&str> = match known.strip_prefix("known are ") {
            Some(known) => known.split(", ").collect(),
            None => Vec::new(),
        };
        // A list and its export are one handler; the document has the parameters of each.
        let of_exports = ["format", "bom", "delimiter"];
        let of_lists = ["is_counted"];
        let of_other = if path.starts_with(EXPORTS) { &of_lists[..] } else { &of_exports };
        known.retain(|name| documented.contains(name) || !of_other.contains(name));
        known.sort_unstable();
        documented.sort_unstable();
        assert_eq!(
            documented, known,
            "{path}: documented (left) and accepted by the handler (right)"
        );
    }
}

#[sqlx::test]
async fn text_parameters_are_accepted_exactly_when_the_schema_allows_them(db: PgPool) {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start_with(db, &WRITER_SETTINGS).await;
    let long = "a".repeat(256);
    let texts = [
        "",
        "\0",
        "a\0b",
        "a",
        "Halo, kak! É 😊",
        "'-😊",
        "a b c d e f g h",
        "a b c d e f g h i",
        &long,
        &format!("{long}a"),
        "12345",
        "0812-3456",
        "+62 (812) 3456.7890",
        "62812345678901234567",
        "2025-06-12",
        "2025-02-30",
        "0001-01-01",
        "2025-06-12T02:15:03Z",
        "2025-06-12T02:15:03.25+07:00",
        "1749694503",
        "9.0",
        "09.0",
        "-9.0",
        "9.",
        "responded",
    ];
    // Exports read their parameters as lists do.
    for (path, operation) in
        routes("get").into_iter().filter(|(path, _)| !path.starts_with(EXPORTS))
    {
        for parameter in operation["parameters"].as_array().unwrap() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let is_text = schema["type"] == "string" || schema["oneOf"].is_array();
            let is_list = schema["type"] == "array";
            // A schema cannot express valid cursors or names of time zones.
            let is_expressible = !["cursor", "time_zone"].contains(&name);
            if parameter["in"] != "query" || !(is_text || is_list) || !is_expressible {
                continue;
            }
            let has_integers = schema["items"]["type"] == "integer";
            let schema = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
            // Qontak's own routes ignore empty parameters.
            let is_qontak = path.starts_with("/api/open/v1");
            for text in texts.into_iter().filter(|text| !is_qontak || !text.is_empty()) {
                let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
                // Some need a short period as well.
                let period = match name {
                    "request_id" => "start_date=2025-06-12&end_date=2025-06-12&",
                    _ => "",
                };
                let uri = format!("{}?{period}{name}={query}", path.replace(['{', '}'], ""));
                let key = if path.starts_with("/v1/creations") { WRITER } else { KEY_OF_ALL };
                let request = Request::get(&uri).header(AUTHORIZATION, format!("Bearer {key}"));
                let response = service.respond(request.body(Body::empty()).unwrap()).await;
                let value = match text.parse::<i64>() {
                    Ok(number) if has_integers => json!(number),
                    _ => json!(text),
                };
                // The document does not say that no text has a NUL.
                let is_allowed = !text.contains('\0')
                    && schema.is_valid(&if is_list { json!([value]) } else { value });
                let is_accepted = response.status() != StatusCode::UNPROCESSABLE_ENTITY;
                assert_eq!(
                    is_accepted,
                    is_allowed,
                    "{path}: {name}={text:?}: {}",
                    response.status()
                );
            }
        }
    }
}

#[sqlx::test]
async fn parameters_of_ten_kilobytes_are_rejected_with_422(db: PgPool) {
    let service = Service::start_with(db, &WRITER_SETTINGS).await;
    let document = document();
    let long = "9".repeat(10_000);
    let mut tested = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "query" {
                let path = path.replace("{id}", "none");
                let message = rejected_message(&service, &path, &format!("{name}={long}")).await;
                let name = name.trim_end_matches("[]");
                assert!(message.contains(&format!("{name}: ")), "{message}");
                assert!(message.len() < 1000, "{message}");
                tested += 1;
            }
        }
    }
    assert!(tested > 90, "{tested}");
}
