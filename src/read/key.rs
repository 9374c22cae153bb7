//! Who may read what.

mod limit;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use self::limit::Limit;
use self::stored::StoredKeys;
use crate::config::{self, Scope};
use crate::http::Error;
use crate::model::Timestamp;

/// The SHA-256 of a key: all that is ever kept of it.
pub type Hash = [u8; 32];

/// How keys of the database begin; those of the settings are what somebody made up.
const PREFIX: &str = "qr_";

/// Makes a key of 256 random bits. Fails if the system has none.
pub fn generate() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    let digits: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{PREFIX}{digits}"))
}

/// The hash of a key.
pub fn hash(key: &str) -> Hash {
    Sha256::digest(key).into()
}

/// All keys of the read API: those of the settings, which need no database, and those in it.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    settings: HashMap<Hash, Arc<Key>>,
    stored: StoredKeys,
    limit: Option<Limit>,
}

/// A key and what it may do.
#[derive(Debug)]
pub struct Key {
    hash: Hash,
    /// Its id in the database; those of the settings have none.
    id: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Organisations it may see; `None` for all.
    pub organizations: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
}

impl Keys {
    /// Takes the keys of the settings, and looks for others in the database.
    pub fn new(keys: &BTreeMap<String, config::Key>, api: &config::Api, db: PgPool) -> Self {
        let settings = keys.values().filter_map(|key| {
            let scopes = key.scopes.clone();
            let organizations = key.organizations();
            let hash = digest(&key.sha256)?;
            let known = Key { hash, id: None, scopes, organizations, expires_at: None };
            Some((hash, Arc::new(known)))
        });
        Self(Arc::new(Inner {
            settings: settings.collect(),
            stored: StoredKeys::new(db),
            limit: Limit::new(api),
        }))
    }

    /// Writes down when keys were last used, as long as it is polled.
    pub async fn note_uses(&self) -> ! {
        self.0.stored.note_uses().await
    }

    /// Whether the key is still live, as far as can be told: while the database is
    /// away, it is.
    pub async fn know(&self, key: &Key) -> bool {
        let hash = &key.hash;
        self.0.settings.contains_key(hash) || !matches!(self.0.stored.find(hash).await, Ok(None))
    }

    /// The key that was sent, if it is live and does not ask too often.
    pub async fn admit(&self, sent: &str) -> Result<Arc<Key>, Error> {
        let keys = &*self.0;
        // Looking a hash up is not constant in time, but tells nothing about the key.
        let hash = hash(sent);
        let key = match keys.settings.get(&hash) {
            Some(key) => Some(key.clone()),
            None if sent.starts_with(PREFIX) => keys.stored.find(&hash).await?,
            None => None,
        };
        let key = key.ok_or(Error::UnknownKey)?;
        if let Some(limit) = &keys.limit {
            limit.count(&hash)?;
        }
        if let Some(id) = key.id {
            keys.stored.note_use(id);
        }
        Ok(key)
    }
}

/// 64 hex digits as bytes.
fn digest(hex: &str) -> Option<Hash> {
    let mut digest = [0; 32];
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_in_hex_is_that_hash() {
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(digest(hex), Some(hash("hello")));
        assert_eq!(digest("2cf2"), None);
    }
}
