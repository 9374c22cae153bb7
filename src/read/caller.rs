//! Middleware that depends on the key of a request: responses for keys with scope `read_masked` are masked,
//! and requests are recorded in the audit log.
//!
//! The key is known only after an extractor has authenticated it, so the extractor puts it into a cell
//! that this middleware has made. Without the cell authentication fails: no route can forget the middleware.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::key::Key;
use super::mask::mask_json;
use super::state::ReadState;
use crate::config::Scope;
use crate::http::Error;
use crate::model::phone;
use crate::store::audit::{self, Action, Entry};
use crate::telemetry::fault::Fault;

static NOT_RECORDED: Fault = Fault::error("request not recorded in the audit log");

/// The key of a request, once it is authenticated.
#[derive(Clone, Debug, Default)]
pub struct Caller(Arc<OnceLock<Arc<Key>>>);

impl Caller {
    /// Remembers the key of this request.
    pub fn set(parts: &Parts, key: &Arc<Key>) -> Result<(), Error> {
        let caller = parts.extensions.get::<Self>().ok_or(Error::Internal)?;
        // A request is authenticated once.
        _ = caller.0.set(key.clone());
        Ok(())
    }
}

/// Masks and records.
pub async fn middleware(
    State(state): State<ReadState>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = Caller::default();
    request.extensions_mut().insert(caller.clone());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let mut response = next.run(request).await;
    let Some(key) = caller.0.get() else { return response };
    if key.scopes.contains(&Scope::ReadMasked) && response.status().is_success() {
        response = masked(response, &uri).await;
    }
    let action = action(&method, route.as_deref().unwrap_or_default(), response.headers());
    let is_recorded = match action {
        Action::Read => state.audit_reads,
        // `store::creation::claim` does, before it is sent.
        Action::Create => false,
        _ => true,
    };
    if is_recorded {
        let entry = Entry {
            key_name: key.name.clone(),
            action,
            target: target(&uri),
            status: response.status().as_u16().into(),
        };
        if let Err(error) = audit::insert(&state.primary, &entry).await {
            NOT_RECORDED.occurred(error);
        }
    }
    response
}

/// What a request does. Exports are lists in another format than JSON.
fn action(method: &Method, route: &str, headers: &HeaderMap) -> Action {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_file =
        content_type.is_some_and(|it| it.starts_with("text/csv") || it.contains("ndjson"));
    match *method {
        Method::POST | Method::DELETE if route.contains("/replay") => Action::Replay,
        Method::POST if ["/v1/templates", "/v1/contact-lists"].contains(&route) => Action::Create,
        _ if is_file || route.starts_with("/v1/exports/") => Action::Export,
        _ => Action::Read,
    }
}

/// Path and names of parameters. Parameters can be phone numbers and words, so only the organisation is
/// recorded; a segment of the path that is no id is masked.
fn target(uri: &Uri) -> String {
    let segments = uri.path().split('/').map(|segment| {
        let digits = segment.chars().filter(char::is_ascii_digit).count();
        let is_id = segment.parse::<uuid::Uuid>().is_ok();
        if digits >= 8 && !is_id { phone::mask(segment) } else { segment.to_owned() }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let query = uri.query().unwrap_or_default();
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        if name == "organization_id" { pair } else { name }
    });
    let names = names.collect::<Vec<_>>().join("&");
    if names.is_empty() { path } else { format!("{path}?{names}") }
}

/// The same response without texts, names and numbers. What is not JSON is refused: raw bodies, streams
/// and files. So is search, because whoever may guess words finds out texts.
async fn masked(response: Response, uri: &Uri) -> Response {
    if is_search(uri) || !is_json(response.headers()) || uri.path().ends_with("/body") {
        return Error::Forbidden(Scope::Read.as_str()).into_response();
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Error::Internal.into_response();
    };
    if body.is_empty() {
        return Response::from_parts(head, Body::empty());
    }
    let Ok(body) = mask_json(&body) else { return Error::Internal.into_response() };
    head.headers.remove(CONTENT_LENGTH);
    if head.status == StatusCode::NO_CONTENT {
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(body))
}

/// Whether the request has the parameter `q`, or `query` of Qontak's own routes.
fn is_search(uri: &Uri) -> bool {
    let parameters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    parameters.into_owned().any(|(name, _)| ["q", "query"].contains(&name.as_str()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|it| it.split(';').next() == Some("application/json"))
}
