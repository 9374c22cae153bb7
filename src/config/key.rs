//! API keys in the settings, and the scopes of all keys.

use clap::ValueEnum;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use utoipa::ToSchema;

use super::source;

/// SHA-256 of the empty text: what a script makes of a variable that is not set.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A key of the read API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the key, 64 hex digits.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// Permissions.
    #[serde(deserialize_with = "scopes")]
    pub scopes: Vec<Scope>,
    /// Ids of the organisations that the key may read; `*` for all.
    #[serde(deserialize_with = "organizations")]
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
#[value(rename_all = "snake_case")]
pub enum Scope {
    /// Read all data of the key's organisations.
    Read,
    /// Read all data of the key's organisations, without texts and names, and with masked phone numbers.
    ReadMasked,
    /// Export whole lists as CSV or NDJSON.
    Export,
    /// Replay events.
    Replay,
    /// Create templates and contact lists at Qontak.
    Write,
}

impl Scope {
    /// Name in settings, commands and the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let digits = String::deserialize(deserializer)?;
    if digits.len() != 64 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        Err(D::Error::custom("expected 64 hex digits, as of `printf %s \"$key\" | sha256sum`"))
    } else if digits.eq_ignore_ascii_case(SHA256_OF_NOTHING) {
        Err(D::Error::custom("is that of an empty text; expected that of a key"))
    } else {
        Ok(digits)
    }
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Scope>, D::Error> {
    let scopes: Vec<Scope> = source::list(deserializer)?;
    if scopes.is_empty() {
        Err(D::Error::custom("expected one or more of read, read_masked, export, replay, write"))
    } else if scopes.contains(&Scope::Export) && !scopes.contains(&Scope::Read) {
        Err(D::Error::custom("export requires read; expected read,export"))
    } else if scopes.contains(&Scope::ReadMasked) && scopes.contains(&Scope::Read) {
        Err(D::Error::custom("read shows what read_masked hides; expected one of them"))
    } else {
        Ok(scopes)
    }
}

fn organizations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let organizations: Vec<String> = source::list(deserializer)?;
    if organizations.is_empty() {
        return Err(D::Error::custom("expected ids of organisations, or * for all"));
    }
    Ok(organizations)
}
