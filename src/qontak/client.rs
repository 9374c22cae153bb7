//! Client of Qontak's API for one organisation.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use metrics::{counter, histogram};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::error::Error;
use super::limit::Limit;
use super::token::Tokens;
use super::transport::{Answer, Transport};
use super::{hmac, response};
use crate::config::{self, Auth, Config};
use crate::model::Timestamp;

/// Attempts of a call that only reads.
const READ_ATTEMPTS: u32 = 4;

/// Attempts of a call that was refused with a 429, so that nothing was executed.
const LIMITED_ATTEMPTS: u32 = 3;

/// Pause before the second attempt; doubled for each further one.
const BACKOFF: Duration = Duration::from_millis(500);

/// Longest wait of a call. A longer one is an error, so that a command ends and a task goes on.
const MAX_WAIT: Duration = Duration::from_secs(300);

const DIGEST: HeaderName = HeaderName::from_static("digest");

/// Client of one organisation.
pub struct Client {
    name: String,
    server: String,
    transport: Transport,
    credentials: Credentials,
    limit: Limit,
    organization_id: Option<String>,
    found_organization_id: OnceCell<Option<String>>,
}

enum Credentials {
    Hmac { client_id: String, secret: SecretString },
    Bearer(Arc<Tokens>),
}

/// Body of a call.
#[derive(Debug)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// A form with a file: its `Content-Type` and bytes.
    Form(String, Vec<u8>),
}

/// A call: its name in metrics and errors, its path and query.
pub struct Route {
    method: &'static str,
    name: &'static str,
    path: Cow<'static, str>,
    query: Cow<'static, str>,
    deadline: Option<Instant>,
}

impl Route {
    /// A call that reads. The query must need no percent-encoding: see [`hmac::authorization`].
    pub const fn get(name: &'static str, query: &'static str) -> Self {
        Self::new("GET", name, Cow::Borrowed(name), Cow::Borrowed(query))
    }

    /// A call that reads a path with an id in it; neither must need percent-encoding.
    pub const fn get_path(name: &'static str, path: String, query: String) -> Self {
        Self::new("GET", name, Cow::Owned(path), Cow::Owned(query))
    }

    /// A call that sets.
    pub const fn put(name: &'static str) -> Self {
        Self::new("PUT", name, Cow::Borrowed(name), Cow::Borrowed(""))
    }

    /// A call that creates. It is never repeated by itself, also not after a 429: whoever asks for it
    /// decides that.
    pub const fn post(name: &'static str) -> Self {
        Self::new("POST", name, Cow::Borrowed(name), Cow::Borrowed(""))
    }

    /// Gives up if the call has not begun until then, so that it has had no effect.
    pub const fn begun_until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    const fn new(
        method: &'static str,
        name: &'static str,
        path: Cow<'static, str>,
        query: Cow<'static, str>,
    ) -> Self {
        Self { method, name, path, query, deadline: None }
    }
}

impl Client {
    /// Client of the organisation `name` of the settings. `db` holds its tokens.
    pub fn new(name: &str, settings: &config::Qontak, config: &Config, db: PgPool) -> Self {
        let credentials = match settings.auth {
            Auth::Hmac => Credentials::Hmac {
                client_id: settings.client_id.clone().unwrap_or_default(),
                secret: settings.client_secret.clone().unwrap_or_default(),
            },
            Auth::Bearer => {
                let key = config.database.encryption_key.as_ref();
                Credentials::Bearer(Arc::new(Tokens::new(name, settings, key, db)))
            }
        };
        Self {
            name: name.to_owned(),
            server: settings.server().to_owned(),
            transport: Transport::default(),
            credentials,
            limit: Limit::default(),
            organization_id: settings.organization_id.clone(),
            found_organization_id: OnceCell::new(),
        }
    }

    /// Name of the organisation in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that the credentials are valid, and of the organisation of the settings. Returns the id of
    /// their organisation if Qontak names it.
    pub async fn check_organization(&self) -> Result<Option<String>, Error> {
        let answer = self.call(Route::get("integrations", "limit=1"), None).await?;
        let found = answer["data"][0]["organization_id"].as_str().map(str::to_owned);
        match (&self.organization_id, &found) {
            (Some(expected), Some(found)) if expected != found => {
                let (expected, found) = (expected.clone(), found.clone());
                Err(Error::OtherOrganization { expected, found })
            }
            _ => Ok(found),
        }
    }

    /// Id of the organisation: that of the settings, or else of the credentials, asked for once.
    pub async fn organization_id(&self) -> Result<Option<String>, Error> {
        if self.organization_id.is_some() {
            return Ok(self.organization_id.clone());
        }
        let found = self.found_organization_id.get_or_try_init(|| self.check_organization());
        Ok(found.await?.clone())
    }

    /// Waits until a refresh of tokens that is in progress has ended.
    pub async fn finish(&self) {
        if let Credentials::Bearer(tokens) = &self.credentials {
            tokens.finish().await;
        }
    }

    /// Makes a call, with retries if it only reads.
    pub async fn call(&self, route: Route, body: Option<&Body>) -> Result<Value, Error> {
        let is_read = route.method == "GET";
        let mut attempt = 0;
        loop {
            let error = match self.attempt(&route, body, attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            attempt += 1;
            let wait = match &error {
                Error::RateLimited { wait, .. }
                    if attempt < LIMITED_ATTEMPTS && route.method != "POST" =>
                {
                    *wait
                }
                Error::RateLimited { .. } => return Err(error),
                error if is_read && error.is_temporary() && attempt < READ_ATTEMPTS => {
                    BACKOFF * 2_u32.pow(attempt - 1)
                }
                _ => return Err(error),
            };
            if wait > MAX_WAIT {
                return Err(error);
            }
            let seconds = wait.as_secs_f64();
            warn!(organization = self.name, route = route.name, %error, seconds, "qontak call delayed");
            histogram!("qontak_receiver_qontak_wait_seconds", "reason" => "retry").record(seconds);
            sleep(wait).await;
        }
    }

    /// Makes a call once, or twice if its token has expired.
    async fn attempt(
        &self,
        route: &Route,
        body: Option<&Body>,
        attempt: u32,
    ) -> Result<Value, Error> {
        let mut rejected = None;
        loop {
            let begins = self.begin(rejected.as_ref());
            let token = match route.deadline {
                Some(deadline) => timeout_at(deadline, begins).await.map_err(|_| Error::Late)??,
                None => begins.await?,
            };
            let answer = self.send(route, body, token.as_ref()).await;
            let status = answer.as_ref().map_or("none", |answer| class(answer.status));
            counter!(
                "qontak_receiver_qontak_requests_total",
                "organization" => self.name.clone(), "route" => route.name, "status" => status
            )
            .increment(1);
            let answer = answer?;
            let is_first = rejected.is_none();
            if answer.status == StatusCode::UNAUTHORIZED && token.is_some() && is_first {
                rejected = token;
                continue;
            }
            return response::read(&answer, route.name, attempt);
        }
    }

    /// Waits for the rate limit, and returns the token if the credentials are one.
    async fn begin(&self, rejected: Option<&SecretString>) -> Result<Option<SecretString>, Error> {
        let waited = self.limit.wait().await;
        histogram!("qontak_receiver_qontak_wait_seconds", "reason" => "limit")
            .record(waited.as_secs_f64());
        match &self.credentials {
            Credentials::Bearer(tokens) => {
                let token = tokens.get(&self.transport, rejected).await;
                token.map(Some).map_err(Error::of_refresh)
            }
            Credentials::Hmac { .. } => Ok(None),
        }
    }

    async fn send(
        &self,
        route: &Route,
        body: Option<&Body>,
        token: Option<&SecretString>,
    ) -> Result<Answer, Error> {
        let base = match &self.credentials {
            Credentials::Bearer(_) => "/api/open/v1",
            Credentials::Hmac { .. } => "/qontak/chat/v1",
        };
        let separator = if route.query.is_empty() { "" } else { "?" };
        let target = format!("{base}/{}{separator}{}", route.path, route.query);
        let method = Method::from_bytes(route.method.as_bytes()).expect("GET, PUT or POST");
        let mut headers = HeaderMap::new();
        let (body, is_form) = match body {
            None => (None, false),
            Some(Body::Json(json)) => (Some(json.to_string().into_bytes()), false),
            Some(Body::Form(content_type, bytes)) => {
                headers.insert(CONTENT_TYPE, self.header(content_type)?);
                (Some(bytes.clone()), true)
            }
        };
        match (&self.credentials, token) {
            (Credentials::Hmac { client_id, secret }, _) => {
                let date = hmac::date(Timestamp::now());
                let secret = secret.expose_secret();
                let signature = hmac::authorization(client_id, secret, &method, &target, &date);
                headers.insert(AUTHORIZATION, self.header(&signature)?);
                headers.insert(DATE, self.header(&date)?);
                // Mekari's guide leaves it out for uploads.
                if let Some(body) = body.as_ref().filter(|_| !is_form) {
                    headers.insert(DIGEST, self.header(&hmac::digest(body))?);
                }
            }
            (Credentials::Bearer(_), token) => {
                let token = token.map_or("", ExposeSecret::expose_secret);
                headers.insert(AUTHORIZATION, self.header(&format!("Bearer {token}"))?);
            }
        }
        self.transport.send(method, &format!("{}{target}", self.server), headers, body).await
    }

    /// A header that logs do not show. Credentials with characters that no header can have are wrong.
    fn header(&self, text: &str) -> Result<HeaderValue, Error> {
        let host = self.server.split("://").last().unwrap_or_default().to_owned();
        let mut value = HeaderValue::from_str(text).map_err(|_| Error::Unauthorized { host })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Status in metrics: few values, whatever a proxy answers.
const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        401 => "401",
        404 => "404",
        429 => "429",
        400..500 => "4xx",
        _ => "5xx",
    }
}
