//! The live keys of the database, kept in memory for a few seconds.
//!
//! All of them are read at once, not each as it is sent. So whatever is sent, many requests with one
//! key or many keys that nobody has, costs the database one small query per [`REFRESH_INTERVAL`] at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use clap::ValueEnum;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, warn};
use uuid::Uuid;

use super::{Hash, Key};
use crate::config::Scope;
use crate::http::Error;
use crate::ingest::writer::WriteError;
use crate::model::Timestamp;
use crate::store::api_key::{self, LiveKey};
use crate::store::{self, Failure};

/// How long a key is good without another snapshot: a revoked one lives on for that long.
const CACHE_TTL: Duration = Duration::from_secs(5);

/// The least time between two looks. An unknown key is answered after a snapshot that began after it
/// was sent, so one that was made a moment ago is known, and who guesses keys has to wait.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// How long a snapshot, or noting uses, may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The least time between two notes of when keys were used. A key is written once a minute at most.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// The live keys of the database.
pub struct StoredKeys {
    db: PgPool,
    last: RwLock<Option<Arc<Snapshot>>>,
    /// Held by whoever looks.
    refreshing: tokio::sync::Mutex<()>,
    /// When keys were last used, as far as it is not yet noted.
    uses: Mutex<BTreeMap<Uuid, Timestamp>>,
    used: Notify,
}

/// What was found; nothing if the database did not answer.
struct Snapshot {
    began_at: Instant,
    keys: Option<HashMap<Hash, Arc<Key>>>,
}

impl StoredKeys {
    pub fn new(db: PgPool) -> Self {
        Self {
            db,
            last: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
            used: Notify::new(),
        }
    }

    /// The key with this hash, if it is live; 503 while the database is away.
    pub async fn find(&self, hash: &Hash) -> Result<Option<Arc<Key>>, Error> {
        let asked_at = Instant::now();
        let last = self.last();
        let fresh = last.filter(|snapshot| snapshot.began_at.elapsed() < CACHE_TTL);
        if let Some(key) = fresh.and_then(|snapshot| snapshot.find(hash)) {
            return Ok(Some(key));
        }
        let _guard = self.refreshing.lock().await;
        let snapshot = match self.last() {
            // Whoever had the refreshing before us has looked for us as well.
            Some(snapshot) if snapshot.began_at >= asked_at => snapshot,
            Some(snapshot) => {
                sleep_until(snapshot.began_at + REFRESH_INTERVAL).await;
                self.refresh().await
            }
            None => self.refresh().await,
        };
        if snapshot.keys.is_none() {
            return Err(WriteError::StorageUnavailable.into());
        }
        Ok(snapshot.find(hash))
    }

    fn last(&self) -> Option<Arc<Snapshot>> {
        self.last.read().expect("nobody panics with it").clone()
    }

    async fn refresh(&self) -> Arc<Snapshot> {
        let began_at = Instant::now();
        let found = store::within(QUERY_TIMEOUT, api_key::list_live(&self.db)).await;
        let keys = match found {
            Ok(rows) => Some(rows.into_iter().filter_map(known).collect()),
            Err(cause) => {
                error!("keys cannot be looked up: {}", Failure::from(cause));
                None
            }
        };
        let snapshot = Arc::new(Snapshot { began_at, keys });
        *self.last.write().expect("nobody panics with it") = Some(snapshot.clone());
        snapshot
    }

    /// Remembers that a key was used, for [`note_uses`](Self::note_uses).
    pub fn note_use(&self, id: Uuid) {
        self.uses.lock().expect("nobody panics with it").insert(id, Timestamp::now());
        self.used.notify_one();
    }

    /// Writes down when keys were last used, as long as it is polled.
    pub async fn note_uses(&self) -> ! {
        loop {
            self.used.notified().await;
            let uses = std::mem::take(&mut *self.uses.lock().expect("nobody panics with it"));
            if uses.is_empty() {
                continue;
            }
            let uses: Vec<_> = uses.into_iter().collect();
            if let Err(cause) =
                store::within(QUERY_TIMEOUT, api_key::update_last_used(&self.db, &uses)).await
            {
                warn!("when keys were used is not noted: {}", Failure::from(cause));
            }
            sleep(NOTE_INTERVAL).await;
        }
    }
}

impl Snapshot {
    fn find(&self, hash: &Hash) -> Option<Arc<Key>> {
        let key = self.keys.as_ref()?.get(hash)?;
        key.expires_at.is_none_or(|at| Timestamp::now() < at).then(|| key.clone())
    }
}

fn known(row: LiveKey) -> Option<(Hash, Arc<Key>)> {
    let scope = |name: &String| Scope::from_str(name, false).ok();
    let hash = row.sha256.try_into().ok()?;
    let key = Key {
        hash,
        id: Some(row.api_key_id),
        // Another version may know more of them.
        scopes: row.scopes.iter().filter_map(scope).collect(),
        organizations: row.organizations,
        expires_at: row.expires_at,
    };
    Some((hash, Arc::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_memory_ends_when_it_expires() {
        let key = |expires_at| {
            Arc::new(Key {
                hash: [0; 32],
                id: None,
                scopes: vec![Scope::Read],
                organizations: None,
                expires_at: Some(Timestamp(
                    Timestamp::now().0 + chrono::TimeDelta::hours(expires_at),
                )),
            })
        };
        let keys = Some(HashMap::from([([1; 32], key(1)), ([2; 32], key(-1))]));
        let snapshot = Snapshot { began_at: Instant::now(), keys };
        let is_found = [1, 2, 3].map(|n| snapshot.find(&[n; 32]).is_some());
        assert_eq!(is_found, [true, false, false]);
    }
}
