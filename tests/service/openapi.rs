//! The OpenAPI document matches the service: parameters, schemas, examples and errors.

mod parameters;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use chrono::{DateTime, Utc};
use qontak_receiver::read::page::EXPORTS;
use qontak_receiver::router::openapi;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::creation::{WRITER, contact_list, template, writing};
use super::fixtures;
use super::harness::{KEY_OF_ALL, KEY_REPLAY_ONLY, Service, TOKEN, webhook};
use super::qontak_client::FakeQontak;

/// Request of each route; the response is its example in the document. For a new route add a line
/// here and run `make openapi`.
pub const EXAMPLES: [(&str, &str); 51] = [
    ("GET /v1/rooms", "/v1/rooms?channel=wa_cloud&limit=1"),
    ("GET /v1/rooms/{id}", "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978"),
    (
        "GET /v1/rooms/{id}/messages",
        "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/messages?limit=1",
    ),
    ("GET /v1/rooms/{id}/events", "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/events?limit=1"),
    ("GET /v1/senders/{id}", "/v1/senders/861ba042-a3ba-459d-8e4d-cd99579404c7"),
    ("GET /v1/messages", "/v1/messages?type=image&limit=1"),
    ("GET /v1/messages/{id}", "/v1/messages/bbad9ab7-b270-4339-a60f-aba6c2fac7a7"),
    ("GET /v1/broadcasts", "/v1/broadcasts?limit=1"),
    ("GET /v1/broadcasts/{id}", "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc"),
    (
        "GET /v1/broadcasts/{id}/logs",
        "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/logs?status=read&limit=1",
    ),
    ("GET /v1/events", "/v1/events?outcome=quarantined&limit=1"),
    ("GET /v1/events/{id}", "/v1/events/{event}"),
    ("GET /v1/events/{id}/body", "/v1/events/{event}/body"),
    ("POST /v1/events/{id}/replay", "/v1/events/{event}/replay"),
    ("POST /v1/replays", "/v1/replays?outcome=quarantined"),
    ("GET /v1/replays/{id}", "/v1/replays/{replay}"),
    ("DELETE /v1/replays/{id}", "/v1/replays/{replay}"),
    ("GET /v1/delivery-statuses", "/v1/delivery-statuses?phone=081200020001"),
    ("GET /v1/trace/{id}", "/v1/trace/fe115858-845d-4fd4-9e90-4129207696b4"),
    ("GET /v1/stats", "/v1/stats?start_date=2025-06-12&end_date=2025-06-12&time_zone=Asia/Jakarta"),
    ("GET /v1/ledger", "/v1/ledger?limit=1"),
    ("GET /v1/agents", "/v1/agents?limit=1"),
    (
        "GET /v1/agents/{id}/availability",
        "/v1/agents/deb8a35a-d051-4b10-aad8-079297722314/availability?limit=1",
    ),
    ("GET /v1/templates", "/v1/templates?limit=1"),
    (
        "GET /v1/templates/{id}/history",
        "/v1/templates/8e1685e7-7b9f-4391-b000-6254329b6274/history?limit=1",
    ),
    ("POST /v1/templates", "/v1/templates"),
    ("POST /v1/contact-lists", "/v1/contact-lists"),
    ("GET /v1/creations/{id}", "/v1/creations/{creation}"),
    ("GET /v1/contact-lists", "/v1/contact-lists?limit=1"),
    ("GET /v1/channels", "/v1/channels?limit=1"),
    ("GET /v1/divisions", "/v1/divisions?limit=1"),
    ("GET /v1/reconciliation", "/v1/reconciliation?limit=1"),
    ("GET /v1/facets", "/v1/facets"),
    ("GET /v1/me", "/v1/me"),
    ("GET /v1/health", "/v1/health"),
    ("GET /v1/organizations", "/v1/organizations?limit=1"),
    ("GET /api/open/v1/rooms", "/api/open/v1/rooms?channels[]=wa_cloud&limit=1"),
    ("GET /api/open/v1/rooms/{id}", "/api/open/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978"),
    (
        "GET /api/open/v1/rooms/{id}/messages",
        "/api/open/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/messages?limit=1",
    ),
    (
        "GET /api/open/v1/broadcasts/{id}/whatsapp/log",
        "/api/open/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/whatsapp/log?status=read&limit=1",
    ),
    (
        "GET /api/open/v1/rooms/{id}/histories",
        "/api/open/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/histories?limit=1",
    ),
    (
        "GET /api/open/v1/rooms/{id}/participants",
        "/api/open/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/participants?limit=1",
    ),
    ("GET /api/open/v1/rooms/list/expired", "/api/open/v1/rooms/list/expired?limit=1"),
    ("GET /api/open/v1/users", "/api/open/v1/users?limit=1"),
    ("GET /api/open/v1/broadcasts/whatsapp", "/api/open/v1/broadcasts/whatsapp?limit=1"),
    (
        "GET /api/open/v1/broadcasts/{id}/whatsapp",
        "/api/open/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/whatsapp",
    ),
    ("GET /api/open/v1/integrations", "/api/open/v1/integrations?limit=1"),
    ("GET /api/open/v1/templates/whatsapp", "/api/open/v1/templates/whatsapp?limit=1"),
    ("GET /api/open/v1/divisions", "/api/open/v1/divisions?limit=1"),
    ("GET /api/open/v1/contacts/contact_lists", "/api/open/v1/contacts/contact_lists?limit=1"),
    ("POST /webhooks/qontak/{token}", "/webhooks/qontak/{token}"),
];

/// List with the event used for `{event}`: a message of a customer.
const EVENT: &str = "/v1/events?subject_id=1b6321cd-5091-4cd9-bd8b-91220cd20198&limit=1";

/// The committed document.
pub fn document() -> Value {
    serde_json::from_str(openapi::text()).unwrap()
}

/// Paths with this method, each with its operation.
pub fn routes(method: &str) -> BTreeMap<String, Value> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().iter();
    paths.filter_map(|(path, item)| Some((path.clone(), item.get(method)?.clone()))).collect()
}

/// Compares a file of this repository with its expected content. With `RENEW` set, writes it first.
fn compare(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var("RENEW").is_ok() {
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "{file} is not up to date: run `make openapi`, look at the difference and commit it"
    );
}

/// Service with all fixtures.
async fn service(db: PgPool) -> Service {
    let service = Service::start(db).await;
    post_fixtures(&service).await;
    service
}

async fn post_fixtures(service: &Service) {
    for fixture in &fixtures::ALL {
        service.post(fixture.body()).await;
    }
}

/// Sends the example request of a route; returns the response as JSON.
async fn send_example(service: &Service, route: &str, uri: &str) -> Value {
    let (method, path) = route.split_once(' ').unwrap();
    let request = if path.starts_with("/webhooks") {
        webhook(TOKEN, [fixtures::body("12"), b"\n".to_vec()].concat())
    } else {
        let is_replay = method != "GET" || path.starts_with("/v1/replays");
        let (key, body) = match route {
            "POST /v1/templates" => (WRITER, template("promo_gajian").to_string()),
            "POST /v1/contact-lists" => (WRITER, contact_list("Pelanggan Bogor").to_string()),
            "GET /v1/creations/{id}" => (WRITER, String::new()),
            _ => (if is_replay { KEY_REPLAY_ONLY } else { KEY_OF_ALL }, String::new()),
        };
        let request = Request::builder().method(method).uri(uri).header("idempotency-key", path);
        request.header(AUTHORIZATION, format!("Bearer {key}")).body(Body::from(body)).unwrap()
    };
    let response = service.send(request).await;
    assert!(response.status.is_success(), "{uri}: {:?}", response.json());
    response.json()
}

/// Documented content of a route's successful response.
fn content_of_success<'a>(document: &'a Value, route: &str) -> &'a Value {
    let created = ["POST /v1/templates", "POST /v1/contact-lists"];
    content(document, route, if created.contains(&route) { "201" } else { "200" })
}

/// Documented content of a route's response with this status.
fn content<'a>(document: &'a Value, route: &str, status: &str) -> &'a Value {
    let (method, path) = route.split_once(' ').unwrap();
    let response = &document["paths"][path][method.to_lowercase()]["responses"][status];
    let response = match response["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => response,
    };
    &response["content"]["application/json"]
}

/// Panics unless a value matches a schema and has no undocumented field.
pub fn assert_fits(document: &Value, schema: &Value, value: &Value, what: &str) {
    assert!(schema.is_object(), "{what}: no schema");
    let mut root = json!({ "components": document["components"], "allOf": [schema] });
    forbid_additional_properties(&mut root);
    let validator = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
    let problems = validator.iter_errors(value);
    let problems: Vec<String> =
        problems.map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
    assert!(problems.is_empty(), "{what} does not match the document: {problems:#?}\n{value:#}");
}

/// Forbids properties that a schema does not list.
fn forbid_additional_properties(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(forbid_additional_properties);
            if fields.get("type") == Some(&json!("object")) && fields.contains_key("properties") {
                // Objects of Qontak may have any.
                fields.entry("additionalProperties").or_insert(false.into());
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(forbid_additional_properties),
        _ => {}
    }
}

/// Replaces values that differ between runs, so that examples are stable.
fn stabilize(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| stabilize(name, value)),
        Value::Array(elements) => elements.iter_mut().for_each(|element| stabilize(name, element)),
        Value::String(text) => {
            let is_today = DateTime::parse_from_rfc3339(text)
                .is_ok_and(|time| (Utc::now() - time.to_utc()).num_days() == 0);
            let is_uuid_v7 = Uuid::parse_str(text).is_ok_and(|id| id.get_version_num() == 7);
            let replacement = match name {
                "request_id" => "3f1c9a7be2d04c58",
                "next" | "prev" => "eyJxIjoiNWQ0MTQwMmFiYzRiIiwiYiI6ZmFsc2UsInAiOjF9",
                _ if is_uuid_v7 => "019761f5-8da3-7c2a-9d4e-2b8f3c5a7e10",
                _ if is_today && text.ends_with(":00:00.000Z") => "2025-06-12T02:00:00.000Z",
                _ if is_today => "2025-06-12T02:15:03.250Z",
                _ => return,
            };
            replacement.clone_into(text);
        }
        _ => {}
    }
}

#[sqlx::test]
async fn committed_openapi_document_is_current_with_an_example_per_route(db: PgPool) {
    let qontak = FakeQontak::start().await;
    // Otherwise the examples would depend on the time between two requests.
    qontak.change(json!({ "outcome": "PENDING" }));
    let settings = writing(&db, &qontak);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    let service = Service::start_with(db, &settings).await;
    post_fixtures(&service).await;
    let event = service.data(EVENT).await[0]["event_id"].as_str().unwrap().to_owned();
    let mut examples = BTreeMap::new();
    let (mut replay, mut creation) = (String::new(), String::new());
    for (route, uri) in EXAMPLES {
        let uri = uri.replace("{event}", &event).replace("{replay}", &replay);
        let uri = uri.replace("{creation}", &creation);
        let mut response = send_example(&service, route, &uri).await;
        if route == "POST /v1/templates" {
            creation = response["data"]["creation_id"].as_str().unwrap().to_owned();
        }
        if route == "POST /v1/replays" {
            replay = response["data"]["replay_id"].as_str().unwrap().to_owned();
        }
        stabilize("", &mut response);
        examples.insert(route, response);
    }
    let examples = format!("{}\n", serde_json::to_string_pretty(&examples).unwrap());
    compare("src/router/openapi/examples.json", &examples);
    let text = openapi::text_with(&examples);
    compare("openapi.json", &text);

    let document: Value = serde_json::from_str(&text).unwrap();
    for method in ["get", "post", "delete"] {
        // The stream has no end and is no JSON, like files and exports: see `stream.rs`, `media.rs` and
        // `export.rs`.
        let others = ["/v1/stream", "/v1/messages/{id}/file"];
        let is_json = |path: &String| !others.contains(&&**path) && !path.starts_with(EXPORTS);
        for path in routes(method).into_keys().filter(is_json) {
            let route = format!("{} {path}", method.to_uppercase());
            let content = content_of_success(&document, &route);
            assert_ne!(content["example"], Value::Null, "EXAMPLES has no request for {route}");
            assert_fits(&document, &content["schema"], &content["example"], &route);
        }
    }
}

#[sqlx::test]
async fn listed_rows_match_the_openapi_schemas(db: PgPool) {
    let service = service(db).await;
    let document = document();
    for (route, uri) in EXAMPLES {
        let path = uri.split('?').next().unwrap();
        if uri.contains("limit=") {
            let response = send_example(&service, route, &format!("{path}?limit=500")).await;
            assert_fits(&document, &content(&document, route, "200")["schema"], &response, route);
        }
    }
}

#[sqlx::test]
async fn error_responses_match_the_openapi_schemas(db: PgPool) {
    let service = Service::start(db).await;
    let document = document();
    let rejected = [
        (StatusCode::UNAUTHORIZED, service.get_with("unknown key", "/v1/rooms/x").await),
        (StatusCode::FORBIDDEN, service.get_with(KEY_REPLAY_ONLY, "/v1/rooms/x").await),
        (StatusCode::NOT_FOUND, service.get("/v1/rooms/x").await),
        (StatusCode::UNPROCESSABLE_ENTITY, service.get("/v1/rooms/x?a=b").await),
    ];
    service.execute("drop table room").await;
    let failed = (StatusCode::SERVICE_UNAVAILABLE, service.get("/v1/rooms/x").await);
    for (status, response) in rejected.into_iter().chain([failed]) {
        assert_eq!(response.status, status);
        let content = content(&document, "GET /v1/rooms/{id}", status.as_str());
        assert_fits(&document, &content["schema"], &response.json(), status.as_str());
        assert_fits(&document, &content["schema"], &content["example"], "the example");
        assert_eq!(content["example"]["error"]["code"], response.json()["error"]["code"]);
    }
}

#[sqlx::test]
async fn openapi_document_is_served_without_a_key(db: PgPool) {
    let service = Service::start(db).await;
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let response = service.send(request).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(String::from_utf8(response.bytes).unwrap(), openapi::text());
}

#[sqlx::test]
async fn docs_page_loads_no_external_resources(db: PgPool) {
    let service = Service::start(db).await;
    for (path, media_type) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/rapidoc.js", "text/javascript"),
        ("/docs/page.js", "text/javascript"),
    ] {
        let response = service.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        assert_eq!(response.headers["content-type"], media_type);
        let policy = response.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        let text = String::from_utf8(response.bytes).unwrap();
        assert!(policy.contains("connect-src 'self'") && !policy.contains("http"), "{policy}");
        // RapiDoc can load fonts from elsewhere: the page tells it not to, and the policy forbids it.
        let is_own = path != "/docs/rapidoc.js";
        assert!(!is_own || !text.contains("http"), "{path} refers to an external resource");
    }
}
