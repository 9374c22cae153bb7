//! Valid keys of the database, cached in memory.
//!
//! All of them are loaded at once rather than each when it is sent. So requests cost at most one
//! small query per [`REFRESH_INTERVAL`], however many keys are tried.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use clap::ValueEnum;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::config::Scope;
use crate::http::Error;
use crate::ingest::writer::WriteError;
use crate::model::Timestamp;
use crate::read::key::{Hash, Key};
use crate::store::api_key::{self, LiveKey};
use crate::store::{self, Failure};
use crate::telemetry::fault::Fault;

static LOOKUP: Fault = Fault::error("api key lookup failed");
static LAST_USED: Fault = Fault::warn("could not update api key last_used_at");

/// How long a cached key is valid. A revoked key stays valid for this long.
const CACHE_TTL: Duration = Duration::from_secs(2);

/// Minimum time between two loads. An unknown key is looked up in a load that began after it was
/// sent, so new keys are valid at once, and guessing keys is slow.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// Timeout of each query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time between two updates of `last_used_at`. The query updates a key once a minute at
/// most.
const LAST_USED_INTERVAL: Duration = Duration::from_secs(5);

const POISONED: &str = "no holder of the lock panics";

/// Cache of the valid keys.
pub struct StoredKeys {
    db: PgPool,
    cache: RwLock<Option<Arc<Cache>>>,
    /// Held while the cache is loaded.
    refreshing: tokio::sync::Mutex<()>,
    /// Last uses not written yet.
    uses: Mutex<BTreeMap<Uuid, Timestamp>>,
    used: Notify,
}

/// One load.
struct Cache {
    began_at: Instant,
    /// `None` if the database was unavailable.
    keys: Option<HashMap<Hash, Arc<Key>>>,
    /// Hashes by the ids of HMAC keys.
    hashes: HashMap<Uuid, Hash>,
}

impl StoredKeys {
    pub fn new(db: PgPool) -> Self {
        Self {
            db,
            cache: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
            used: Notify::new(),
        }
    }

    /// Finds a valid key by its hash. Fails with a 503 while the database is unavailable.
    pub async fn find(&self, hash: &Hash) -> Result<Option<Arc<Key>>, Error> {
        self.look_up(|cache| cache.find(hash)).await
    }

    /// Finds a valid key by its id. Fails with a 503 while the database is unavailable.
    pub async fn find_by_id(&self, id: Uuid) -> Result<Option<Arc<Key>>, Error> {
        self.look_up(|cache| cache.find(cache.hashes.get(&id)?)).await
    }

    async fn look_up(
        &self,
        find: impl Fn(&Cache) -> Option<Arc<Key>>,
    ) -> Result<Option<Arc<Key>>, Error> {
        let called_at = Instant::now();
        let fresh = self.cached().filter(|cache| cache.began_at.elapsed() < CACHE_TTL);
        if let Some(key) = fresh.and_then(|cache| find(&cache)) {
            return Ok(Some(key));
        }
        let _guard = self.refreshing.lock().await;
        let cache = match self.cached() {
            // Loaded by the previous holder of the lock, after this call began.
            Some(cache) if cache.began_at >= called_at => cache,
            Some(cache) => {
                sleep_until(cache.began_at + REFRESH_INTERVAL).await;
                self.refresh().await
            }
            None => self.refresh().await,
        };
        if cache.keys.is_none() {
            return Err(WriteError::StorageUnavailable.into());
        }
        Ok(find(&cache))
    }

    fn cached(&self) -> Option<Arc<Cache>> {
        self.cache.read().expect(POISONED).clone()
    }

    async fn refresh(&self) -> Arc<Cache> {
        let began_at = Instant::now();
        let loaded = store::within(QUERY_TIMEOUT, api_key::list_live(&self.db)).await;
        let keys: Option<HashMap<Hash, Arc<Key>>> = match loaded {
            Ok(rows) => Some(rows.into_iter().filter_map(parse).collect()),
            Err(cause) => {
                LOOKUP.occurred(Failure::from(cause));
                None
            }
        };
        let hmac_keys = keys.iter().flatten().filter(|(_, key)| key.is_hmac);
        let hashes = hmac_keys.filter_map(|(hash, key)| Some((key.id?, *hash))).collect();
        let cache = Arc::new(Cache { began_at, keys, hashes });
        *self.cache.write().expect(POISONED) = Some(cache.clone());
        cache
    }

    /// Records the use of a key for [`update_last_used`](Self::update_last_used).
    pub fn mark_used(&self, id: Uuid) {
        self.uses.lock().expect(POISONED).insert(id, Timestamp::now());
        self.used.notify_one();
    }

    /// Updates `last_used_at` of used keys, as long as it is polled.
    pub async fn update_last_used(&self) -> ! {
        loop {
            self.used.notified().await;
            let uses = std::mem::take(&mut *self.uses.lock().expect(POISONED));
            if uses.is_empty() {
                continue;
            }
            let uses: Vec<_> = uses.into_iter().collect();
            let updated =
                store::within(QUERY_TIMEOUT, api_key::update_last_used(&self.db, &uses)).await;
            if let Err(cause) = updated {
                LAST_USED.occurred(Failure::from(cause));
            }
            sleep(LAST_USED_INTERVAL).await;
        }
    }
}

impl Cache {
    fn find(&self, hash: &Hash) -> Option<Arc<Key>> {
        let key = self.keys.as_ref()?.get(hash)?;
        key.expires_at.is_none_or(|at| Timestamp::now() < at).then(|| key.clone())
    }
}

fn parse(row: LiveKey) -> Option<(Hash, Arc<Key>)> {
    let scope = |name: &String| Scope::from_str(name, false).ok();
    let hash = row.sha256.try_into().ok()?;
    let key = Key {
        name: row.name,
        hash,
        id: Some(row.api_key_id),
        // Scopes of a newer version are ignored.
        scopes: row.scopes.iter().filter_map(scope).collect(),
        organizations: row.organizations,
        expires_at: row.expires_at,
        is_hmac: row.is_hmac,
    };
    Some((hash, Arc::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_key_is_invalid_once_it_expires() {
        let key = |hours| {
            let expires_at = Timestamp(Timestamp::now().0 + chrono::TimeDelta::hours(hours));
            Arc::new(Key {
                name: "a".to_owned(),
                hash: [0; 32],
                id: None,
                scopes: vec![Scope::Read],
                organizations: None,
                expires_at: Some(expires_at),
                is_hmac: false,
            })
        };
        let keys = Some(HashMap::from([([1; 32], key(1)), ([2; 32], key(-1))]));
        let cache = Cache { began_at: Instant::now(), keys, hashes: HashMap::new() };
        let is_found = [1, 2, 3].map(|n| cache.find(&[n; 32]).is_some());
        assert_eq!(is_found, [true, false, false]);
    }
}
