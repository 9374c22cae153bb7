//! Who may read what.

mod limit;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use self::limit::Limit;
use self::stored::StoredKeys;
use crate::app::App;
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

#[derive(Debug)]
struct Key {
    hash: Hash,
    /// Its id in the database; those of the settings have none.
    id: Option<Uuid>,
    scopes: Vec<Scope>,
    organizations: Option<Vec<String>>,
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

    /// Whether the key of this reader is still live, as far as can be told: while the database is
    /// away, it is.
    pub async fn know(&self, reader: &Reader) -> bool {
        let hash = &reader.0.hash;
        self.0.settings.contains_key(hash) || !matches!(self.0.stored.find(hash).await, Ok(None))
    }

    /// The key that was sent, if it is live and does not ask too often.
    async fn admit(&self, sent: &str) -> Result<Arc<Key>, Error> {
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

/// A caller whose key may read.
///
/// Only this extractor makes one, and every question to the store wants to know the
/// organisations, so a handler cannot forget to check.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Key>);

impl Reader {
    /// The organisations whose data it may see; `None` for all.
    pub fn organizations(&self) -> Option<&[String]> {
        self.0.organizations.as_deref()
    }

    /// Refuses what its key may not do, with a 403 that names the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        let may = self.0.scopes.contains(&scope);
        may.then_some(()).ok_or(Error::Forbidden(scope.as_str()))
    }

    /// Whoever sends a key that is known, whatever it may do.
    async fn with_key(parts: &Parts, app: &App) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized);
        }
        app.keys.admit(sent.trim()).await.map(Self)
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let reader = Self::with_key(parts, app).await?;
        reader.require(Scope::Read)?;
        Ok(reader)
    }
}

/// A caller whose key may have events read again.
#[derive(Debug)]
pub struct Replayer(pub Reader);

impl FromRequestParts<App> for Replayer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let reader = Reader::with_key(parts, app).await?;
        reader.require(Scope::Replay)?;
        Ok(Self(reader))
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
