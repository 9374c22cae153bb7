//! Access to Qontak's own API, and what is expected of the webhooks registered there.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use axum::http::Uri;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use strum::VariantNames;

use super::bounds::Milliseconds;
use super::source;

/// Organisations by name.
pub type Qontaks = BTreeMap<String, Qontak>;

/// One organisation at Qontak.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qontak {
    #[serde(default)]
    pub auth: Auth,
    #[serde(default)]
    pub base_url: Option<ServerUrl>,
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub client_secret: Option<SecretString>,
    #[serde(default)]
    pub access_token: Option<SecretString>,
    #[serde(default)]
    pub refresh_token: Option<SecretString>,
    #[serde(default)]
    pub organization_id: Option<String>,
    #[serde(default)]
    pub webhook_url: Option<WebhookUrl>,
    #[serde(default = "HookEvent::defaults", deserialize_with = "source::list")]
    pub events: Vec<HookEvent>,
}

impl Qontak {
    /// Checks that the credentials of the chosen scheme are complete.
    pub fn check(&self, name: &str, has_encryption_key: bool) -> anyhow::Result<()> {
        let is_set = |secret: &Option<SecretString>| secret.is_some();
        let missing = |setting: &str| format!("qontak.{name}.{setting}: not set");
        let is_refreshed = is_set(&self.refresh_token);
        match self.auth {
            Auth::Hmac => ensure!(
                self.access_token.is_none() && !is_refreshed,
                "qontak.{name}.auth: must be bearer if a token is set"
            ),
            Auth::Bearer => {
                ensure!(
                    is_refreshed || is_set(&self.access_token),
                    "{}; set it to a refresh token of Qontak",
                    missing("refresh_token")
                );
                ensure!(
                    !is_refreshed || has_encryption_key,
                    "database.encryption_key: not set; qontak.{name}.refresh_token needs it, \
                     because refreshed tokens are stored encrypted; create one with \
                     `openssl rand -hex 32`"
                );
            }
        }
        if self.auth == Auth::Hmac || is_refreshed {
            ensure!(self.client_id.is_some(), "{}", missing("client_id"));
            ensure!(is_set(&self.client_secret), "{}", missing("client_secret"));
        }
        Ok(())
    }

    /// Address of the API; without the setting, Qontak's for the scheme.
    pub fn server(&self) -> &str {
        let default = match self.auth {
            Auth::Bearer => "https://service-chat.qontak.com",
            Auth::Hmac => "https://api.mekari.com",
        };
        self.base_url.as_ref().map_or(default, |url| &url.0)
    }
}

/// How requests are authenticated.
// Not an enum for serde, as `LogFormat`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, strum::EnumString, strum::VariantNames,
)]
#[serde(try_from = "String")]
#[strum(serialize_all = "lowercase")]
pub enum Auth {
    /// Mekari's HMAC signature.
    #[default]
    Hmac,
    /// Qontak's bearer token.
    Bearer,
}

impl TryFrom<String> for Auth {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse().map_err(|_| format!("expected {}", Self::VARIANTS.join(" or ")))
    }
}

/// An event that can be switched on at Qontak.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(try_from = "String")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "these are Qontak's names")]
pub enum HookEvent {
    ReceiveMessageFromCustomer,
    ReceiveMessageFromAgent,
    StatusMessage,
    BroadcastLogStatus,
    RoomCreated,
    RoomResolved,
    StatusTemplate,
}

impl HookEvent {
    /// All events that a documented call can switch on.
    fn defaults() -> Vec<Self> {
        vec![
            Self::ReceiveMessageFromCustomer,
            Self::ReceiveMessageFromAgent,
            Self::StatusMessage,
            Self::BroadcastLogStatus,
            Self::RoomResolved,
            Self::StatusTemplate,
        ]
    }

    /// Qontak's name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl TryFrom<String> for HookEvent {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse().map_err(|_| format!("expected events of {}", Self::VARIANTS.join(", ")))
    }
}

/// Address of a server, `https://host`, without a path. `http` only on this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerUrl(pub String);

impl TryFrom<String> for ServerUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.trim_end_matches('/');
        let uri: Option<Uri> = text.parse().ok();
        let is_server =
            uri.is_some_and(|uri| is_safe(&uri) && uri.path() == "/" && uri.query().is_none());
        if is_server {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected https://host, without a path")
        }
    }
}

/// Public URL of an endpoint of this service. A secret, because it contains a token.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookUrl(SecretString);

impl WebhookUrl {
    /// The URL with its token.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for WebhookUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = text.parse::<Uri>().ok().filter(is_safe);
        match uri {
            Some(uri) if uri.path().len() > 1 && uri.query().is_none() => Ok(Self(text.into())),
            _ => Err("expected https://host/webhooks/qontak/TOKEN"),
        }
    }
}

/// Whether nobody else on the network can read what is sent there.
pub(super) fn is_safe(uri: &Uri) -> bool {
    let is_local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    !has_user && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_local)
}

/// How the service keeps its registration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub repair: bool,
}

/// When the service reads from Qontak's API what webhooks did not bring.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    pub auto: bool,
    #[serde(with = "Milliseconds::<1000, 86_400_000>")]
    pub gap: Duration,
}

/// How often the service reads names from Qontak's API.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    #[serde(with = "Milliseconds::<1000, 86_400_000>")]
    pub interval: Duration,
}

/// How often the service compares Qontak's settings with what it expects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    #[serde(with = "Milliseconds::<1000, 86_400_000>")]
    pub interval: Duration,
    #[serde(default)]
    pub status_page: StatusPage,
}

/// Address of a status page; none if empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct StatusPage(pub Option<String>);

impl TryFrom<String> for StatusPage {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        ServerUrl::try_from(text).map(|url| Self(Some(url.0)))
    }
}
