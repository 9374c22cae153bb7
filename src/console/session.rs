//! Sessions: sign-in with an API key, and the visitor of each request.
//!
//! The cookie holds the hash of the key and an end, signed. Nothing is stored, so sessions work on all
//! replicas, and the key is looked up for every request: revoking it ends its sessions.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{HOST, HeaderMap, LOCATION, REFERER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use cookie::{Cookie, SameSite};
use hmac::Mac;

use super::api::{Api, ApiError};
use super::cookies::{self, is_loopback_host, is_same_origin, own_page};
use super::language::Words;
use super::parameters::{Parameters, link};
use super::preferences::Preferences;
use super::signed_out;
use super::state::ConsoleState;
use crate::config::Scope;
use crate::http::Error;
use crate::http::server::admission::authenticate;
use crate::model::Timestamp;
use crate::read::key::Hash;

/// Name of the session cookie.
const NAME: &str = "console_session";

/// Separates these signatures from others with the same key.
const CONTEXT: &[u8] = b"console session 1";

/// A signed-in visitor and the request.
pub struct Visitor {
    /// The read API with the visitor's key.
    pub api: Api,
    /// Name of the key.
    pub key_name: String,
    /// Organisation that the visitor chose; empty for all.
    pub organization: String,
    /// Whether the key may see several organisations.
    pub sees_several: bool,
    /// Whether the key sees masked data only; it may not search, nor listen to the stream.
    pub is_masked: bool,
    /// Whether the key may export.
    pub can_export: bool,
    /// Whether the key may replay events.
    pub can_replay: bool,
    /// Language, time zone and theme.
    pub preferences: Preferences,
    /// Path and query of the page.
    pub uri: Uri,
    /// Parameters of the page.
    pub parameters: Parameters,
    /// Page of the console that led to this one.
    pub referrer: Option<String>,
    /// Scheme and host by which the browser knows this service.
    pub origin: String,
}

impl Visitor {
    /// The texts in the visitor's language.
    pub const fn words(&self) -> &'static Words {
        self.preferences.words()
    }

    /// A link to another page, which keeps the chosen organisation.
    pub fn link(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        let organization = ("organization_id", self.organization.as_str());
        link(path, &[parameters, &[organization]].concat())
    }

    /// When htmx loads a part again: when `changed` says so, every minute because times pass, and after a
    /// lost connection. A masked visitor has no stream; an older page of a list does not change.
    pub fn trigger(&self, changed: &str, is_newest: bool) -> String {
        let when = match (is_newest, self.is_masked) {
            (false, _) => String::new(),
            (true, true) => "every 60s, ".to_owned(),
            (true, false) => format!("{changed}, every 60s, "),
        };
        format!("{when}refresh from:body")
    }

    /// The same for a list, whose first page is the newest.
    pub fn list_trigger(&self) -> String {
        self.trigger("changed-slowly from:body", self.parameters.get("cursor").is_empty())
    }
}

impl FromRequestParts<ConsoleState> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ConsoleState) -> Result<Self, Response> {
        let preferences = Preferences::of(parts);
        if !parts.method.is_safe() && !is_same_origin(&parts.headers) {
            let messages = vec![preferences.words().other_origin.to_owned()];
            let error = ApiError { status: StatusCode::FORBIDDEN, messages, request_id: None };
            return Err(signed_out::error(&preferences, &error));
        }
        let text = cookies::value(&parts.headers, NAME);
        let hash = text.and_then(|text| verify(state, &text, Timestamp::now()));
        let Some(hash) = hash else { return Err(ask_to_sign_in(parts)) };
        let key = match state.read.keys.admit_hash(&hash).await {
            Ok(key) => key,
            Err(Error::UnknownKey) => return Err(ask_to_sign_in(parts)),
            Err(error) => {
                let error = ApiError::from_error(&error);
                return Err(signed_out::error(&preferences, &error));
            }
        };
        authenticate(&parts.extensions);
        let parameters = Parameters::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let organization = parameters.get("organization_id").to_owned();
        Ok(Self {
            key_name: key.name.clone(),
            sees_several: key.organizations.as_ref().is_none_or(|own| own.len() > 1),
            is_masked: key.scopes.contains(&Scope::ReadMasked),
            can_export: key.scopes.contains(&Scope::Export),
            can_replay: key.scopes.contains(&Scope::Replay),
            api: Api::new(state, key, organization.clone()),
            organization,
            preferences,
            uri: parts.uri.clone(),
            parameters,
            referrer: referrer(&parts.headers),
            origin: origin(state, &parts.headers),
        })
    }
}

/// The page of the console that led here.
fn referrer(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (_, rest) = text(REFERER)?.split_once("://")?;
    let page = rest.strip_prefix(text(HOST)?)?;
    let is_page = own_page(page) == page && !page.starts_with("/console/sign-in");
    is_page.then(|| page.to_owned())
}

/// Scheme and host of the request. Only a browser on this machine does without HTTPS.
fn origin(state: &ConsoleState, headers: &HeaderMap) -> String {
    let is_local = state.is_loopback && is_loopback_host(headers);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("{}://{host}", if is_local { "http" } else { "https" })
}

/// Redirects to the form, which then leads back. htmx would put a redirected form into the page, so it
/// gets the header `hx-redirect` instead.
fn ask_to_sign_in(parts: &Parts) -> Response {
    let is_htmx = parts.headers.contains_key("hx-request");
    let page = parts.uri.path_and_query().map_or("/console", |page| page.as_str());
    let mut query = form_urlencoded::Serializer::new(String::new());
    if page != "/console" && !is_htmx && parts.method.is_safe() {
        query.append_pair("next", page);
    }
    let target = format!("/console/sign-in?{}", query.finish());
    let target = target.trim_end_matches('?').to_owned();
    if is_htmx {
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", target)]).into_response();
    }
    (StatusCode::SEE_OTHER, [(LOCATION, target)]).into_response()
}

/// `GET /console/sign-in`.
pub async fn form(parts: Parts) -> Response {
    let query = Parameters::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let next = own_page(query.get("next"));
    signed_out::sign_in(&Preferences::of(&parts), next, None, StatusCode::OK)
}

/// `POST /console/sign-in`.
pub async fn sign_in(State(state): State<ConsoleState>, parts: Parts, body: Bytes) -> Response {
    let preferences = Preferences::of(&parts);
    let form = Parameters::parse(&body);
    let next = own_page(form.get("next"));
    let refuse = |text, status| signed_out::sign_in(&preferences, next, Some(text), status);
    let words = preferences.words();
    if !is_same_origin(&parts.headers) {
        return refuse(words.other_origin, StatusCode::FORBIDDEN);
    }
    let key = match state.read.keys.admit(form.get("key").trim()).await {
        Ok(key) => key,
        Err(Error::UnknownKey) => return refuse(words.unknown_key, StatusCode::UNAUTHORIZED),
        Err(error) => {
            let messages = ApiError::from_error(&error).messages.join("; ");
            return refuse(&messages, error.status());
        }
    };
    if !key.scopes.iter().any(|scope| matches!(scope, Scope::Read | Scope::ReadMasked)) {
        return refuse(words.key_without_read, StatusCode::FORBIDDEN);
    }
    authenticate(&parts.extensions);
    let end = Timestamp::now().0.timestamp() + state.session_lifetime.as_secs().cast_signed();
    let cookie = session_cookie(&state, &parts.headers, &sign(&state, &key.hash, end));
    (StatusCode::SEE_OTHER, [(LOCATION, next.to_owned()), (SET_COOKIE, cookie)]).into_response()
}

/// `POST /console/sign-out`.
pub async fn sign_out(State(state): State<ConsoleState>, parts: Parts) -> Response {
    if !is_same_origin(&parts.headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let cookie = format!("{}; Max-Age=0", session_cookie(&state, &parts.headers, ""));
    let target = "/console/sign-in".to_owned();
    (StatusCode::SEE_OTHER, [(LOCATION, target), (SET_COOKIE, cookie)]).into_response()
}

/// A session cookie. It ends with the browser's session, or with its signed end.
fn session_cookie(state: &ConsoleState, headers: &HeaderMap, value: &str) -> String {
    Cookie::build((NAME, value))
        .path("/console")
        .http_only(true)
        .same_site(SameSite::Strict)
        // Browsers do not store a secure cookie of a plain http page.
        .secure(!(state.is_loopback && is_loopback_host(headers)))
        .build()
        .to_string()
}

/// The signed hash of a key and end of its session, in seconds since 1970.
fn sign(state: &ConsoleState, hash: &Hash, end: i64) -> String {
    let mut bytes = [hash.as_slice(), &end.to_be_bytes()].concat();
    let tag = mac(state, &bytes).finalize().into_bytes();
    bytes.extend(tag);
    BASE64.encode(bytes)
}

/// The hash of the key of a session; `None` if the session was not signed by us, or ended.
fn verify(state: &ConsoleState, text: &str, now: Timestamp) -> Option<Hash> {
    let bytes = BASE64.decode(text).ok()?;
    let (hash, rest) = bytes.split_first_chunk::<32>()?;
    let (end, tag) = rest.split_first_chunk::<8>()?;
    let signed = mac(state, &[hash.as_slice(), end].concat());
    signed.verify_slice(tag).ok()?;
    (i64::from_be_bytes(*end) > now.0.timestamp()).then_some(*hash)
}

fn mac(state: &ConsoleState, bytes: &[u8]) -> hmac::Hmac<sha2::Sha256> {
    let mut mac = state.signer.clone();
    mac.update(CONTEXT);
    mac.update(bytes);
    mac
}
