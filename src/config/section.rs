//! Sections of the settings, with the range of each value. `config/default.toml` documents them.
#![expect(missing_docs, reason = "config/default.toml documents each setting")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::uri::Authority;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use strum::VariantNames;
use tracing_subscriber::EnvFilter;

use super::bounds::{Integer, Milliseconds};
use super::servers::{self, Primary};
use super::source;

type Count = Integer<1, { 1 << 30 }>;
type Days = Integer<1, 3650>;
/// Days; 0 for ever.
type Age = Integer<0, 3650>;
type Hour = Integer<0, 24>;
/// 1 ms to 1 hour.
type Timeout = Milliseconds<1, 3_600_000>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    #[serde(deserialize_with = "source::address")]
    pub listen: SocketAddr,
    #[serde(with = "Count")]
    pub max_connections: usize,
    #[serde(with = "Timeout")]
    pub header_timeout: Duration,
    #[serde(with = "Timeout")]
    pub idle_timeout: Duration,
    #[serde(with = "Count")]
    pub max_body_bytes: usize,
    #[serde(with = "Timeout")]
    pub body_timeout: Duration,
    #[serde(with = "Count")]
    pub max_reading_bytes: usize,
    // At most an hour.
    #[serde(with = "Milliseconds::<0, 3_600_000>")]
    pub drain_delay: Duration,
    #[serde(with = "Timeout")]
    pub stop_timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    #[serde(deserialize_with = "source::optional_address")]
    pub listen: Option<SocketAddr>,
    #[serde(deserialize_with = "source::list")]
    pub cors_origins: Vec<Origin>,
    #[serde(with = "Integer::<0, { u32::MAX as u64 }>")]
    pub requests_per_second: u32,
    #[serde(with = "Count")]
    pub burst: u32,
    pub write: bool,
    #[serde(default)]
    pub hmac_secret: Option<StrongSecret>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    pub enabled: bool,
    #[serde(default)]
    pub session_key: Option<StrongSecret>,
    // 1 minute to 90 days.
    #[serde(with = "Milliseconds::<60_000, { 90 * 86_400_000 }>")]
    pub session_lifetime: Duration,
    pub demo: bool,
    pub currency: String,
    /// By category, in lower case.
    pub price: BTreeMap<String, f64>,
}

/// Secret from which keys are derived.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct StrongSecret(pub SecretString);

impl TryFrom<String> for StrongSecret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() < 32 {
            return Err("expected at least 32 characters; create them with `openssl rand -hex 32`");
        }
        Ok(Self(text.into()))
    }
}

/// Origin of a browser page: scheme and host, with the port unless it is the default one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(pub HeaderValue);

impl TryFrom<String> for Origin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // Browsers send the origin in lower case, and the comparison is case-sensitive.
        let is_host = |host: &str| host.parse::<Authority>().is_ok() && host == host.to_lowercase();
        let origin = host.filter(|host| is_host(host)).and_then(|_| text.parse().ok());
        origin.map(Self).ok_or("expected origins such as https://dashboard.example.com")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    #[serde(deserialize_with = "source::address")]
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: Option<SecretString>,
    #[serde(with = "Count")]
    pub read_connections: u32,
    #[serde(with = "Timeout")]
    pub acquire_timeout: Duration,
    #[serde(with = "Timeout")]
    pub statement_timeout: Duration,
    pub migrate: bool,
    #[serde(default)]
    pub read_url: Option<SecretString>,
    #[serde(with = "Timeout")]
    pub max_read_lag: Duration,
    #[serde(default)]
    pub encryption_key: Option<StrongSecret>,
    /// Which of the servers of `url` is used.
    #[serde(skip)]
    pub primary: Primary,
}

impl Database {
    /// The servers of `url`, in its order. The URL was checked when it was read.
    pub fn servers(&self) -> Vec<PgConnectOptions> {
        let url = self.url.as_ref().map_or("", |url| url.expose_secret());
        servers::parse(url).unwrap_or_default()
    }

    /// The settings of the hot standby to read from; `None` if none is configured.
    pub fn of_replica(&self) -> Option<Self> {
        self.read_url.clone().map(|url| Self {
            url: Some(url),
            primary: Primary::default(),
            ..self.clone()
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    #[serde(with = "Count")]
    pub tasks: u32,
    #[serde(with = "Count")]
    pub max_batch: usize,
    #[serde(with = "Count")]
    pub max_queue_bytes: usize,
    #[serde(with = "Timeout")]
    pub answer_timeout: Duration,
    #[serde(with = "Timeout")]
    pub commit_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    #[serde(with = "Integer::<0, { 1 << 20 }>")]
    pub max_listeners: usize,
    #[serde(with = "Count")]
    pub max_behind: usize,
    #[serde(with = "Timeout")]
    pub heartbeat: Duration,
    #[serde(with = "Milliseconds::<60_000, { 3650 * 86_400_000 }>")]
    pub keep: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub enabled: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "Days")]
    pub event_days: u64,
    // At least 1: partitions are created once an hour, so a day's must exist before the day begins.
    #[serde(with = "Days")]
    pub days_ahead: u64,
    #[serde(with = "Age")]
    pub message_days: u64,
    #[serde(with = "Age")]
    pub broadcast_days: u64,
    #[serde(with = "Age")]
    pub room_days: u64,
    #[serde(with = "Age")]
    pub room_event_days: u64,
    #[serde(with = "Age")]
    pub count_days: u64,
    #[serde(with = "Hour")]
    pub from_hour: u32,
    #[serde(with = "Hour")]
    pub to_hour: u32,
    #[serde(with = "Integer::<1, 100_000>")]
    pub batch_rows: i64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub reads: bool,
    #[serde(with = "Days")]
    pub days: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub filter: LogFilter,
    pub peer: LogPeer,
    #[serde(with = "Integer::<1, 1_000_000>")]
    pub sample: u32,
}

/// Whose address is logged with a request.
#[derive(Clone, Copy, Debug, Deserialize, strum::EnumString, strum::VariantNames)]
#[serde(try_from = "String")]
#[strum(serialize_all = "kebab-case")]
pub enum LogPeer {
    /// None.
    Off,
    /// That of the connection.
    Connection,
    /// The last one in the header `x-forwarded-for`.
    XForwardedFor,
}

impl TryFrom<String> for LogPeer {
    type Error = String;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse().map_err(|_| format!("expected {}", Self::VARIANTS.join(", ")))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    pub endpoint: HttpUrl,
    #[serde(with = "Integer::<1, 1_000_000>")]
    pub sample: u32,
}

/// An address, `http://` or `https://`; may be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpUrl(pub String);

impl TryFrom<String> for HttpUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_http = text.starts_with("http://") || text.starts_with("https://");
        let has_host = || text.parse::<axum::http::Uri>().is_ok_and(|uri| uri.host().is_some());
        if text.is_empty() || (is_http && has_host()) {
            return Ok(Self(text));
        }
        Err("expected an address such as http://collector:4318")
    }
}

/// Level of log lines, or directives of tracing's `EnvFilter`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(pub String);

impl TryFrom<String> for LogFilter {
    type Error = &'static str;

    /// Refuses what `EnvFilter` takes for the name of a module: it would silence all other modules.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
        let directives = || text.split(',').map(str::trim);
        let is_known = directives().all(|one| is_level(one) || one.contains('='));
        if is_known && directives().any(is_level) && text.parse::<EnvFilter>().is_ok() {
            Ok(Self(text))
        } else {
            Err("expected error, warn, info, debug or trace, or a level with directives such as \
                 info,sqlx=debug")
        }
    }
}

/// Format of log lines.
// Not an enum for serde: the `config` crate would report an unknown word without the known ones.
#[derive(Clone, Copy, Debug, Deserialize, strum::EnumString, strum::VariantNames)]
#[serde(try_from = "String")]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse().map_err(|_| format!("expected {}", Self::VARIANTS.join(" or ")))
    }
}
