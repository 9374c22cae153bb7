//! Every setting, read once. The only place that reads the environment.
//!
//! `config/default.toml` documents every setting and is compiled in; what comes later wins: it,
//! the file given by `--config`, the environment.

mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure};
use axum::http::HeaderValue;
use axum::http::uri::Authority;
use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Endpoints by name.
pub type Endpoints = BTreeMap<String, Endpoint>;

/// All settings; see `config/default.toml` for what each one means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Config {
    pub http: Http,
    pub api: Api,
    pub ops: Ops,
    pub database: Database,
    pub writer: Writer,
    pub spool: Spool,
    pub stream: Stream,
    pub search: Search,
    pub retention: Retention,
    pub log: Log,
    pub endpoint: Endpoints,
    pub key: BTreeMap<String, Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Http {
    pub listen: SocketAddr,
    pub max_connections: usize,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    pub max_body_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    pub max_reading_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub stop_timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Api {
    #[serde(deserialize_with = "source::list")]
    pub cors_origins: Vec<EventContext>,
    pub requests_per_second: u32,
    pub burst: u32,
}

/// Where a browser's page comes from: `https://host`, with a port where it is not the usual one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct EventContext(pub HeaderValue);

impl TryFrom<String> for EventContext {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // A browser sends it in lower case, and that is what it is compared with.
        let is_host = |host: &str| host.parse::<Authority>().is_ok() && host == host.to_lowercase();
        let origin = host.filter(|host| is_host(host)).and_then(|_| text.parse().ok());
        origin.map(Self).ok_or("expected origins such as https://dashboard.example.com")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Ops {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Database {
    pub url: Option<SecretString>,
    pub read_connections: u32,
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    pub migrate: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Writer {
    pub tasks: u32,
    pub max_batch: usize,
    pub max_queue_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub commit_timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Spool {
    pub folder: PathBuf,
    pub max_bytes: u64,
}

impl Spool {
    /// Where it is; `None` if there is to be none.
    pub fn folder(&self) -> Option<&Path> {
        (!self.folder.as_os_str().is_empty()).then_some(self.folder.as_path())
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Stream {
    pub max_listeners: usize,
    pub max_behind: usize,
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Search {
    pub enabled: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Retention {
    pub event_days: u64,
    pub days_ahead: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml says it")]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json"),
        }
    }
}

/// A door for one sender.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Live tokens.
    #[serde(deserialize_with = "source::list")]
    pub tokens: Vec<SecretString>,
    /// Organisation of bodies that name none.
    #[serde(default)]
    pub organization_id: Option<String>,
}

/// A key of the read API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// What it may do: `read`, `export`, `replay`.
    #[serde(deserialize_with = "source::list")]
    pub scopes: Vec<Scope>,
    /// Whose data it may see; `*` for everybody's.
    #[serde(deserialize_with = "source::list")]
    pub organizations: Vec<String>,
}

impl Key {
    /// The organisations whose data it may see; `None` for all.
    pub fn organizations(&self) -> Option<Vec<String>> {
        those_seen(&self.organizations)
    }
}

/// What a list of organisations means in which `*` stands for all: `None`.
pub fn those_seen(organizations: &[String]) -> Option<Vec<String>> {
    let sees_all = organizations.iter().any(|organization| organization == "*");
    (!sees_all).then(|| organizations.to_owned())
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read everything that its organisations have.
    Read,
    /// Read whole lists at once.
    Export,
    /// Have events read again.
    Replay,
}

impl Scope {
    /// Its name, as in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Export => "export",
            Self::Replay => "replay",
        }
    }
}

impl Config {
    /// Reads the settings. An error is one line that names the key and says what to do.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        let environment = std::env::vars().collect();
        Self::read(file, environment)
    }

    /// Reads the settings with a given environment.
    pub fn read(
        file: Option<&Path>,
        environment: BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let settings: Self = source::read(file, environment)?;
        settings.check()?;
        Ok(settings)
    }

    /// What no type can say.
    fn check(&self) -> anyhow::Result<()> {
        match &self.database.url {
            None => bail!(
                "database.url: not set; set DATABASE_URL, for example to \
                 postgres://user:password@host/database"
            ),
            Some(url) => ensure!(
                is_postgres_url(url.expose_secret()),
                "database.url: not a Postgres URL; set DATABASE_URL, for example to \
                 postgres://user:password@host/database"
            ),
        }
        ensure!(
            self.endpoint.values().any(|endpoint| !endpoint.tokens.is_empty()),
            "endpoint: no webhook token is set; set RECEIVER__ENDPOINT__QONTAK__TOKENS to a long \
             random text, for example from `openssl rand -hex 32`"
        );
        for (name, endpoint) in &self.endpoint {
            for token in &endpoint.tokens {
                let token = token.expose_secret();
                ensure!(
                    token.len() >= 16
                        && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c)),
                    "endpoint.{name}.tokens: a token must have at least 16 characters of \
                     A-Z a-z 0-9 - _ . ~ since it is part of a URL that must not be guessed"
                );
            }
        }
        for (name, key) in &self.key {
            ensure!(
                key.sha256.len() == 64 && key.sha256.chars().all(|c| c.is_ascii_hexdigit()),
                "key.{name}.sha256: expected 64 hex digits, as of `printf %s \"$key\" | sha256sum`"
            );
        }
        let positive = [
            ("http.max_connections", self.http.max_connections),
            ("http.max_body_bytes", self.http.max_body_bytes),
            ("http.max_reading_bytes", self.http.max_reading_bytes),
            ("database.read_connections", self.database.read_connections as usize),
            ("writer.tasks", self.writer.tasks as usize),
            ("writer.max_batch", self.writer.max_batch),
            ("writer.max_queue_bytes", self.writer.max_queue_bytes),
            ("stream.max_behind", self.stream.max_behind),
            ("api.burst", self.api.burst as usize),
        ];
        for (name, value) in positive {
            ensure!((1..=1 << 30).contains(&value), "{name}: must be between 1 and 1073741824");
        }
        ensure!(
            (1 << 16..=1 << 40).contains(&self.spool.max_bytes),
            "spool.max_bytes: must be between 65536 and 1099511627776"
        );
        ensure!(
            self.http.max_reading_bytes >= self.http.max_body_bytes,
            "http.max_reading_bytes: must be at least http.max_body_bytes"
        );
        for (name, timeout) in [
            ("http.header_timeout", self.http.header_timeout),
            ("http.idle_timeout", self.http.idle_timeout),
            ("http.body_timeout", self.http.body_timeout),
            ("stream.heartbeat", self.stream.heartbeat),
        ] {
            let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3600));
            ensure!((shortest..=longest).contains(&timeout), "{name}: must be between 1ms and 1h");
        }
        ensure!(
            self.stream.max_listeners <= 1 << 20,
            "stream.max_listeners: must be between 0 and 1048576"
        );
        let (shortest, longest) = (Duration::from_secs(60), Duration::from_secs(86400 * 3650));
        ensure!(
            (shortest..=longest).contains(&self.stream.keep),
            "stream.keep: must be between 1min and 3650days"
        );
        // Partitions are made once an hour, so today's must be there before today begins.
        for (name, days) in [
            ("retention.event_days", self.retention.event_days),
            ("retention.days_ahead", self.retention.days_ahead),
        ] {
            ensure!((1..=3650).contains(&days), "{name}: must be between 1 and 3650");
        }
        Ok(())
    }
}

fn is_postgres_url(url: &str) -> bool {
    // The parser takes any scheme.
    (url.starts_with("postgres://") || url.starts_with("postgresql://"))
        && url.parse::<sqlx::postgres::PgConnectOptions>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let minimum = [
            ("DATABASE_URL", "postgres://localhost/receiver"),
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "a-token-of-length-25-here"),
        ];
        let environment = minimum.iter().chain(environment);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::read(None, environment.map(owned).collect())
    }

    fn refusal(environment: &[(&str, &str)]) -> String {
        read(environment).unwrap_err().to_string()
    }

    #[test]
    fn a_database_and_one_token_are_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.endpoint["qontak"].tokens.len(), 1);
        assert_eq!(config.http.listen.port(), 8080);
    }

    #[test]
    fn the_environment_wins_over_the_defaults() {
        let config = read(&[
            ("RECEIVER__WRITER__MAX_BATCH", "7"),
            ("RECEIVER__HTTP__BODY_TIMEOUT", "3s"),
            ("RECEIVER__DATABASE__MIGRATE", "false"),
            ("RECEIVER__KEY__LOCAL__SHA256", &"0".repeat(64)),
            ("RECEIVER__KEY__LOCAL__SCOPES", "read, export"),
            ("RECEIVER__KEY__LOCAL__ORGANIZATIONS", "*"),
        ])
        .unwrap();
        assert_eq!(config.writer.max_batch, 7);
        assert_eq!(config.http.body_timeout, Duration::from_secs(3));
        assert!(!config.database.migrate);
        assert_eq!(config.key["local"].scopes, [Scope::Read, Scope::Export]);
    }

    #[test]
    fn a_file_wins_over_the_defaults_and_the_environment_over_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = b"[writer]\nmax_batch = 5\ntasks = 6\n[endpoint.other]\n\
            tokens = [\"a-token-of-the-file-of-settings\"]\n";
        std::io::Write::write_all(&mut file, text).unwrap();
        let environment =
            [("DATABASE_URL", "postgres://localhost/receiver"), ("RECEIVER__WRITER__TASKS", "7")];
        let owned = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::read(Some(file.path()), owned.into()).unwrap();
        assert_eq!((config.writer.max_batch, config.writer.tasks), (5, 7));
        assert_eq!(config.endpoint["other"].tokens.len(), 1);
    }

    #[test]
    fn a_secret_may_be_given_as_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"a-token-in-a-file-of-lines\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = read(&[("RECEIVER__ENDPOINT__OTHER__TOKENS_FILE", path)]).unwrap();
        let token = config.endpoint["other"].tokens[0].expose_secret();
        assert_eq!(token, "a-token-in-a-file-of-lines");
        let refusal = refusal(&[("DATABASE_URL_FILE", "/nowhere")]);
        assert!(refusal.starts_with("DATABASE_URL_FILE: "), "{refusal}");
    }

    #[test]
    fn whatever_is_wrong_is_refused_in_one_line_that_names_the_key() {
        let cases = [
            ("RECEIVER__WRITER__MAX_BTACH", "3", "max_btach"),
            ("RECEIVER__WRITER__MAX_BATCH", "many", "writer.max_batch"),
            ("RECEIVER__WRITER__MAX_BATCH", "0", "writer.max_batch"),
            ("RECEIVER__HTTP__LISTEN", "8080", "http.listen"),
            ("RECEIVER__HTTP__BODY_TIMEOUT", "soon", "http.body_timeout"),
            ("RECEIVER__HTTP__IDLE_TIMEOUT", "0s", "http.idle_timeout"),
            ("RECEIVER__HTTP__MAX_CONNECTIONS", "0", "http.max_connections"),
            ("RECEIVER__HTTP__MAX_READING_BYTES", "9", "http.max_reading_bytes"),
            ("RECEIVER__API__REQUESTS_PER_SECOND", "-1", "api.requests_per_second"),
            ("RECEIVER__API__BURST", "0", "api.burst"),
            ("RECEIVER__LOG__FORMAT", "xml", "log.format"),
            ("RECEIVER__API__CORS_ORIGINS", "*", "api.cors_origins"),
            ("RECEIVER__API__CORS_ORIGINS", "https://a.example/", "api.cors_origins"),
            ("RECEIVER__API__CORS_ORIGINS", "https://A.example", "api.cors_origins"),
            ("RECEIVER__API__CORS_ORIGINS", "https://a.example,b.example", "api.cors_origins"),
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "short", "endpoint.qontak.tokens"),
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "", "endpoint"),
            ("RECEIVER__STREAM__HEARTBEAT", "0s", "stream.heartbeat"),
            ("RECEIVER__STREAM__KEEP", "1s", "stream.keep"),
            ("RECEIVER__STREAM__MAX_BEHIND", "0", "stream.max_behind"),
            ("RECEIVER__STREAM__MAX_LISTENERS", "1048577", "stream.max_listeners"),
            ("RECEIVER__RETENTION__DAYS_AHEAD", "0", "retention.days_ahead"),
            ("DATABASE_URL", "mysql://", "database.url"),
        ];
        for (name, value, key) in cases {
            let refusal = refusal(&[(name, value)]);
            assert!(refusal.contains(key), "{name}={value}: {refusal}");
            assert!(!refusal.contains('\n'), "{name}={value}: {refusal}");
        }
    }

    #[test]
    fn no_secret_is_quoted_when_it_is_in_the_wrong_place() {
        let misplaced =
            ["RECEIVER__ENDPOINT__OTHER", "RECEIVER__ENDPOINT__TOKENS", "RECEIVER__KEY__DASHBOARD"];
        for name in misplaced {
            let refusal = refusal(&[(name, "a \"secret\", expected by none")]);
            assert!(!refusal.contains("secret"), "{refusal}");
            assert!(refusal.contains("expected struct"), "{refusal}");
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"[database]\nurl = secret://\n").unwrap();
        let refusal = Config::read(Some(file.path()), BTreeMap::new()).unwrap_err().to_string();
        assert!(!refusal.contains("secret"), "{refusal}");
        assert!(refusal.contains("line 2, column 7"), "{refusal}");
    }

    #[test]
    fn no_secret_is_shown_when_settings_are() {
        let shown = format!("{:?}", read(&[]).unwrap());
        assert!(!shown.contains("a-token"), "{shown}");
        assert!(!shown.contains("localhost/receiver"), "{shown}");
    }
}
