//! `qontak-receiver check`: tests the installation.
//!
//! Runs every check, so that one call shows all problems. Skips those that need the database if it is
//! unreachable or its schema is old.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use sqlx::PgPool;

use super::output::print_line;
use crate::config::{self, Config};
use crate::event::{Event, Webhook};
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::spool::segment;
use crate::model::{EventId, Timestamp};
use crate::qontak::hook::Hooks;
use crate::qontak::{self, Client};
use crate::store::{self, api_key, partition};

/// Timeout of storing the test event.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Body of the test event, which is rolled back.
const TEST_BODY: &str = r#"{"data_event":"receive_message_from_customer","id":"check","room_id":"check",
    "organization_id":"check","sender_id":"check","text":"check","status":"created",
    "created_at":"2025-01-01T00:00:00.000Z","room":{"unread_count":1}}"#;

/// Prints one line per check.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut ok = true;
    let mut line = |name: &str, result: Result<String, String>| {
        let (mark, text) = match result {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                ok = false;
                ("FAIL", text)
            }
        };
        print_line(format_args!("{mark}  {name:<11}{text}"));
    };
    let tokens: usize = config.endpoint.values().map(|endpoint| endpoint.tokens.len()).sum();
    let settings = format!("{} endpoint(s), {tokens} token(s)", config.endpoint.len());
    line("settings", Ok(settings));

    line("spool", check_spool(&config.spool));
    if let Err(error) = store::check_connection(&config.database).await {
        line("database", Err(format!("{}: {error}", store::UNREACHABLE)));
        return Ok(ExitCode::FAILURE);
    }
    line("database", Ok("reachable".into()));
    let pool = store::connect(&config.database)?;
    let clock = store::clock(&pool).await?;
    let skew = (Timestamp::now().0 - clock.0).abs();
    line(
        "clock",
        if skew.num_seconds() <= 5 {
            Ok(format!("differs from the database by {} ms", skew.num_milliseconds()))
        } else {
            Err(format!("differs from the database by {} s; synchronise both", skew.num_seconds()))
        },
    );
    let weak: Vec<String> = store::durability(&pool)
        .await?
        .into_iter()
        .map(|(setting, value)| format!("{setting} is {value}"))
        .collect();
    let weak = weak.join(", ");
    line(
        "durability",
        if weak.is_empty() {
            Ok("commits are flushed to disk".into())
        } else {
            Err(format!("{weak}: acknowledged events can be lost in a crash; turn it on"))
        },
    );
    let pending = store::pending_migrations(&pool).await?;
    if pending > 0 {
        line(
            "schema",
            Err(format!("{pending} pending migration(s); run `qontak-receiver migrate`")),
        );
        return Ok(ExitCode::FAILURE);
    }
    line("schema", Ok("up to date".into()));
    let stored = api_key::list_live(&pool).await?.len();
    line(
        "keys",
        Ok(match (config.key.len(), stored) {
            (0, 0) => "none, so the API cannot be read; run `qontak-receiver key create`".into(),
            (in_settings, stored) => {
                format!("{in_settings} in the settings, {stored} in the database")
            }
        }),
    );
    let problems = partition::problems(&pool).await?;
    let missing = partition::missing(&pool).await?;
    line(
        "partitions",
        match (problems.as_slice(), missing.first()) {
            ([], None) => Ok("exist for today and tomorrow".into()),
            ([], Some(day)) => Err(format!("none for {day}; run `qontak-receiver migrate`")),
            (problems, _) => Err(problems.join("; ")),
        },
    );
    line(
        "write",
        match store::dry_run::dry_run(&pool, WRITE_TIMEOUT, &[test_event()]).await {
            Ok(_) => Ok("a test event can be stored (rolled back)".into()),
            Err(failure) => Err(format!("a test event cannot be stored: {failure}")),
        },
    );
    for (name, settings) in &config.qontak {
        line("qontak", check_qontak(name, settings, config, pool.clone()).await);
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
) -> Result<String, String> {
    let client = Client::new(name, settings, config, pool);
    let fail = |error: qontak::Error| format!("{name}: {error}");
    client.check_organization().await.map_err(fail)?;
    let Some(url) = &settings.webhook_url else {
        return Ok(format!("{name}: credentials are valid; webhook_url is not set"));
    };
    let hooks = Hooks::fetch(&client).await.map_err(fail)?;
    let problems: Vec<String> = hooks
        .assess(url, &settings.events)
        .into_iter()
        .filter_map(|it| Some(format!("{} is {}", it.event.as_str(), it.problem?.as_str())))
        .collect();
    if problems.is_empty() {
        Ok(format!("{name}: credentials are valid, the webhook is registered"))
    } else {
        let problems = problems.join(", ");
        Err(format!("{name}: {problems}; run `qontak-receiver register`"))
    }
}

/// Checks that the spool can be read. Changes nothing, and works beside a running service.
fn check_spool(settings: &config::Spool) -> Result<String, String> {
    let Some(folder) = settings.folder() else {
        return Ok("none; webhooks get 503 while the database is unavailable".into());
    };
    let fail = |cause: &dyn Display| format!("{}: {cause}; check spool.folder", folder.display());
    if !folder.exists() {
        let parent = folder.parent().filter(|parent| parent.is_dir());
        return match parent {
            Some(_) => Ok(format!("{} is created at the first start", folder.display())),
            None => Err(fail(&"its parent folder does not exist")),
        };
    }
    match segment::count(folder) {
        Ok((webhooks, 0)) => Ok(format!("{webhooks} webhook(s) in {}", folder.display())),
        Ok((webhooks, bytes)) => {
            Err(fail(&format!("{bytes} unreadable bytes beside {webhooks} webhook(s)")))
        }
        Err(cause) => Err(fail(&cause)),
    }
}
