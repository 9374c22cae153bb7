//! Endpoints with their tokens, and the limits on request bodies.
//!
//! Tokens are compared as hashes, in constant time.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::Semaphore;

use super::large::LargeBodies;
use crate::config;

/// Limits on request bodies.
#[derive(Debug)]
pub struct Limits {
    /// Maximum size, as sent and after decompression.
    pub max_body_bytes: usize,
    /// Maximum time to receive a body.
    pub body_timeout: Duration,
    /// Bytes available to all bodies being read.
    pub body_bytes: Semaphore,
    /// The share of large bodies.
    pub large: LargeBodies,
}

impl Limits {
    /// Takes the limits from the settings. `write_timeout` is the time in which the writer replies.
    pub fn new(settings: &config::Http, write_timeout: Duration) -> Self {
        Self {
            max_body_bytes: settings.max_body_bytes,
            body_timeout: settings.body_timeout,
            body_bytes: Semaphore::new(settings.max_reading_bytes),
            large: LargeBodies::new(
                (settings.max_reading_bytes / 4).max(settings.max_body_bytes),
                write_timeout,
            ),
        }
    }
}

/// The endpoints and their tokens.
#[derive(Debug)]
pub struct Endpoints(Vec<TokenDigest>);

#[derive(Debug)]
struct TokenDigest {
    /// SHA-256 of the token. Digests have equal length, so a comparison does not reveal the
    /// token's length.
    digest: [u8; 32],
    endpoint: Arc<Endpoint>,
}

/// A webhook URL for one sender.
#[derive(Debug)]
pub struct Endpoint {
    /// Name in the settings.
    pub name: Arc<str>,
    /// Organisation of events whose body contains none.
    pub organization_id: Option<Arc<str>>,
}

impl Endpoints {
    /// Hashes all tokens of the settings.
    pub fn new(endpoints: &config::Endpoints) -> Self {
        let endpoints = endpoints.iter().flat_map(|(name, settings)| {
            let endpoint = Arc::new(Endpoint {
                name: name.as_str().into(),
                organization_id: settings.organization_id.as_deref().map(Arc::from),
            });
            settings.tokens.iter().map(move |token| TokenDigest {
                digest: Sha256::digest(token.expose_secret()).into(),
                endpoint: endpoint.clone(),
            })
        });
        Self(endpoints.collect())
    }

    /// The endpoint with this token. Takes the same time for every token, valid or not.
    pub fn find(&self, token: &str) -> Option<&Endpoint> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut index) = (Choice::from(0), 0_u64);
        for (token, i) in self.0.iter().zip(0_u64..) {
            let same = token.digest.ct_eq(&digest);
            index.conditional_assign(&i, same);
            found |= same;
        }
        let index = usize::try_from(index).expect("an index of a Vec");
        bool::from(found).then(|| &*self.0[index].endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Endpoints {
        let endpoint = |tokens: &[&str]| config::Endpoint {
            tokens: tokens.iter().map(|token| (*token).into()).collect(),
            organization_id: None,
        };
        let endpoints = [("a", endpoint(&["one", "two"])), ("b", endpoint(&["three"]))];
        Endpoints::new(&endpoints.map(|(name, settings)| (name.to_owned(), settings)).into())
    }

    #[test]
    fn every_token_finds_its_endpoint() {
        let endpoints = endpoints();
        let found = |token| endpoints.find(token).map(|endpoint| &*endpoint.name);
        assert_eq!(found("one"), Some("a"));
        assert_eq!(found("two"), Some("a"));
        assert_eq!(found("three"), Some("b"));
    }

    #[test]
    fn other_texts_find_no_endpoint() {
        let endpoints = endpoints();
        for token in ["", "on", "one ", "ONE", "four"] {
            assert!(endpoints.find(token).is_none(), "{token}");
        }
    }
}
