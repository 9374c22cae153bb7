//! All valid API keys: those of the settings, which need no database, and those in the database.

mod rate_limit;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Once};

use secrecy::SecretString;
use sqlx::PgPool;
use tracing::warn;

use self::rate_limit::RateLimit;
use self::stored::StoredKeys;
use super::hmac::{SignedRequest, secret};
use super::key::{Hash, Key, PREFIX, hash, parse_hash};
use crate::config;
use crate::http::Error;
use crate::model::Timestamp;

/// Authenticates keys; cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    settings: HashMap<Hash, Arc<Key>>,
    stored: StoredKeys,
    rate_limit: Option<RateLimit>,
    hmac_secret: Option<SecretString>,
    /// Whether a signature was refused because of the settings.
    hmac_refused: Once,
}

impl Keys {
    /// Takes keys and rate limit from the settings; `db` holds the other keys.
    pub fn new(keys: &BTreeMap<String, config::Key>, api: &config::Api, db: PgPool) -> Self {
        let settings = keys.iter().filter_map(|(name, settings)| {
            let hash = parse_hash(&settings.sha256)?;
            let key = Key {
                name: name.clone(),
                hash,
                id: None,
                scopes: settings.scopes.clone(),
                organizations: settings.organizations(),
                expires_at: None,
                is_hmac: false,
            };
            Some((hash, Arc::new(key)))
        });
        Self(Arc::new(Inner {
            settings: settings.collect(),
            stored: StoredKeys::new(db),
            rate_limit: RateLimit::new(api),
            hmac_secret: api.hmac_secret.as_ref().map(|secret| secret.0.clone()),
            hmac_refused: Once::new(),
        }))
    }

    /// Updates `last_used_at` of used keys, as long as it is polled.
    pub async fn update_last_used(&self) -> ! {
        self.0.stored.update_last_used().await
    }

    /// Whether the key is still valid. While the database is unavailable, it is.
    pub async fn is_valid(&self, key: &Key) -> bool {
        let hash = &key.hash;
        self.0.settings.contains_key(hash) || !matches!(self.0.stored.find(hash).await, Ok(None))
    }

    /// Returns the key that was sent. Fails if it is invalid or exceeds the rate limit.
    pub async fn admit(&self, sent: &str) -> Result<Arc<Key>, Error> {
        let keys = &*self.0;
        // Looking up a hash is not constant in time, but reveals nothing about the key.
        let hash = hash(sent);
        let key = match keys.settings.get(&hash) {
            Some(key) => Some(key.clone()),
            None if sent.starts_with(PREFIX) => keys.stored.find(&hash).await?,
            None => None,
        };
        self.count(key.ok_or(Error::UnknownKey)?)
    }

    /// Returns the key with this hash. Fails if it is no longer valid or exceeds the rate limit.
    pub async fn admit_hash(&self, hash: &Hash) -> Result<Arc<Key>, Error> {
        let key = match self.0.settings.get(hash) {
            Some(key) => Some(key.clone()),
            None => self.0.stored.find(hash).await?,
        };
        self.count(key.ok_or(Error::UnknownKey)?)
    }

    /// Returns the key that signed the request. Fails if the signature or the key is invalid, or if
    /// the key exceeds the rate limit.
    pub async fn admit_signed(&self, request: &SignedRequest) -> Result<Arc<Key>, Error> {
        let keys = &*self.0;
        let key = keys.stored.find_by_id(request.key_id).await?;
        let key = key.filter(|key| key.is_hmac).ok_or(Error::UnknownKey)?;
        let secret = keys.hmac_secret.as_ref().map(|setting| secret(setting, request.key_id));
        let Some(secret) = secret.filter(|secret| hash(secret) == key.hash) else {
            keys.hmac_refused.call_once(|| {
                warn!(
                    key.id = %request.key_id,
                    "signature refused, api.hmac_secret is not that of the key's creation",
                );
            });
            return Err(Error::UnknownKey);
        };
        if !request.is_signed_with(&secret, Timestamp::now()) {
            return Err(Error::UnknownKey);
        }
        self.count(key)
    }

    /// Counts a request of this key. Fails if it exceeds the rate limit.
    fn count(&self, key: Arc<Key>) -> Result<Arc<Key>, Error> {
        if let Some(rate_limit) = &self.0.rate_limit {
            rate_limit.check(&key.hash)?;
        }
        if let Some(id) = key.id {
            self.0.stored.mark_used(id);
        }
        Ok(key)
    }
}
