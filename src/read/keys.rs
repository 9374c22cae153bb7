//! All valid API keys: those of the settings, which need no database, and those in the database.

mod rate_limit;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::PgPool;

use self::rate_limit::RateLimit;
use self::stored::StoredKeys;
use super::key::{Hash, Key, PREFIX, hash, parse_hash};
use crate::config;
use crate::http::Error;

/// Authenticates keys; cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    settings: HashMap<Hash, Arc<Key>>,
    stored: StoredKeys,
    rate_limit: Option<RateLimit>,
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
            };
            Some((hash, Arc::new(key)))
        });
        Self(Arc::new(Inner {
            settings: settings.collect(),
            stored: StoredKeys::new(db),
            rate_limit: RateLimit::new(api),
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
        let key = key.ok_or(Error::UnknownKey)?;
        if let Some(rate_limit) = &keys.rate_limit {
            rate_limit.check(&hash)?;
        }
        if let Some(id) = key.id {
            keys.stored.mark_used(id);
        }
        Ok(key)
    }
}
