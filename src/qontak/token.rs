//! Bearer tokens.
//!
//! Each use of a refresh token replaces it, and an old one may invalidate all. So only one replica
//! refreshes at a time (an advisory lock; the others read what it stored), and a new pair is committed
//! before it is used. A pair that could not be committed is kept in memory and committed first.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use metrics::gauge;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::cipher::Cipher;
use super::error::Error;
use super::response;
use super::transport::Transport;
use crate::config;
use crate::model::Timestamp;
use crate::store::qontak_token;

/// Poll interval for the pair that another replica stores.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Maximum wait for the refresh of another replica.
const MAX_WAIT: Duration = Duration::from_secs(40);

/// Attempts to store a new pair, and the pause between them.
const SAVE_ATTEMPTS: u32 = 5;
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// Path of the token endpoint.
const TOKEN_PATH: &str = "/oauth/token";

/// Tokens of one organisation.
pub struct Tokens {
    name: String,
    url: String,
    client_id: String,
    client_secret: SecretString,
    /// What the settings contain.
    access_token: Option<SecretString>,
    refresh: Option<Refresh>,
    db: PgPool,
    state: Mutex<State>,
    /// Calls of [`get`](Self::get), which may refresh.
    tasks: std::sync::Mutex<JoinSet<()>>,
}

/// What refreshing needs.
struct Refresh {
    token: SecretString,
    cipher: Cipher,
    /// Hash of `token`: a stored pair that descends from another one is outdated.
    origin: String,
}

#[derive(Default)]
struct State {
    current: Option<Pair>,
    /// Received but not stored yet, so not used.
    unsaved: Option<Pair>,
}

/// A stored pair; encrypted as a whole.
#[derive(Clone, Serialize, Deserialize)]
struct Pair {
    access_token: String,
    refresh_token: String,
    created_at: i64,
    expires_in: Option<i64>,
    origin: String,
}

impl Pair {
    /// Whether less than 80 % of its lifetime is over.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires_in.is_none_or(|life| now.0.timestamp() - self.created_at < life / 5 * 4)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::from_unix(self.created_at.checked_add(self.expires_in?)?)
    }
}

impl Tokens {
    /// Tokens of the organisation `name` of the settings.
    pub fn new(
        name: &str,
        settings: &config::Qontak,
        encryption_key: Option<&config::StrongSecret>,
        db: PgPool,
    ) -> Self {
        let refresh = settings.refresh_token.clone().zip(encryption_key).map(|(token, key)| {
            let origin = BASE64.encode(Sha256::digest(token.expose_secret()));
            Refresh { token, cipher: Cipher::new(&key.0), origin }
        });
        Self {
            name: name.to_owned(),
            url: format!("{}{TOKEN_PATH}", settings.server()),
            client_id: settings.client_id.clone().unwrap_or_default(),
            client_secret: settings.client_secret.clone().unwrap_or_default(),
            access_token: settings.access_token.clone(),
            refresh,
            db,
            state: Mutex::default(),
            tasks: std::sync::Mutex::default(),
        }
    }

    /// A valid access token. `rejected` is one that Qontak has just answered with 401.
    ///
    /// In a task of its own: if its caller is cancelled, a pair that Qontak has just replaced is stored
    /// nevertheless.
    pub async fn get(
        self: &Arc<Self>,
        transport: &Transport,
        rejected: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let (tokens, transport, rejected) = (self.clone(), transport.clone(), rejected.cloned());
        let (done, found) = oneshot::channel();
        let task = async move { _ = done.send(tokens.find(&transport, rejected.as_ref()).await) };
        {
            let mut tasks = self.tasks();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
        found.await.expect("the task does not panic, and is not aborted while somebody waits")
    }

    /// Waits until a refresh that is in progress has ended.
    pub async fn finish(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.join_all().await;
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(
        &self,
        transport: &Transport,
        rejected: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let is_usable = |token: &str| rejected.is_none_or(|it| it.expose_secret() != token);
        let Some(refresh) = &self.refresh else {
            let token = self.access_token.clone().filter(|it| is_usable(it.expose_secret()));
            return token.ok_or_else(|| Error::Unauthorized { host: self.host() });
        };
        let mut state = self.state.lock().await;
        if state.current.is_none() {
            state.current = self.stored(refresh).await?;
        }
        let is_valid =
            |pair: &Pair| is_usable(&pair.access_token) && pair.is_fresh(Timestamp::now());
        let is_unused = state.current.is_none();
        let given = self.access_token.as_ref().filter(|it| is_usable(it.expose_secret()));
        if let Some(token) = given.filter(|_| is_unused) {
            // Its age is not known: used until it is rejected.
            return Ok(token.clone());
        }
        if !state.current.as_ref().is_some_and(is_valid) {
            match self.refresh(transport, refresh, &mut state, is_valid).await {
                Ok(pair) => state.current = Some(pair),
                // The old token has a fifth of its lifetime left.
                Err(error) if error.is_temporary() && rejected.is_none() && !is_unused => {}
                Err(error) => return Err(error),
            }
        }
        let pair = state.current.as_ref().expect("set above");
        if let Some(expires_at) = pair.expires_at() {
            let left = (expires_at.0 - Timestamp::now().0).num_seconds() as f64;
            gauge!("qontak_receiver_qontak_token_seconds", "organization" => self.name.clone())
                .set(left);
        }
        Ok(pair.access_token.clone().into())
    }

    fn host(&self) -> String {
        let host = self.url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        host.unwrap_or_default().to_owned()
    }

    /// The stored pair, unless the settings have got another refresh token since.
    async fn stored(&self, refresh: &Refresh) -> Result<Option<Pair>, Error> {
        let sealed = qontak_token::find(&self.db, &self.name).await?;
        self.open(refresh, sealed)
    }

    fn open(&self, refresh: &Refresh, sealed: Option<Vec<u8>>) -> Result<Option<Pair>, Error> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = refresh.cipher.decrypt(&self.name, &sealed)?;
        let pair: Pair = serde_json::from_slice(&text).map_err(|_| Error::Decrypt)?;
        Ok((pair.origin == refresh.origin).then_some(pair))
    }

    /// Refreshes the pair, or takes the one that another replica stores meanwhile.
    async fn refresh(
        &self,
        transport: &Transport,
        refresh: &Refresh,
        state: &mut State,
        is_valid: impl Fn(&Pair) -> bool,
    ) -> Result<Pair, Error> {
        let began = Instant::now();
        loop {
            if let Some(pair) = &state.unsaved {
                self.save(refresh, pair).await?;
                return Ok(state.unsaved.take().expect("it was just stored"));
            }
            if let Some(pair) = self.try_refresh(transport, refresh, state, &is_valid).await? {
                return Ok(pair);
            }
            if began.elapsed() > MAX_WAIT {
                return Err(Error::RefreshBusy);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns `None` if another replica is refreshing, or if the new pair could not be committed and
    /// is now in `state.unsaved`.
    async fn try_refresh(
        &self,
        transport: &Transport,
        refresh: &Refresh,
        state: &mut State,
        is_valid: impl Fn(&Pair) -> bool,
    ) -> Result<Option<Pair>, Error> {
        let Some(mut transaction) = qontak_token::try_lock(&self.db, &self.name).await? else {
            return Ok(self.stored(refresh).await?.filter(is_valid));
        };
        // Under the lock, so it is the newest.
        let sealed = qontak_token::find(&mut *transaction, &self.name).await?;
        let stored = self.open(refresh, sealed)?;
        if stored.as_ref().is_some_and(is_valid) {
            return Ok(stored);
        }
        let token =
            stored.as_ref().map_or(refresh.token.expose_secret(), |it| it.refresh_token.as_str());
        let pair = self.request(transport, refresh, token).await?;
        state.unsaved = Some(pair.clone());
        let sealed = self.seal(refresh, &pair);
        let expires_at = pair.expires_at();
        let saved = qontak_token::save(&mut *transaction, &self.name, &sealed, expires_at).await;
        if saved.is_err() || transaction.commit().await.is_err() {
            return Ok(None);
        }
        state.unsaved = None;
        info!(organization = self.name, "qontak tokens refreshed");
        Ok(Some(pair))
    }

    fn seal(&self, refresh: &Refresh, pair: &Pair) -> Vec<u8> {
        let text = serde_json::to_vec(pair).expect("a pair has only text and numbers");
        refresh.cipher.encrypt(&self.name, &text)
    }

    async fn save(&self, refresh: &Refresh, pair: &Pair) -> Result<(), Error> {
        let sealed = self.seal(refresh, pair);
        let mut attempt = 1;
        loop {
            match qontak_token::save(&self.db, &self.name, &sealed, pair.expires_at()).await {
                Ok(()) => return Ok(()),
                Err(cause) if attempt == SAVE_ATTEMPTS => return Err(cause.into()),
                Err(_) => sleep(SAVE_INTERVAL).await,
            }
            attempt += 1;
        }
    }

    async fn request(
        &self,
        transport: &Transport,
        refresh: &Refresh,
        refresh_token: &str,
    ) -> Result<Pair, Error> {
        const ROUTE: &str = "oauth/token";
        let body = json!({
            "refresh_token": refresh_token,
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret.expose_secret(),
        });
        let body = body.to_string().into_bytes();
        let answer = transport.send(Method::POST, &self.url, HeaderMap::new(), Some(body)).await?;
        let is_rejection = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
        if is_rejection.contains(&answer.status) {
            return Err(Error::RefreshRejected { host: answer.host });
        }
        let answer = response::read(&answer, ROUTE, 0)?;
        let text = |field: &str| answer[field].as_str().filter(|text| !text.is_empty());
        let problem = "access_token or refresh_token is missing";
        let unknown = || Error::UnknownForm { route: ROUTE, problem };
        Ok(Pair {
            access_token: text("access_token").ok_or_else(unknown)?.to_owned(),
            refresh_token: text("refresh_token").unwrap_or(refresh_token).to_owned(),
            created_at: integer(&answer["created_at"])
                .unwrap_or_else(|| Timestamp::now().0.timestamp()),
            expires_in: integer(&answer["expires_in"]),
            origin: refresh.origin.clone(),
        })
    }
}

/// A number, or text with one.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
