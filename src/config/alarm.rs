//! When the service reports problems, and to whom.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::fmt;
use std::time::Duration;

use axum::http::Uri;
use chrono::NaiveDate;
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use strum::VariantNames;

use super::bounds::{Integer, Milliseconds};
use super::qontak::is_safe;
use super::section::StrongSecret;
use super::source;

/// When something is a problem.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    #[serde(with = "Milliseconds::<1000, 600_000>")]
    pub interval: Duration,
    pub silence: bool,
    pub time_zone: Zone,
    #[serde(deserialize_with = "source::list")]
    pub holidays: Vec<Holiday>,
    #[serde(with = "Integer::<2, 26>")]
    pub weeks: u32,
    #[serde(with = "Milliseconds::<60_000, 86_400_000>")]
    pub min_silence: Duration,
    #[serde(with = "Integer::<1, { 1 << 30 }>")]
    pub quarantined: u32,
}

/// A time zone by its IANA name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(pub Tz);

impl TryFrom<String> for Zone {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse().map(Self).map_err(|_| "expected an IANA time zone such as Asia/Jakarta")
    }
}

/// A day without the usual traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Holiday(pub NaiveDate);

impl TryFrom<String> for Holiday {
    type Error = &'static str;

    fn try_from(day: String) -> Result<Self, Self::Error> {
        day.parse().map(Self).map_err(|_| "expected dates such as 2027-03-10")
    }
}

/// Receiver of notifications.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    #[serde(default)]
    pub url: Option<NotifyUrl>,
    pub format: NotifyFormat,
    #[serde(default)]
    pub secret: Option<StrongSecret>,
    #[serde(with = "Milliseconds::<1000, 86_400_000>")]
    pub cool_down: Duration,
    #[serde(with = "Milliseconds::<1, 60_000>")]
    pub timeout: Duration,
}

/// Address of a webhook of somebody else. A secret, because its path often is one.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct NotifyUrl(SecretString);

impl NotifyUrl {
    /// The address.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl TryFrom<String> for NotifyUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse::<Uri>().ok().filter(is_safe) {
            Some(_) => Ok(Self(text.into())),
            None => Err("expected https://host/path"),
        }
    }
}

/// Body of a notification.
// Not an enum for serde, as `LogFormat`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::EnumString, strum::VariantNames,
)]
#[serde(try_from = "String")]
#[strum(serialize_all = "lowercase")]
pub enum NotifyFormat {
    /// An object with the list of problems.
    Json,
    /// `{"text": "…"}`, as Slack, Mattermost and Google Chat take it.
    Slack,
}

impl TryFrom<String> for NotifyFormat {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse().map_err(|_| format!("expected {}", Self::VARIANTS.join(" or ")))
    }
}
