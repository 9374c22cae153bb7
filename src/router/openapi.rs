//! The OpenAPI document and its route.
//!
//! Each handler documents its own parameters and responses. What all routes share is added here,
//! once: `operation` for operations, `export` for exports, `response` for shared responses and
//! headers, `schema` for types. Clients are generated from the document: `make test-clients` has
//! three generators do so.

mod export;
mod operation;
mod response;
mod schema;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::routing::{Router, get};
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::{Info, OpenApi};

use crate::receive;

static TEXT: LazyLock<String> = LazyLock::new(|| text_with(include_str!("openapi/examples.json")));

/// `/openapi.json`. It needs no key.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let json = [(CONTENT_TYPE, "application/json")];
    Router::new().route("/openapi.json", get(async move || (json, text())))
}

/// The document as it is served, printed and committed.
pub fn text() -> &'static str {
    &TEXT
}

/// The document with these examples: a JSON object with one response for each `GET /path`.
pub fn text_with(examples: &str) -> String {
    let examples = serde_json::from_str(examples).expect("the examples are JSON");
    let mut text = document(&examples).to_pretty_json().expect("a document is JSON");
    text.push('\n');
    text
}

fn document(examples: &BTreeMap<String, Value>) -> OpenApi {
    // The routes are built for their documentation only.
    let mut document = super::read_api(Duration::ZERO).into_openapi();
    document.merge(receive::Documentation::openapi());
    document.info = Info::new("qontak-receiver", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(include_str!("openapi/about.md").to_owned());
    // Relative to the URL of the document.
    let server = ServerBuilder::new().url("/").description(Some("The service with this document."));
    document.servers = Some(vec![server.build()]);

    for (path, item) in &mut document.paths.paths {
        let operations =
            [("GET", &mut item.get), ("POST", &mut item.post), ("DELETE", &mut item.delete)];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let example = examples.get(&format!("{method} {path}"));
            operation::complete(method, path, operation, example);
        }
    }
    let mut components = document.components.take().unwrap_or_default();
    response::add_components(&mut components);
    let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("key".to_owned(), key.into());
    schema::simplify(&mut components.schemas);
    document.components = Some(components);
    schema::prune(&mut document);
    document
}
