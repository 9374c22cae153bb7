//! `qontak-receiver check`: tests the installation.
//!
//! Runs every check, so that one call shows all problems. Skips those that need the database if it is
//! unreachable, unsuitable, or its schema is old.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::PgPool;

use super::output::print_line;
use crate::app::check::{Check, State, database, disk, nats, port, replica};
use crate::app::open_files;
use crate::config::{self, Config, Scope, WebhookUrl};
use crate::event::{Event, Webhook};
use crate::ingest::normalize::{Normalized, normalize};
use crate::model::{EventId, Timestamp};
use crate::qontak::hook::Hooks;
use crate::qontak::{self, Client, Transport, preflight};
use crate::store::{self, Failure, api_key};

/// Timeout of storing the test event.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Body of the test event, which is rolled back.
const TEST_BODY: &str = r#"{"data_event":"receive_message_from_customer","id":"check","room_id":"check",
    "organization_id":"check","sender_id":"check","text":"check","status":"created",
    "created_at":"2025-01-01T00:00:00.000Z","room":{"unread_count":1}}"#;

/// Arguments of `check`.
#[derive(Args)]
pub struct Arguments {
    /// Also test this public URL of an endpoint: https://host/webhooks/qontak/TOKEN
    #[arg(long)]
    // Text, because clap would quote an invalid value with its token.
    url: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints one line per check.
pub async fn run(config: anyhow::Result<Config>, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = config.and_then(|config| config.check_endpoints().map(|()| config));
    let checks = match config {
        Ok(config) => check(&config, arguments.url.as_deref()).await,
        Err(error) if arguments.json => vec![Check::fail("settings", format!("{error:#}"))],
        Err(error) => return Err(error),
    };
    let is_fine = checks.iter().all(|check| check.state != State::Fail);
    if arguments.json {
        print_line(format_args!("{}", json!({ "ok": is_fine, "checks": checks })));
    } else {
        for Check { name, state, text } in &checks {
            let mark = match state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            print_line(format_args!("{mark}  {name:<11}{text}"));
        }
    }
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(config: &Config, url: Option<&str>) -> Vec<Check> {
    let tokens: usize = config.endpoint.values().map(|endpoint| endpoint.tokens.len()).sum();
    let settings = format!("{} endpoint(s), {tokens} token(s)", config.endpoint.len());
    let mut checks = vec![Check::ok("settings", settings)];
    checks.extend(config.warnings.iter().map(|warning| Check::warn("settings", warning)));
    checks.push(open_files::raise_limit(config));
    checks.push(port::ports(config).await);
    if config.spool.folder().is_some() || config.spool.servers.is_empty() {
        checks.push(disk::spool(&config.spool));
    }
    checks.extend(disk::media(&config.media).await);
    if !config.spool.servers.is_empty() {
        checks.push(nats::streams(config).await);
        checks.extend(nats::monitors(&config.spool).await);
    }
    if let Some(url) = url {
        checks.push(check_url(config, url).await);
    }
    if let Err(error) = check_database(config, &mut checks).await {
        checks.push(Check::fail("database", describe(error)));
    }
    checks
}

fn describe(error: sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
    let text = match error {
        sqlx::Error::Database(_) => Failure::from(error).to_string(),
        error => error.to_string(),
    };
    match code.as_deref() {
        // Tables or rights are missing.
        Some(code) if code.starts_with("42") => format!("cannot be read: {text}"),
        Some("55P03" | "57014") => {
            format!("{text}; a transaction holds a lock on a table, or the database is overloaded")
        }
        Some("53300") => format!("{text}; end idle sessions, or raise max_connections"),
        _ => format!("{}: {text}", store::UNREACHABLE),
    }
}

/// Adds the checks of the database; stops where the next ones make no sense.
async fn check_database(config: &Config, checks: &mut Vec<Check>) -> sqlx::Result<()> {
    checks.extend(database::servers(&config.database).await);
    let connection = database::connection(&config.database).await?;
    let is_usable = connection.state != State::Fail;
    checks.push(connection);
    if !is_usable {
        return Ok(());
    }
    let pool = store::connect(&config.database)?;
    checks.extend(database::server(config, &pool).await?);
    checks.extend(database::advice(config, &pool).await?);
    checks.push(database::durability(&pool).await?);
    checks.extend(replica::standby(config, &pool).await?);
    let schema = database::schema(&pool).await?;
    let is_usable = schema.state != State::Fail;
    checks.push(schema);
    if !is_usable {
        return Ok(());
    }
    checks.push(check_keys(config, &pool).await?);
    checks.extend(check_writes(config, &pool).await?);
    checks.push(database::partitions(&pool).await?);
    checks.push(match store::dry_run::dry_run(&pool, WRITE_TIMEOUT, &[test_event()]).await {
        Ok(_) => Check::ok("write", "a test event can be stored (rolled back)"),
        Err(failure) => Check::fail("write", format!("a test event cannot be stored: {failure}")),
    });
    for (name, settings) in &config.qontak {
        let checked = check_qontak(name, settings, config, pool.clone()).await;
        checks.push(checked.unwrap_or_else(|problem| Check::fail("qontak", problem)));
    }
    Ok(())
}

async fn check_keys(config: &Config, pool: &PgPool) -> sqlx::Result<Check> {
    let stored = api_key::list_live(pool).await?.len();
    Ok(match (config.key.len(), stored) {
        (0, 0) => {
            Check::warn("keys", "none, so the API cannot be read; run `qontak-receiver key create`")
        }
        (in_settings, stored) => {
            Check::ok("keys", format!("{in_settings} in the settings, {stored} in the database"))
        }
    })
}

/// Checks that keys may create something at Qontak if, and only if, the setting allows it.
async fn check_writes(config: &Config, pool: &PgPool) -> sqlx::Result<Option<Check>> {
    let stored = api_key::list_live(pool).await?;
    let in_settings = config.key.values().filter(|key| key.scopes.contains(&Scope::Write)).count();
    let may_write = |scopes: &[String]| scopes.iter().any(|it| it == Scope::Write.as_str());
    let keys = in_settings + stored.iter().filter(|key| may_write(&key.scopes)).count();
    Ok(match (config.api.write, keys) {
        (false, 0) => None,
        (false, _) => Some(Check::warn(
            "writes",
            "api.write is off, so keys with the scope write may create nothing",
        )),
        (true, 0) => Some(Check::warn(
            "writes",
            "api.write is on, but no key has the scope write; run `qontak-receiver key create`",
        )),
        (true, keys) => Some(Check::ok(
            "writes",
            format!("{keys} key(s) may create templates and contact lists at Qontak"),
        )),
    })
}

/// Sends Qontak's handshake to the public URL. Its token must be one of this installation.
async fn check_url(config: &Config, url: &str) -> Check {
    let parsed = url.parse::<WebhookUrl>().map_err(anyhow::Error::msg).context("--url");
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Check::fail("url", format!("{error:#}")),
    };
    let tokens = config.endpoint.values().flat_map(|endpoint| &endpoint.tokens);
    let sent = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if !tokens.into_iter().any(|token| token.expose_secret() == sent) {
        return Check::fail("url", "its token is not one of endpoint.*.tokens; correct the URL");
    }
    match preflight::check(&Transport::default(), &parsed).await {
        Ok(()) => Check::ok("url", "answers as Qontak expects"),
        Err(error) => Check::fail("url", error.to_string()),
    }
}

/// An event that changes a room, a message and a sender.
fn test_event() -> Event {
    let received_at = Timestamp::now();
    let webhook = Webhook {
        id: EventId::next(received_at),
        received_at,
        endpoint: "check".into(),
        organization_id: None,
        body: Bytes::from_static(TEST_BODY.as_bytes()),
        request_id: String::new(),
        is_damaged: false,
    };
    match normalize(webhook) {
        Normalized::Event(event) => *event,
        Normalized::Handshake(_) => unreachable!("the body names an event"),
    }
}

/// Checks the credentials of an organisation, the clock (which a signature contains), and the webhook
/// settings.
async fn check_qontak(
    name: &str,
    settings: &config::Qontak,
    config: &Config,
    pool: PgPool,
) -> Result<Check, String> {
    let client = Client::new(name, settings, config, pool);
    let fail = |error: qontak::Error| format!("{name}: {error}");
    client.check_organization().await.map_err(fail)?;
    let Some(url) = &settings.webhook_url else {
        return Ok(Check::warn(
            "qontak",
            format!(
                "{name}: credentials are valid, but not used; set qontak.{name}.webhook_url to have the \
             webhook watched"
            ),
        ));
    };
    let hooks = Hooks::fetch(&client).await.map_err(fail)?;
    let problems: Vec<String> = hooks
        .assess(url, &settings.events)
        .into_iter()
        .filter_map(|it| Some(format!("{} is {}", it.event.as_str(), it.problem?.as_str())))
        .collect();
    if problems.is_empty() {
        Ok(Check::ok("qontak", format!("{name}: credentials are valid, the webhook is registered")))
    } else {
        let problems = problems.join(", ");
        Err(format!("{name}: {problems}; run `qontak-receiver register`"))
    }
}
