//! Routes of the API that pages link to: the stream of events, files and exports.

use axum::extract::{OriginalUri, Path, RawQuery};
use axum::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use axum::response::Response;

use super::api::encode;
use super::session::Visitor;

/// `/console/stream`: the API's stream of events, which tells pages when to load their parts again.
pub async fn stream(visitor: Visitor, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    visitor.api.forward("/v1/stream", &query, &headers).await
}

/// `/console/files/{id}`: the copy of a message's file, for pages.
pub async fn file(visitor: Visitor, Path(id): Path<String>, headers: HeaderMap) -> Response {
    visitor.api.forward(&format!("/v1/messages/{}/file", encode(&id)), "", &headers).await
}

/// `/console/exports/…`: the API's exports, for links.
pub async fn export(
    visitor: Visitor,
    Path(list): Path<String>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let list: Vec<String> = list.split('/').map(|part| encode(part).to_string()).collect();
    let path = format!("/v1/exports/{}", list.join("/"));
    let query = uri.query().unwrap_or_default();
    let mut response = visitor.api.forward(&path, query, &HeaderMap::new()).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
