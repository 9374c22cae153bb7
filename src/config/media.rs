//! Which files of messages are copied, and where to.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use axum::http::Uri;
use axum::http::uri::Authority;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::bounds::{Integer, Milliseconds};
use super::source;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pub folder: PathBuf,
    pub bucket: BucketName,
    pub endpoint: Endpoint,
    pub region: Region,
    pub access_key_id: AccessKeyId,
    pub secret_access_key: SecretString,
    pub path_style: bool,
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
    /// The folder; `None` if there is none.
    pub fn folder(&self) -> Option<&Path> {
        (!self.folder.as_os_str().is_empty()).then_some(self.folder.as_path())
    }

    /// Name of the bucket; `None` if there is none.
    pub fn bucket(&self) -> Option<&str> {
        (!self.bucket.0.is_empty()).then_some(self.bucket.0.as_str())
    }

    /// Address of the bucket, to which names of objects are appended: `https://host/bucket/` or
    /// `https://bucket.host/`; `None` if there is none.
    pub fn bucket_address(&self) -> Option<Uri> {
        let bucket = self.bucket()?;
        let amazon = || ("https".to_owned(), format!("s3.{}.amazonaws.com", self.region.0));
        let (scheme, server) = self.endpoint.0.clone().unwrap_or_else(amazon);
        let address = match self.path_style {
            true => format!("{scheme}://{server}/{bucket}/"),
            false => format!("{scheme}://{bucket}.{server}/"),
        };
        address.parse().ok()
    }

    /// Checks that there is one storage, and that the settings of a bucket are complete.
    pub fn check(&self) -> anyhow::Result<()> {
        let has_key = !self.access_key_id.0.is_empty();
        let has_secret = !self.secret_access_key.expose_secret().is_empty();
        if self.bucket().is_none() {
            ensure!(
                self.endpoint.0.is_none() && !has_key && !has_secret,
                "media.bucket: not set, but media.endpoint, media.access_key_id or \
                 media.secret_access_key is; set it, or remove them"
            );
            return Ok(());
        }
        ensure!(
            self.folder().is_none(),
            "media.bucket: is set, and media.folder too; files are copied to one place, so remove one of \
             them"
        );
        ensure!(has_key, "media.access_key_id: not set; media.bucket needs it");
        ensure!(has_secret, "media.secret_access_key: not set; media.bucket needs it");
        ensure!(
            self.path_style || !self.endpoint.is_ip(),
            "media.path_style: must be true, because media.endpoint is an IP address"
        );
        ensure!(
            self.bucket_address().is_some(),
            "media.bucket: is no URL together with media.endpoint or media.region; correct them"
        );
        Ok(())
    }
}

/// Name of a bucket; may be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct BucketName(String);

impl TryFrom<String> for BucketName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match text.chars().all(is_allowed) {
            true => Ok(Self(text)),
            false => Err("expected the name of a bucket: letters, digits, hyphens and dots"),
        }
    }
}

/// Region of a bucket.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(String);

impl Region {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Region {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match !text.is_empty() && text.chars().all(is_allowed) {
            true => Ok(Self(text)),
            false => Err("expected a region such as us-east-1: letters, digits and hyphens"),
        }
    }
}

/// Id of a key, which the header `Authorization` can contain; may be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct AccessKeyId(String);

impl AccessKeyId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.chars().all(|c| c.is_ascii_graphic() && !",/".contains(c)) {
            true => Ok(Self(text)),
            false => Err("expected ASCII without spaces, commas and slashes"),
        }
    }
}

/// Scheme and authority of a server; may be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Option<(String, String)>);

impl Endpoint {
    /// Whether its host is an IP address, which has no subdomains.
    fn is_ip(&self) -> bool {
        let authority = self.0.as_ref().and_then(|(_, it)| it.parse::<Authority>().ok());
        authority.is_some_and(|it| it.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
    }
}

impl TryFrom<String> for Endpoint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let uri: Option<Uri> = text.parse().ok();
        let uri = uri.filter(|uri| uri.path() == "/" && uri.query().is_none());
        let parts = uri.as_ref().and_then(|uri| uri.scheme_str().zip(uri.authority()));
        match parts {
            Some((scheme @ ("http" | "https"), authority)) if !authority.as_str().contains('@') => {
                Ok(Self(Some((scheme.to_owned(), authority.to_string()))))
            }
            _ => Err("expected an address without a path, such as http://minio:9000"),
        }
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

    #[test]
    fn endpoints_are_addresses_without_a_path() {
        let endpoint = |text: &str| Endpoint::try_from(text.to_owned()).map(|it| it.0);
        assert_eq!(endpoint(""), Ok(None));
        let expected = Some(("http".to_owned(), "minio:9000".to_owned()));
        assert_eq!(endpoint("http://minio:9000/"), Ok(expected));
        for wrong in
            ["minio:9000", "https://a.example/bucket", "https://k:s@a.example", "s3://copies"]
        {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
