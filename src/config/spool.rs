//! The spool: a folder on the local disk, a NATS cluster, or both.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::path::{Path, PathBuf};

use anyhow::ensure;
use axum::http::uri::Authority;
use secrecy::SecretString;
use serde::Deserialize;

use super::bounds::Integer;
use super::source;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    pub folder: PathBuf,
    #[serde(with = "Integer::<65536, { 1 << 40 }>")]
    pub max_bytes: u64,
    #[serde(deserialize_with = "source::list")]
    pub servers: Vec<NatsServer>,
    pub first: bool,
    #[serde(with = "Integer::<1, 16>")]
    pub streams: usize,
    pub stream_name: StreamName,
    #[serde(deserialize_with = "source::list")]
    pub monitors: Vec<Monitor>,
    pub ca_path: PathBuf,
    #[serde(default)]
    pub credentials: Option<SecretString>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Option<SecretString>,
}

impl Spool {
    /// The folder; `None` if none is configured.
    pub fn folder(&self) -> Option<&Path> {
        (!self.folder.as_os_str().is_empty()).then_some(self.folder.as_path())
    }

    /// File with root certificates of the servers; `None` for those of the system.
    pub fn ca_path(&self) -> Option<&Path> {
        (!self.ca_path.as_os_str().is_empty()).then_some(self.ca_path.as_path())
    }

    /// Number of places at which a webhook can wait.
    pub fn places(&self) -> u32 {
        u32::from(self.folder().is_some()) + u32::from(!self.servers.is_empty())
    }

    /// Checks settings that depend on each other.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.first || !self.servers.is_empty(),
            "spool.first: is set, but there is no NATS cluster; set spool.servers"
        );
        ensure!(
            self.user.is_some() == self.password.is_some(),
            "spool.user: needs spool.password, and the reverse; set both or none"
        );
        ensure!(
            self.user.is_none() || self.credentials.is_none(),
            "spool.credentials: is set, and spool.user too; remove one of them"
        );
        Ok(())
    }
}

/// Address of a NATS server: `nats://host:4222`, or `tls://host:4222` with encryption.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct NatsServer(pub String);

impl TryFrom<String> for NatsServer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let host = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://"));
        // Without a password, because it would be logged.
        let is_host = |host: &str| host.parse::<Authority>().is_ok() && !host.contains('@');
        match host.is_some_and(is_host) {
            true => Ok(Self(text)),
            false => {
                Err("expected addresses such as nats://a.example:4222 or tls://a.example:4222, \
                          without a user or password")
            }
        }
    }
}

/// Monitoring port of a NATS server: host and port of `http://host:8222`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Monitor(pub String);

impl TryFrom<String> for Monitor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let host = text.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
        let authority = host.and_then(|host| host.parse::<Authority>().ok());
        match authority.filter(|authority| authority.port().is_some()) {
            Some(authority) => Ok(Self(authority.to_string())),
            None => Err("expected URLs such as http://a.example:8222"),
        }
    }
}

/// Name of the streams, without their numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct StreamName(pub String);

impl TryFrom<String> for StreamName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match !text.is_empty() && text.len() <= 200 && text.chars().all(is_allowed) {
            true => Ok(Self(text)),
            false => Err("expected 1 to 200 characters of A-Z a-z 0-9 - _"),
        }
    }
}
