//! Webhook endpoints and their tokens.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::source;

/// Endpoints by name.
pub type Endpoints = BTreeMap<String, Endpoint>;

/// Webhook URLs of one sender.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Accepted tokens.
    #[serde(deserialize_with = "tokens")]
    pub tokens: Vec<SecretString>,
    /// Organisation of bodies that name none.
    #[serde(default)]
    pub organization_id: Option<String>,
}

/// Reads tokens that are hard to guess and need no escaping in a URL.
fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretString>, D::Error> {
    let tokens: Vec<SecretString> = source::list(deserializer)?;
    let is_valid = |token: &SecretString| {
        let token = token.expose_secret();
        token.len() >= 16 && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
    };
    if tokens.iter().all(is_valid) {
        Ok(tokens)
    } else {
        Err(D::Error::custom(
            "expected tokens of at least 16 characters of A-Z a-z 0-9 - _ . ~; \
             create one with `openssl rand -hex 32`",
        ))
    }
}
