//! Calls of the read API, in process and with the key of the visitor.

use std::fmt::Display;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use super::state::ConsoleState;
use crate::http::Error;
use crate::read::key::Key;
use crate::read::reader::Admitted;

/// The read API, as a visitor may use it.
#[derive(Clone)]
pub struct Api {
    routes: Router,
    key: Arc<Key>,
    /// Limits everything to one organisation; empty for all.
    organization: String,
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub struct ApiError {
    /// Status of the API's response.
    pub status: StatusCode,
    /// Its messages, in English.
    pub messages: Vec<String>,
    /// Request id, as in the log.
    pub request_id: Option<String>,
}

impl ApiError {
    /// Whether a query took too long and was cut off: the same request will be, too.
    pub fn is_cut(&self) -> bool {
        self.messages.contains(&Error::QueryTimeout.to_string())
    }

    /// An error that occurred before the API was called.
    pub fn from_error(error: &Error) -> Self {
        let messages = match error {
            Error::Database(_) => vec!["storage unavailable, retry later".to_owned()],
            other => vec![other.to_string()],
        };
        Self { status: error.status(), messages, request_id: None }
    }
}

/// One page of a list.
#[derive(Deserialize)]
pub struct List<T> {
    /// Rows of this page.
    pub data: Vec<T>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    cursor: Cursors,
    total: Option<i64>,
}

/// Cursors of the adjacent pages.
#[derive(Deserialize)]
pub struct Cursors {
    /// The next page.
    pub next: Option<String>,
    /// The previous page.
    pub prev: Option<String>,
}

impl<T> List<T> {
    /// Cursors of the adjacent pages.
    pub const fn cursors(&self) -> &Cursors {
        &self.meta.pagination.cursor
    }

    /// Number of rows of all pages, up to 10,000, if it was requested.
    pub fn total(&self) -> i64 {
        self.meta.pagination.total.unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct One<T> {
    data: T,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    messages: Vec<String>,
    request_id: Option<String>,
}

/// Parameters of a request.
pub type Query<'a> = &'a [(&'a str, &'a str)];

impl Api {
    /// The API for this key.
    pub fn new(state: &ConsoleState, key: Arc<Key>, organization: String) -> Self {
        Self { routes: state.api.clone(), key, organization }
    }

    /// The API for all organisations of the key.
    pub fn of_all_organizations(&self) -> Self {
        Self { organization: String::new(), ..self.clone() }
    }

    /// Requests one page of a list.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<List<T>, ApiError> {
        decode(&self.fetch(path, query).await?)
    }

    /// Requests one object.
    pub async fn one<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<T, ApiError> {
        decode::<One<T>>(&self.fetch(path, query).await?).map(|one| one.data)
    }

    /// Requests the body of a response.
    pub async fn fetch(&self, path: &str, query: Query<'_>) -> Result<Bytes, ApiError> {
        body(self.send(Method::GET, path, &self.encode(query), &HeaderMap::new()).await).await
    }

    /// Requests a response as it is, for links.
    pub async fn forward(&self, path: &str, query: &str, headers: &HeaderMap) -> Response {
        self.send(Method::GET, path, query, headers).await
    }

    /// Posts a request without a body.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<T, ApiError> {
        // Not in a variable, because it is not `Send`.
        let query = Serializer::new(String::new()).extend_pairs(query).finish();
        let response = self.send(Method::POST, path, &query, &HeaderMap::new()).await;
        decode::<One<T>>(&body(response).await?).map(|one| one.data)
    }

    /// Sends a request that ends something.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let response = self.send(Method::DELETE, path, "", &HeaderMap::new()).await;
        decode::<One<T>>(&body(response).await?).map(|one| one.data)
    }

    fn encode(&self, query: Query<'_>) -> String {
        let mut pairs = Serializer::new(String::new());
        pairs.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
        if !self.organization.is_empty() {
            pairs.append_pair("organization_id", &self.organization);
        }
        pairs.finish()
    }

    async fn send(&self, method: Method, path: &str, query: &str, headers: &HeaderMap) -> Response {
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        // The paths are ours, and ids in them are encoded.
        *request.uri_mut() = uri.parse().unwrap_or_default();
        for name in ["last-event-id", "accept", "range", "if-range", "if-none-match"] {
            if let Some(value) = headers.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.extensions_mut().insert(Admitted(self.key.clone()));
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        // Without the value, which may be personal data.
        messages: vec![format!("unexpected response at column {}", error.column())],
        request_id: None,
    })
}

async fn body(response: Response) -> Result<Bytes, ApiError> {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    if status.is_success() {
        return Ok(bytes);
    }
    let error = serde_json::from_slice::<ErrorResponse>(&bytes).map(|response| response.error);
    let (messages, request_id) =
        error.map_or_else(|_| (Vec::new(), None), |error| (error.messages, error.request_id));
    Err(ApiError { status, messages, request_id })
}

/// Percent-encodes an id for a path.
pub fn encode(id: &str) -> impl Display {
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(id, ESCAPED)
}
