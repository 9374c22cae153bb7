//! Authentication: bearer tokens below `/api/open/v1`, signatures below `/qontak/chat/v1`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Request, State as Extract};
use axum::http::header::{AUTHORIZATION, DATE, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::response::error;
use super::state::{Fake, State};

/// Skew that the gateway accepts, in seconds.
const MAX_SKEW: i64 = 300;

/// Middleware: refuses requests without valid credentials.
pub async fn check(Extract(fake): Extract<Fake>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let body = body.to_bytes();
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let is_gateway = target.starts_with("/qontak/");
    let (is_valid, now) = {
        let state = fake.state();
        let is_valid = if is_gateway {
            is_signed(&state, &parts.method, target, &parts.headers, &body)
        } else {
            is_bearer(&state, &parts.headers)
        };
        let now = state.now().0.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        (is_valid, HeaderValue::from_str(&now).expect("a date is text"))
    };
    let mut response = match (is_valid, is_gateway) {
        (true, _) => next.run(Request::from_parts(parts, body.into())).await,
        (false, true) => {
            let body = Json(json!({ "message": "Unauthorized" }));
            (StatusCode::UNAUTHORIZED, body).into_response()
        }
        (false, false) => {
            // Repeats the token, which must not reach any log.
            let sent = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
            let messages = ["Invalid token", sent.unwrap_or_default()];
            error(StatusCode::UNAUTHORIZED, &messages).into_response()
        }
    };
    response.headers_mut().insert(DATE, now);
    response
}

fn is_bearer(state: &State, headers: &HeaderMap) -> bool {
    let expected = format!("Bearer {}", state.credentials().access_token);
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    !state.is_expired && sent == Some(expected.as_str())
}

fn is_signed(
    state: &State,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(sent), Some(date)) = (text("authorization"), text("date")) else { return false };
    let Ok(at) = DateTime::parse_from_rfc2822(date) else { return false };
    let credentials = state.credentials();
    let mut mac = Hmac::<Sha256>::new_from_slice(credentials.client_secret.as_bytes())
        .expect("a key may have any length");
    mac.update(format!("date: {date}\n{method} {target} HTTP/1.1").as_bytes());
    let expected = format!(
        "hmac username=\"{}\", algorithm=\"hmac-sha256\", headers=\"date request-line\", \
         signature=\"{}\"",
        credentials.client_id,
        BASE64.encode(mac.finalize().into_bytes())
    );
    let digest = format!("SHA-256={}", BASE64.encode(Sha256::digest(body)));
    // Uploads need none.
    let is_upload = text("content-type").is_some_and(|it| it.starts_with("multipart/"));
    let has_digest = method == Method::GET || is_upload || text("digest") == Some(digest.as_str());
    let skew = at.signed_duration_since(state.now().0).num_seconds().abs();
    sent == expected && has_digest && skew <= MAX_SKEW
}

/// `POST /oauth/token`: replaces both tokens. An old refresh token is refused.
pub async fn refresh(Extract(fake): Extract<Fake>, Json(body): Json<Value>) -> Response {
    let response = replace_tokens(&fake, &body);
    fake.wait().await;
    response
}

fn replace_tokens(fake: &Fake, body: &Value) -> Response {
    let mut state = fake.state();
    let current = state.credentials();
    let is_client = body["client_id"] == current.client_id.as_str()
        && body["client_secret"] == current.client_secret.as_str()
        && body["grant_type"] == "refresh_token";
    if !is_client || body["refresh_token"] != current.refresh_token.as_str() {
        state.reused += u32::from(is_client);
        let sent = body["refresh_token"].as_str().unwrap_or_default();
        let body = json!({ "error": "invalid_grant", "error_description": sent });
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    state.generation += 1;
    state.is_expired = false;
    let new = state.credentials();
    let body = json!({
        "access_token": new.access_token,
        "token_type": "Bearer",
        "expires_in": state.expires_in,
        "refresh_token": new.refresh_token,
        "created_at": state.now().0.timestamp(),
    });
    Json(body).into_response()
}
