//! API keys in the settings, and the scopes of all keys.

use clap::ValueEnum;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use utoipa::ToSchema;

use super::source;

/// A key of the read API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the key, 64 hex digits.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// Permissions.
    #[serde(deserialize_with = "source::list")]
    pub scopes: Vec<Scope>,
    /// Ids of the organisations that the key may read; `*` for all.
    #[serde(deserialize_with = "source::list")]
    pub organizations: Vec<String>,
}

impl Key {
    /// The organisations that the key may read; `None` for all.
    pub fn organizations(&self) -> Option<Vec<String>> {
        unless_all(&self.organizations)
    }
}

/// The given organisations; `None` if `*`, which stands for all, is among them.
pub fn unless_all(organizations: &[String]) -> Option<Vec<String>> {
    let is_all = organizations.iter().any(|organization| organization == "*");
    (!is_all).then(|| organizations.to_owned())
}

/// Permission of a key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum, strum::IntoStaticStr, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// Read all data of the key's organisations.
    Read,
    /// Export whole lists as CSV or NDJSON.
    Export,
    /// Replay events.
    Replay,
}

impl Scope {
    /// Name in settings, commands and the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let digits = String::deserialize(deserializer)?;
    if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(D::Error::custom("expected 64 hex digits, as of `printf %s \"$key\" | sha256sum`"))
    }
}
