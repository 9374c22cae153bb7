//! Which files of messages are copied, and where to.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::uri::Authority;
use serde::Deserialize;

use super::bounds::{Integer, Milliseconds};
use super::source;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pub folder: PathBuf,
    #[serde(with = "Integer::<1, { 2 << 30 }>")]
    pub max_bytes: u64,
    #[serde(deserialize_with = "source::list")]
    pub types: Vec<TypePattern>,
    #[serde(deserialize_with = "source::list")]
    pub hosts: Vec<Host>,
    #[serde(with = "Milliseconds::<1000, 3_600_000>")]
    pub timeout: Duration,
    pub allow_loopback: bool,
}

impl Media {
    /// The folder; `None` if files are not copied.
    pub fn folder(&self) -> Option<&Path> {
        (!self.folder.as_os_str().is_empty()).then_some(self.folder.as_path())
    }
}

/// A media type, or the begin of several: `application/pdf`, `image/*`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TypePattern(String);

impl TypePattern {
    /// Whether a media type, in lower case and without parameters, is one of these.
    pub fn matches(&self, media_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => media_type.starts_with(start),
            None => media_type == self.0,
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+/".contains(c);
        let start = text.strip_suffix('*').unwrap_or(&text);
        if start.contains('/') && start.chars().all(is_allowed) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err("expected media types such as image/* or application/pdf")
    }
}

/// Name of a host.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(String);

impl Host {
    /// Whether a host is this one, or a subdomain of it.
    pub fn contains(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        host == self.0 || host.strip_suffix(&self.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl TryFrom<String> for Host {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let authority = text.parse::<Authority>().ok();
        match authority.filter(|authority| authority.host() == text) {
            Some(_) => Ok(Self(text.to_ascii_lowercase())),
            None => Err("expected names of hosts such as qontak.com, without a port"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_contain_their_subdomains_and_no_others() {
        let host = Host::try_from("Qontak.com".to_owned()).unwrap();
        assert!(host.contains("qontak.com") && host.contains("cdn.QONTAK.com"));
        assert!(!host.contains("notqontak.com") && !host.contains("qontak.com.example"));
    }

    #[test]
    fn patterns_match_one_type_or_a_group() {
        let pattern = |text: &str| TypePattern::try_from(text.to_owned()).unwrap();
        assert!(pattern("image/*").matches("image/png") && !pattern("image/*").matches("imagex/y"));
        assert!(pattern("application/PDF").matches("application/pdf"));
        assert!(!pattern("application/pdf").matches("application/pdf2"));
        assert!(TypePattern::try_from("*".to_owned()).is_err());
        assert!(Host::try_from("a.example:80".to_owned()).is_err());
    }
}
