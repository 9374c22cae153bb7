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
pub struct Keys(HashMap<[u8; 32], Key>);

#[derive(Debug)]
struct Key {
    scopes: Vec<Scope>,
    organizations: Option<Arc<[String]>>,
}

impl Keys {
    /// Takes the keys of the configuration.
    pub fn new(settings: &BTreeMap<String, config::Key>) -> Self {
        let keys = settings.values().filter_map(|key| {
            let sees_all = key.organizations.iter().any(|organization| organization == "*");
            let organizations = (!sees_all).then(|| key.organizations.clone().into());
            Some((digest(&key.sha256)?, Key { scopes: key.scopes.clone(), organizations }))
        });
        Self(keys.collect())
    }
}

/// A caller whose key may read.
///
/// Only this extractor makes one, and every question to the store wants to know the
/// organisations, so a handler cannot forget to check.
#[derive(Debug)]
pub struct Reader {
    organizations: Option<Arc<[String]>>,
}

impl Reader {
    /// The organisations whose data it may see; `None` for all.
    pub fn organizations(&self) -> Option<&[String]> {
        self.organizations.as_deref()
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        Self::with_scope(parts, app, Scope::Read)
    }
}

/// A caller whose key may have events read again.
#[derive(Debug)]
pub struct Replayer(pub Reader);

impl FromRequestParts<App> for Replayer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        Reader::with_scope(parts, app, Scope::Replay).map(Self)
    }
}

impl Reader {
    fn with_scope(parts: &Parts, app: &App, scope: Scope) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized);
        }
        // Looking a hash up is not constant in time, but tells nothing about the key.
        let digest: [u8; 32] = Sha256::digest(sent.trim()).into();
        let key = app.keys.0.get(&digest).ok_or(Error::Unauthorized)?;
        if !key.scopes.contains(&scope) {
            return Err(Error::Forbidden(scope.as_str()));
        }
        Ok(Self { organizations: key.organizations.clone() })
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
