//! Settings: read once, at the start. No other module reads the environment.
//!
//! `config/default.toml` documents every setting and is compiled in. The file given by `--config`
//! overrides it, and the environment overrides both.

mod alarm;
mod bounds;
mod contradiction;
mod endpoint;
mod key;
mod media;
mod qontak;
mod section;
mod servers;
mod source;
mod spool;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, ensure};
use secrecy::ExposeSecret;
use serde::Deserialize;

pub use self::alarm::{Alarm, Holiday, Notify, NotifyFormat, NotifyUrl, Zone};
pub use self::contradiction::SPOOL_TIMEOUT;
pub use self::endpoint::{Endpoint, Endpoints};
pub use self::key::{Key, Scope, unless_all};
pub use self::media::{Host, Media, TypePattern};
pub use self::qontak::{
    Auth, Backfill, Catalog, HookEvent, Qontak, Qontaks, Register, ServerUrl, StatusPage, Watch,
    WebhookUrl,
};
pub use self::section::{
    Api, Audit, Console, Database, Http, HttpUrl, Log, LogFormat, LogPeer, Ops, Origin, Retention,
    Search, Stream, StrongSecret, Trace, Writer,
};
pub use self::spool::{Monitor, NatsServer, Spool};

/// All settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each section")]
pub struct Config {
    pub http: Http,
    pub api: Api,
    pub console: Console,
    pub ops: Ops,
    pub database: Database,
    pub writer: Writer,
    pub spool: Spool,
    pub stream: Stream,
    pub search: Search,
    pub retention: Retention,
    pub media: Media,
    pub log: Log,
    pub trace: Trace,
    pub register: Register,
    pub watch: Watch,
    pub backfill: Backfill,
    pub catalog: Catalog,
    pub alarm: Alarm,
    pub audit: Audit,
    pub notify: Notify,
    pub endpoint: Endpoints,
    pub key: BTreeMap<String, Key>,
    pub qontak: Qontaks,
    /// What is allowed, but probably not meant; one line each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the settings. An error is one line that names the setting and what is allowed.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
        let environment = std::env::vars().collect();
        Self::read(file, environment)
    }

    /// Whether the environment asks for a log in JSON: for errors of settings that cannot be read.
    pub fn is_log_json() -> bool {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
        let format = std::env::var("RECEIVER__LOG__FORMAT");
        format.is_ok_and(|format| format.eq_ignore_ascii_case("json"))
    }

    /// Reads the settings with a given environment.
    pub fn read(
        file: Option<&Path>,
        environment: BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let unused = source::unused(&environment);
        let mut settings: Self = source::read(file, environment)?;
        settings.check()?;
        settings.warnings = contradiction::warnings(&settings);
        settings.warnings.extend(unused);
        Ok(settings)
    }

    /// Checks the settings of webhooks, which only `serve` needs: other commands run elsewhere, and
    /// without secrets that they do not use.
    pub fn check_endpoints(&self) -> anyhow::Result<()> {
        ensure!(
            self.endpoint.values().any(|endpoint| !endpoint.tokens.is_empty()),
            "endpoint: no webhook token is set; set RECEIVER__ENDPOINT__QONTAK__TOKENS to a random \
             text, for example from `openssl rand -hex 32`"
        );
        Ok(())
    }

    /// Checks required settings and settings that depend on each other. Single values are checked
    /// when they are read.
    fn check(&self) -> anyhow::Result<()> {
        let url = self.database.url.as_ref().map(ExposeSecret::expose_secret);
        let problem = match url {
            None => Some("not set".to_owned()),
            Some(url) => servers::parse(url).err(),
        };
        if let Some(problem) = problem {
            bail!(
                "database.url: {problem}; set DATABASE_URL, for example to \
                 postgres://user:password@host/database; percent-encode special characters of the \
                 password, @ as %40"
            );
        }
        let read_url = self.database.read_url.as_ref().map(ExposeSecret::expose_secret);
        ensure!(
            read_url.is_none_or(|url| servers::parse(url).is_ok_and(|servers| servers.len() == 1)),
            "database.read_url: not a Postgres URL; write postgres://user:password@host/database, or \
             leave it out"
        );
        ensure!(
            !self.endpoint.contains_key("backfill"),
            "endpoint.backfill: is the name of events that were read from Qontak's API; use another"
        );
        contradiction::refuse(self)?;
        for (name, organization) in &self.qontak {
            organization.check(name, self.database.encryption_key.is_some())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn error(environment: &[(&str, &str)]) -> String {
        read(environment).unwrap_err().to_string()
    }

    #[test]
    fn database_and_one_token_are_sufficient() {
        let config = read(&[]).unwrap();
        assert_eq!(config.endpoint["qontak"].tokens.len(), 1);
        assert_eq!(config.http.listen.port(), 8080);
    }

    #[test]
    fn only_webhooks_need_a_token() {
        let config = read(&[("RECEIVER__ENDPOINT__QONTAK__TOKENS", "")]).unwrap();
        let error = config.check_endpoints().unwrap_err().to_string();
        assert!(error.starts_with("endpoint: no webhook token is set; "), "{error}");
        read(&[]).unwrap().check_endpoints().unwrap();
    }

    #[test]
    fn environment_overrides_the_defaults() {
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
    fn file_overrides_the_defaults_and_the_environment_overrides_the_file() {
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
    fn secrets_can_be_read_from_files() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"a-token-in-a-file-of-lines\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = read(&[("RECEIVER__ENDPOINT__OTHER__TOKENS_FILE", path)]).unwrap();
        let token = config.endpoint["other"].tokens[0].expose_secret();
        assert_eq!(token, "a-token-in-a-file-of-lines");
        let error = error(&[("RECEIVER__API__HMAC_SECRET_FILE", "/nowhere")]);
        assert!(error.starts_with("RECEIVER__API__HMAC_SECRET_FILE: "), "{error}");
    }

    #[test]
    fn credentials_of_qontak_are_read_from_the_documented_variables() {
        let config = read(&[
            ("MEKARI_API_CLIENT_ID", "an-id"),
            ("MEKARI_API_CLIENT_SECRET", "a-secret"),
            ("MEKARI_API_BASE_URL", "https://api.mekari.io/"),
            ("RECEIVER__QONTAK__MEKARI__CLIENT_ID", "another-id"),
            ("RECEIVER__QONTAK__MEKARI__EVENTS", "status_message,room_resolved"),
        ])
        .unwrap();
        let organization = &config.qontak["mekari"];
        assert_eq!(organization.client_id.as_deref(), Some("another-id"));
        assert_eq!(organization.client_secret.as_ref().unwrap().expose_secret(), "a-secret");
        assert_eq!(organization.server(), "https://api.mekari.io");
        assert_eq!(organization.events, [HookEvent::StatusMessage, HookEvent::RoomResolved]);
        assert!(read(&[("MEKARI_API_CLIENT_ID", "")]).unwrap().qontak.is_empty());
    }

    #[test]
    fn refresh_token_needs_an_encryption_key() {
        let settings = [
            ("RECEIVER__QONTAK__SHOP__AUTH", "bearer"),
            ("RECEIVER__QONTAK__SHOP__REFRESH_TOKEN", "a-refresh-token"),
            ("RECEIVER__QONTAK__SHOP__CLIENT_ID", "an-id"),
            ("RECEIVER__QONTAK__SHOP__CLIENT_SECRET", "a-secret"),
        ];
        let error = error(&settings);
        assert!(error.starts_with("database.encryption_key: not set; "), "{error}");
        let key = "k".repeat(32);
        let complete = [&settings[..], &[("RECEIVER__DATABASE__ENCRYPTION_KEY", &key)]].concat();
        let config = read(&complete).unwrap();
        assert_eq!(config.qontak["shop"].server(), "https://service-chat.qontak.com");
        let shown = format!("{config:?}");
        for secret in ["a-refresh-token", "a-secret", &key] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn invalid_settings_are_refused_in_one_line_that_names_the_setting() {
        let cases = [
            ("WRITER__MAX_BTACH", "3", "writer: unknown field `max_btach`"),
            (
                "WRITER__MAX_BATCH",
                "many",
                "writer.max_batch: expected an integer from 1 to 1073741824",
            ),
            (
                "WRITER__MAX_BATCH",
                "0",
                "writer.max_batch: expected an integer from 1 to 1073741824",
            ),
            ("HTTP__LISTEN", "8080", "http.listen: "),
            ("API__LISTEN", "8081", "api.listen: expected an address with a port"),
            ("API__LISTEN", "0.0.0.0:8080", "api.listen: must differ from http.listen"),
            ("HTTP__BODY_TIMEOUT", "soon", "http.body_timeout: expected a duration from 1ms to 1h"),
            ("HTTP__IDLE_TIMEOUT", "0s", "http.idle_timeout: expected a duration from 1ms to 1h"),
            ("HTTP__STOP_TIMEOUT", "5", "http.stop_timeout: expected a duration"),
            ("HTTP__MAX_CONNECTIONS", "0", "http.max_connections: expected an integer from 1 to"),
            ("HTTP__MAX_READING_BYTES", "9", "http.max_reading_bytes: must be at least"),
            (
                "API__REQUESTS_PER_SECOND",
                "-1",
                "api.requests_per_second: expected an integer from 0",
            ),
            ("API__BURST", "0", "api.burst: expected an integer from 1 to"),
            ("API__HMAC_SECRET", "short", "api.hmac_secret: expected at least 32 characters"),
            ("LOG__FORMAT", "xml", "log.format: expected text or json"),
            ("API__CORS_ORIGINS", "*", "api.cors_origins: expected origins such as"),
            ("API__CORS_ORIGINS", "https://a.example/", "api.cors_origins: expected"),
            ("API__CORS_ORIGINS", "https://A.example", "api.cors_origins: expected"),
            ("API__CORS_ORIGINS", "https://a.example,b.example", "api.cors_origins: expected"),
            (
                "ENDPOINT__QONTAK__TOKENS",
                "short",
                "endpoint.qontak.tokens: expected tokens of at least",
            ),
            ("KEY__LOCAL__SHA256", "0", "key.local.sha256: expected 64 hex digits"),
            ("SPOOL__MAX_BYTES", "1", "spool.max_bytes: expected an integer from 65536 to"),
            (
                "SPOOL__SERVERS",
                "a.example:4222",
                "spool.servers: expected addresses such as nats://",
            ),
            ("SPOOL__SERVERS", "nats://user:secret@a:4222", "spool.servers: expected addresses"),
            ("SPOOL__FIRST", "true", "spool.first: is set, but there is no NATS cluster"),
            ("SPOOL__STREAMS", "0", "spool.streams: expected an integer from 1 to 16"),
            ("SPOOL__STREAM_NAME", "a.b", "spool.stream_name: expected 1 to 200 characters"),
            ("SPOOL__MONITORS", "http://a", "spool.monitors: expected URLs such as"),
            ("SPOOL__USER", "receiver", "spool.user: needs spool.password"),
            ("DATABASE__READ_URL", "mysql://a", "database.read_url: not a Postgres URL; write"),
            ("STREAM__HEARTBEAT", "0s", "stream.heartbeat: expected a duration from 1ms to 1h"),
            ("STREAM__KEEP", "1s", "stream.keep: expected a duration from 1min to 3650days"),
            ("STREAM__MAX_BEHIND", "0", "stream.max_behind: expected an integer from 1 to"),
            (
                "STREAM__MAX_LISTENERS",
                "1048577",
                "stream.max_listeners: expected an integer from 0 to",
            ),
            (
                "RETENTION__DAYS_AHEAD",
                "0",
                "retention.days_ahead: expected an integer from 1 to 3650",
            ),
            ("RETENTION__MESSAGE_DAYS", "7", "retention.message_days: must be 0 or at least"),
            ("RETENTION__FROM_HOUR", "25", "retention.from_hour: expected an integer from 0 to 24"),
            ("DATABASE__URL", "mysql://", "database.url: not a Postgres URL; set DATABASE_URL"),
            ("DATABASE__ENCRYPTION_KEY", "short", "database.encryption_key: expected at least 32"),
            ("WATCH__INTERVAL", "0s", "watch.interval: expected a duration from 1s to 1day"),
            ("BACKFILL__GAP", "0s", "backfill.gap: expected a duration from 1s to 1day"),
            (
                "ENDPOINT__BACKFILL__TOKENS",
                "a-token-of-length-25-here",
                "endpoint.backfill: is the name of events that were read from Qontak's API",
            ),
            ("ALARM__TIME_ZONE", "Jakarta", "alarm.time_zone: expected an IANA time zone"),
            ("ALARM__HOLIDAYS", "2027-02-30", "alarm.holidays: expected dates such as 2027-03-10"),
            ("ALARM__WEEKS", "1", "alarm.weeks: expected an integer from 2 to 26"),
            ("NOTIFY__URL", "http://a.example/in", "notify.url: expected https://host/path"),
            ("NOTIFY__FORMAT", "mail", "notify.format: expected json or slack"),
            ("NOTIFY__SECRET", "short", "notify.secret: expected at least 32 characters"),
            ("WATCH__STATUS_PAGE", "http://a.example", "watch.status_page: expected https://host"),
            ("QONTAK__SHOP__AUTH", "basic", "qontak.shop.auth: expected hmac or bearer"),
            ("QONTAK__SHOP__AUTH", "bearer", "qontak.shop.refresh_token: not set"),
            ("QONTAK__SHOP__AUTH", "hmac", "qontak.shop.client_id: not set"),
            ("QONTAK__SHOP__CLIENT_ID", "id", "qontak.shop.client_secret: not set"),
            ("QONTAK__SHOP__REFRESH_TOKEN", "secret", "qontak.shop.auth: must be bearer if"),
            ("QONTAK__SHOP__EVENTS", "all", "qontak.shop.events: expected events of receive_"),
            (
                "QONTAK__SHOP__BASE_URL",
                "http://api.mekari.com",
                "qontak.shop.base_url: expected https://host, without a path",
            ),
            (
                "QONTAK__SHOP__WEBHOOK_URL",
                "https://hook.example/in?secret=1",
                "qontak.shop.webhook_url: expected https://host/webhooks/qontak/TOKEN",
            ),
        ];
        for (name, value, expected) in cases {
            let error = error(&[(&format!("RECEIVER__{name}"), value)]);
            assert!(error.starts_with(expected), "{name}={value}: {error}");
            assert!(!error.contains('\n'), "{name}={value}: {error}");
        }
    }

    #[test]
    fn errors_about_misplaced_secrets_do_not_quote_them() {
        let misplaced =
            ["RECEIVER__ENDPOINT__OTHER", "RECEIVER__ENDPOINT__TOKENS", "RECEIVER__KEY__DASHBOARD"];
        for name in misplaced {
            let error = error(&[(name, "a \"secret\", expected by none")]);
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("expected struct"), "{error}");
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"[database]\nurl = secret://\n").unwrap();
        let error = Config::read(Some(file.path()), BTreeMap::new()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("line 2, column 7"), "{error}");
    }

    #[test]
    fn debug_output_of_settings_contains_no_secret() {
        let shown = format!("{:?}", read(&[]).unwrap());
        assert!(!shown.contains("a-token"), "{shown}");
        assert!(!shown.contains("localhost/receiver"), "{shown}");
    }
}
