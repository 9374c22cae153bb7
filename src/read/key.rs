//! Who may read what.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::config::{self, Scope};
use crate::http::Error;

/// The keys of the read API, by the SHA-256 of the key. The keys themselves are nowhere.
#[derive(Debug)]
pub struct Keys(HashMap<[u8; 32], Arc<Key>>);

#[derive(Debug)]
struct Key {
    scopes: Vec<Scope>,
    organizations: Option<Vec<String>>,
}

impl Keys {
    /// Takes the keys of the configuration.
    pub fn new(settings: &BTreeMap<String, config::Key>) -> Self {
        let keys = settings.values().filter_map(|key| {
            let sees_all = key.organizations.iter().any(|organization| organization == "*");
            let organizations = (!sees_all).then(|| key.organizations.clone());
            let known = Key { scopes: key.scopes.clone(), organizations };
            Some((digest(&key.sha256)?, Arc::new(known)))
        });
        Self(keys.collect())
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
    fn with_key(parts: &Parts, app: &App) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized);
        }
        // Looking a hash up is not constant in time, but tells nothing about the key.
        let digest: [u8; 32] = Sha256::digest(sent.trim()).into();
        app.keys.0.get(&digest).cloned().map(Self).ok_or(Error::Unauthorized)
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let reader = Self::with_key(parts, app)?;
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
        let reader = Reader::with_key(parts, app)?;
        reader.require(Scope::Replay)?;
        Ok(Self(reader))
    }
}

/// 64 hex digits as bytes.
fn digest(hex: &str) -> Option<[u8; 32]> {
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
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(digest(hash), Some(Sha256::digest("hello").into()));
        assert_eq!(digest("2cf2"), None);
    }
}
