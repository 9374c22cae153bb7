//! `POST /oauth/token`: clients of Qontak's API log in before they read. A login returns the key that
//! it was given, so no second kind of token exists.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::response::IntoResponse;
use axum::routing::{Router, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::Error;
use crate::model::Timestamp;
use crate::read::keys::Keys;
use crate::read::state::ReadState;

/// Maximum size of a request body.
const MAX_BODY_BYTES: usize = 16 << 10;

/// `expires_in` of keys that do not expire: a year, in seconds. Clients renew their token by then.
const YEAR: i64 = 365 * 86_400;

/// Fields that may contain a key, in the order in which they are tried.
const FIELDS: [&str; 3] = ["refresh_token", "client_secret", "password"];

/// Response to a login, as in Qontak's API.
#[derive(Serialize)]
struct Token {
    /// The key.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds from `created_at`.
    expires_in: i64,
    /// The key.
    refresh_token: String,
    /// Seconds since 1970.
    created_at: i64,
}

/// `POST /oauth/token`. Not in the OpenAPI document: programs that read it have a key.
pub fn routes() -> Router<ReadState> {
    let log_in = post(log_in).fallback(async || Error::MethodNotAllowed("POST"));
    Router::new().route("/oauth/token", log_in)
}

async fn log_in(
    State(state): State<ReadState>,
    request: Request,
) -> Result<impl IntoResponse, Error> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| Error::BodyTooLarge(MAX_BODY_BYTES))?;
    let sent = sent_keys(&head.headers, &body);
    let (key, expires_at) = find_valid(&state.keys, sent).await?;
    let created_at = Timestamp::now();
    let left = expires_at.map(|at| (at.0 - created_at.0).num_seconds());
    let token = Token {
        access_token: key.clone(),
        token_type: "Bearer",
        expires_in: left.unwrap_or(YEAR),
        refresh_token: key,
        created_at: created_at.0.timestamp(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(token)))
}

/// The first valid key, and the end of its validity.
async fn find_valid(keys: &Keys, sent: Vec<String>) -> Result<(String, Option<Timestamp>), Error> {
    for key in sent {
        match keys.admit(&key).await {
            Ok(found) => return Ok((key, found.expires_at)),
            Err(Error::UnknownKey) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::UnknownKey)
}

/// What may be a key: the fields of a JSON object or of a form, and the password of basic
/// authentication, which OAuth 2.0 prefers for `client_secret`.
fn sent_keys(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_else(|_| {
        let pairs = form_urlencoded::parse(body);
        pairs.map(|(name, value)| (name.into_owned(), value.into())).collect()
    });
    let fields = FIELDS.iter().filter_map(|name| object.get(*name)?.as_str().map(str::to_owned));
    let mut keys: Vec<String> = Vec::new();
    for key in fields.chain(password(headers)) {
        let key = key.trim();
        if !key.is_empty() && !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    keys
}

/// Password of `Authorization: Basic …`.
fn password(headers: &HeaderMap) -> Option<String> {
    let (scheme, pair) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(pair.trim()))?.ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}
