//! Command line: one file per command that needs more than a few lines.

mod backfill;
mod check;
mod erase;
mod key;
mod output;
mod register;
mod replay;
mod retention;
#[cfg(feature = "simulate")]
mod simulate;
mod spool;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use uuid::Uuid;

use self::output::{print_bytes, print_line};
use crate::app;
use crate::config::{Config, LogFormat};
use crate::console::state::DemoTraffic;
use crate::model::EventId;
use crate::router::openapi;
use crate::store;
use crate::telemetry;

/// Stores Mekari Qontak webhooks in Postgres and serves them over a REST API
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings file (TOML); overrides the defaults, overridden by the environment
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Receive webhooks and serve the API (default)
    Serve,
    /// Apply pending migrations, create journal partitions and search indexes, then exit
    Migrate {
        /// Days to create partitions for, besides today [default: retention.days_ahead]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: Option<u64>,
    },
    /// Check settings, ports, spool, database, clock, keys, partitions and Qontak's webhook settings
    ///
    /// Prints one line per check. One that is not fine says what to do. The exit code is 1 if one failed;
    /// a line `warn` does not count.
    Check(check::Arguments),
    /// Register the webhook URL at Qontak
    ///
    /// Tests the URL, switches missing events on, and verifies the result. Running it again changes
    /// nothing. Exit codes: 0 registered; 1 settings or URL refused, nothing changed; 3 credentials or
    /// clock refused; 4 Qontak unavailable, try again; 5 changed, but the result is not as expected; 6
    /// with --dry-run: something would change.
    Register(register::Arguments),
    /// Read from Qontak's API what webhooks did not bring, and store it
    ///
    /// Compares rooms, messages and broadcasts with what is stored. Rows that are equal change nothing.
    /// Run again after an interruption, it goes on where it stopped. Exit codes: 0 complete; 1 settings
    /// refused; 3 credentials or clock refused; 4 Qontak or the database unavailable, or another
    /// backfill is running; try again.
    Backfill(backfill::Arguments),
    /// Erase a person or an organisation from all tables and from the bodies of the journal
    ///
    /// Cannot be undone. Erase at Qontak first: a backfill would fetch again what is still there.
    Erase(erase::Arguments),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Replay events of the journal with the current parser
    ///
    /// Can be repeated: replaying an event again has no further effect.
    Replay(replay::Arguments),
    /// Drop journal partitions and delete rows that have reached their age, as the service does
    ///
    /// Works at once, whatever retention.from_hour and to_hour say. It can be stopped and repeated.
    Retention(retention::Arguments),
    /// Read files of the spool
    #[command(subcommand)]
    Spool(spool::Command),
    /// Print the raw request body of an event
    Body {
        /// Event id
        event_id: Uuid,
    },
    /// Print the OpenAPI document, as served at /openapi.json
    Openapi,
    /// Send simulated Qontak webhooks to a URL, measure latency, and verify the result; or, with
    /// --serve, play Qontak's own API
    ///
    /// Needs no settings. The exit code is 0 if every event got the expected response and, with
    /// --verify, the API shows the expected state.
    #[cfg(feature = "simulate")]
    Simulate(Box<simulate::Arguments>),
    /// Exit with 0 if the service on this machine is alive; for container health checks
    Healthcheck,
}

/// Runs a command line, whose first word is the program's name.
pub async fn run(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse_from(words);
    let load = || Config::load(arguments.config.as_deref());
    let config = async || {
        let config = load()?;
        store::primary::choose(&config.database).await;
        anyhow::Ok(config)
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => return serve(load()).await,
        Command::Migrate { days } => {
            let mut config = config().await?;
            telemetry::start(&config.log)?;
            config.retention.days_ahead = days.unwrap_or(config.retention.days_ahead);
            let found = app::check::database::connection(&config.database).await;
            let found = found.context(store::UNREACHABLE)?;
            ensure!(found.state != app::check::State::Fail, "{}: {}", found.name, found.text);
            let pool = store::connect(&config.database)?;
            store::migrate(&pool).await.context("cannot migrate the schema")?;
            app::upkeep::make_partitions(&pool, &config.retention)
                .await
                .context("cannot create partitions")?;
            store::search::sync_indexes(&pool, config.search.enabled)
                .await
                .context("cannot prepare search indexes")?;
            info!("schema is up to date");
        }
        Command::Check(arguments) => return check::run(config().await, arguments).await,
        Command::Register(arguments) => return register::run(&config().await?, arguments).await,
        Command::Backfill(arguments) => {
            return backfill::run(config().await?, arguments, stop_signal()?).await;
        }
        Command::Erase(arguments) => erase::run(config().await?, arguments).await?,
        Command::Key(command) => key::run(&config().await?, command).await?,
        Command::Replay(arguments) => {
            let config = config().await?;
            telemetry::start(&config.log)?;
            replay::run(config, arguments, stop_signal()?).await?;
        }
        Command::Retention(arguments) => {
            let config = config().await?;
            telemetry::start(&config.log)?;
            retention::run(config, &arguments).await?;
        }
        // Without settings: a damaged file may be read on another machine.
        Command::Spool(command) => spool::run(command)?,
        Command::Body { event_id } => {
            let pool = store::connect(&config().await?.database)?;
            let found = store::event::find_body(&pool, None, EventId(event_id)).await?;
            let (body, _) = found.context("event not found in the journal")?;
            print_bytes(&body);
        }
        Command::Openapi => print_line(format_args!("{}", openapi::text())),
        // Without settings: it may run on another machine than the service.
        #[cfg(feature = "simulate")]
        Command::Simulate(arguments) => return simulate::run(*arguments).await,
        // Liveness, not readiness: restarting a container does not help when its database is
        // unavailable.
        Command::Healthcheck => app::check::port::is_alive(load()?.ops.listen).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves. An error is a line of the log if that is JSON.
async fn serve(config: anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let is_json = match &config {
        Ok(config) => matches!(config.log.format, LogFormat::Json),
        Err(_) => Config::is_log_json(),
    };
    let served = async {
        let config = config?;
        config.check_endpoints()?;
        telemetry::start(&config.log)?;
        app::serve(config, demo(), stop_signal()?).await
    };
    match served.await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_json => {
            telemetry::print_error("service ended", &error);
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    }
}

/// Traffic for `console.demo`, if this binary can make it.
const fn demo() -> Option<DemoTraffic> {
    #[cfg(feature = "simulate")]
    return Some(crate::simulate::day);
    #[cfg(not(feature = "simulate"))]
    None
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
    })
}
