//! Endpoints with their tokens, and the limits on request bodies.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::Semaphore;

use crate::config;

/// What a body may cost.
#[derive(Debug)]
pub struct Limits {
    /// The most bytes, as sent and after inflating.
    pub max_body_bytes: usize,
    /// The longest time from the first to the last byte.
    pub body_timeout: Duration,
    /// The bytes that all bodies being read may hold together.
    pub reading: Semaphore,
}

impl Limits {
    /// Takes the limits from the settings.
    pub fn new(settings: &config::Http) -> Self {
        Self {
            max_body_bytes: settings.max_body_bytes,
            body_timeout: settings.body_timeout,
            reading: Semaphore::new(settings.max_reading_bytes),
        }
    }
}

/// The endpoints and their tokens.
#[derive(Debug)]
pub struct Endpoints(Vec<TokenDigest>);

#[derive(Debug)]
struct TokenDigest {
    /// Of the token: hashes have one length, so comparing them tells nothing about it.
    digest: [u8; 32],
    endpoint: Arc<Endpoint>,
}

/// A token for one sender.
#[derive(Debug)]
pub struct Endpoint {
    /// Name in the settings.
    pub name: Arc<str>,
    /// Organisation of bodies that name none.
    pub organization_id: Option<Arc<str>>,
}

impl Endpoints {
    /// One token per live token.
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

    /// The endpoint whose live token this is. Takes the same time whichever it is, or none.
    pub fn open(&self, token: &str) -> Option<&Endpoint> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut index) = (Choice::from(0), 0_u64);
        for (token, i) in self.0.iter().zip(0_u64..) {
            let same = token.digest.ct_eq(&digest);
            index.conditional_assign(&i, same);
            found |= same;
        }
        let index = usize::try_from(index).expect("it was an index of a Vec");
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
    fn every_live_token_opens_the_door_of_its_endpoint() {
        let endpoints = endpoints();
        let opened = |token| endpoints.open(token).map(|endpoint| &*endpoint.name);
        assert_eq!(opened("one"), Some("a"));
        assert_eq!(opened("two"), Some("a"));
        assert_eq!(opened("three"), Some("b"));
    }

    #[test]
    fn no_other_text_opens_a_door() {
        let endpoints = endpoints();
        for token in ["", "on", "one ", "ONE", "four"] {
            assert!(endpoints.open(token).is_none(), "{token}");
        }
    }
}
