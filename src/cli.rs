//! `qontak-receiver serve | migrate | check | key | replay | body | openapi | simulate | healthcheck`.

mod check;
mod key;
mod replay;
mod simulate;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use uuid::Uuid;

use crate::app;
use crate::config::Config;
use crate::model::EventId;
use crate::router::openapi;
use crate::store;
use crate::telemetry;

/// Receives the webhooks of Mekari Qontak, makes them durable, lets them be read.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings that win over the defaults; the environment wins over them.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Receive webhooks and serve the API (the default).
    Serve,
    /// Bring the database's schema up to date, make the journal's partitions, and end.
    Migrate,
    /// Tell what is wrong with settings, database, partitions or clock, and what to do.
    Check,
    /// Make, list and revoke keys of the read API.
    #[command(subcommand)]
    Key(key::Command),
    /// Read events of the journal again, by the rules of this version. Harmless to repeat.
    Replay(replay::Arguments),
    /// Print the body of an event of the journal, byte for byte as it came in.
    Body {
        /// Its id.
        event_id: Uuid,
    },
    /// Print the OpenAPI document of the API, as it is served at /openapi.json.
    Openapi,
    /// Play Qontak: send real-looking webhooks to a URL, measure, and look whether they are found.
    ///
    /// Needs no settings. Exit code 0 means that every event was answered as it should be, and,
    /// with --verify, that all of it was found.
    Simulate(simulate::Arguments),
    /// Ask the service on this machine whether it is alive; for a container's health check.
    Healthcheck,
}

/// Does what a command line asks for; the first of these words is the program's name.
pub async fn run(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse_from(words);
    let config = || Config::load(arguments.config.as_deref());
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let config = config()?;
            telemetry::start(&config.log)?;
            app::serve(config, stop_signal()?).await?;
        }
        Command::Migrate => {
            let config = config()?;
            telemetry::start(&config.log)?;
            let pool = store::connect(&config.database)?;
            store::migrate(&pool).await.context("migrate")?;
            app::upkeep::make_partitions(&pool, &config.retention).await.context("partitions")?;
            store::search::sync_indexes(&pool, config.search.enabled).await.context("search")?;
            info!("the schema is up to date");
        }
        Command::Check => return check::run(&config()?).await,
        Command::Key(command) => key::run(&config()?, command).await?,
        Command::Replay(arguments) => {
            let config = config()?;
            telemetry::start(&config.log)?;
            replay::run(config, arguments).await?;
        }
        Command::Body { event_id } => {
            let pool = store::connect(&config()?.database)?;
            let found = store::event::find_body(&pool, None, EventId(event_id)).await?;
            let (body, _) = found.context("the journal holds no such event")?;
            io::Write::write_all(&mut io::stdout(), &body)?;
        }
        Command::Openapi => println!("{}", openapi::text()),
        // It may run where there is no service, so it asks for none of its settings.
        Command::Simulate(arguments) => return simulate::run(arguments).await,
        Command::Healthcheck => healthcheck(&config()?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: stopping");
    })
}

/// Liveness, not readiness: a container must not be restarted because its database is away.
async fn healthcheck(config: &Config) -> anyhow::Result<()> {
    let mut address = config.ops.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(3), ask)
        .await
        .context("no answer in 3 s")?
        .with_context(|| format!("cannot ask {address}"))?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{address} does not answer 200");
    Ok(())
}
