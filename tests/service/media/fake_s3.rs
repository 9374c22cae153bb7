//! A server that speaks as much of S3's protocol as the service uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, HeaderValue, RANGE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub const BUCKET: &str = "copies";
pub const KEY_ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "a-secret-access-key-that-stays-secret";

/// What the server does instead of its work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Answers an error with this status and code.
    Error(u16, &'static str),
    /// The same for objects that are copies, so that a test of the bucket succeeds.
    ErrorOfCopies(u16, &'static str),
    /// Forbids a method, such as `GET`.
    Forbidden(&'static str),
    /// Stores a copy and answers an error.
    LostAnswer,
    /// Waits with each copy.
    Hold,
}

pub struct Content {
    pub objects: BTreeMap<String, Bytes>,
    pub fault: Fault,
    /// Requests of copies, as `GET`.
    pub requests: Vec<String>,
    /// Names of the objects that were written as a test.
    pub tests: Vec<String>,
}

#[derive(Clone)]
pub struct FakeS3 {
    pub url: String,
    content: Arc<Mutex<Content>>,
    _serving: Arc<JoinSet<()>>,
}

impl FakeS3 {
    pub async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content {
            objects: BTreeMap::new(),
            fault: Fault::None,
            requests: Vec::new(),
            tests: Vec::new(),
        }));
        let routes = Router::new().route("/copies/{*name}", any(serve)).with_state(content.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, content, _serving: Arc::new(serving) }
    }

    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// Names of the copies.
    pub fn copies(&self) -> Vec<String> {
        self.content().objects.keys().cloned().collect()
    }

    /// Settings of a service that uses it.
    pub fn settings(&self) -> Vec<(String, String)> {
        let settings = [
            ("BUCKET", BUCKET),
            ("ENDPOINT", &self.url),
            ("ACCESS_KEY_ID", KEY_ID),
            ("SECRET_ACCESS_KEY", SECRET),
        ];
        let named =
            |(name, value): (&str, &str)| (format!("RECEIVER__MEDIA__{name}"), value.into());
        settings.map(named).into()
    }
}

fn error(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn serve(
    State(content): State<Arc<Mutex<Content>>>,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let lock = || content.lock().unwrap();
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/";
    let sent = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !sent.starts_with(signed)
        || !sent.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date")
    {
        return error(403, "AccessDenied");
    }
    let is_copy = name.contains('/');
    if is_copy {
        lock().requests.push(method.to_string());
    } else if method == Method::PUT {
        lock().tests.push(name.clone());
    }
    let fault = lock().fault;
    let Ok(body) = to_bytes(request.into_body(), usize::MAX).await else {
        return error(400, "IncompleteBody");
    };
    if headers["x-amz-content-sha256"].to_str().unwrap() != sha256(&body) {
        return error(400, "XAmzContentSHA256Mismatch");
    }
    match fault {
        Fault::Error(status, code) => return error(status, code),
        Fault::ErrorOfCopies(status, code) if is_copy => return error(status, code),
        Fault::Forbidden(forbidden) if method == forbidden => return error(403, "AccessDenied"),
        Fault::Hold if is_copy => {
            while lock().fault == Fault::Hold {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => {}
    }
    match method.as_str() {
        "PUT" => {
            lock().objects.insert(name, body);
            if fault == Fault::LostAnswer && is_copy {
                error(500, "InternalError")
            } else {
                StatusCode::OK.into_response()
            }
        }
        "DELETE" => {
            lock().objects.remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        "GET" => {
            let Some(object) = lock().objects.get(&name).cloned() else {
                return error(404, "NoSuchKey");
            };
            let range = headers[RANGE].to_str().unwrap().strip_prefix("bytes=").unwrap();
            let (first, last) = range.split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let range = format!("bytes {first}-{last}/{}", object.len());
            let mut response = Response::new(Body::from(object.slice(first..=last)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response.headers_mut().insert(CONTENT_RANGE, HeaderValue::try_from(range).unwrap());
            response
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

fn sha256(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
