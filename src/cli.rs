//! `qontak-receiver serve | migrate | check | replay | healthcheck`.

mod replay;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::app;
use crate::config::Config;
use crate::model::Timestamp;
use crate::store::{self, partition};
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
    /// Read events of the journal again, by the rules of this version. Harmless to repeat.
    Replay(replay::Arguments),
    /// Ask the service on this machine whether it is alive; for a container's health check.
    Healthcheck,
}

/// Does what the command line asks for.
pub async fn run() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let config = Config::load(arguments.config.as_deref())?;
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            telemetry::start(&config.log)?;
            app::serve(config, stop_signal()?).await?;
        }
        Command::Migrate => {
            telemetry::start(&config.log)?;
            let pool = store::connect(&config.database, 1)?;
            store::migrate(&pool).await.context("migrate")?;
            app::make_partitions(&pool, &config.retention).await.context("partitions")?;
            info!("the schema is up to date");
        }
        Command::Check => return check(&config).await,
        Command::Replay(arguments) => {
            telemetry::start(&config.log)?;
            replay::run(config, arguments).await?;
        }
        Command::Healthcheck => healthcheck(&config).await?,
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

/// Prints one line for each thing that was looked at.
async fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let mut ok = true;
    let mut line = |name: &str, result: Result<String, String>| {
        let (mark, text) = match result {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                ok = false;
                ("FAIL", text)
            }
        };
        println!("{mark}  {name:<11}{text}");
    };
    let tokens: usize = config.endpoint.values().map(|endpoint| endpoint.tokens.len()).sum();
    let settings = format!(
        "{} endpoint(s), {tokens} token(s), {} key(s)",
        config.endpoint.len(),
        config.key.len()
    );
    line("settings", Ok(settings));

    if let Err(error) = store::reach(&config.database).await {
        line("database", Err(format!("{error:#}")));
        return Ok(ExitCode::FAILURE);
    }
    line("database", Ok("reached".into()));
    let pool = store::connect(&config.database, 1)?;
    let clock = store::clock(&pool).await?;
    let skew = (Timestamp::now().0 - clock.0).abs();
    line(
        "clock",
        if skew.num_seconds() <= 5 {
            Ok(format!("within {} ms of the database's", skew.num_milliseconds()))
        } else {
            Err(format!("{} s away from the database's; synchronise both", skew.num_seconds()))
        },
    );
    let weak = store::durability(&pool).await?;
    line(
        "durability",
        if weak.is_empty() {
            Ok("a commit is on disk".into())
        } else {
            Err(format!("{}: a crash can lose what was acknowledged; turn it on", weak.join(", ")))
        },
    );
    let pending = store::pending_migrations(&pool).await?;
    if pending > 0 {
        line(
            "schema",
            Err(format!("{pending} migration(s) to run; run `qontak-receiver migrate`")),
        );
        return Ok(ExitCode::FAILURE);
    }
    line("schema", Ok("up to date".into()));
    let missing = partition::missing(&pool).await?;
    line(
        "partitions",
        match missing.first() {
            None => Ok("there for today and tomorrow".into()),
            Some(day) => Err(format!("none for {day}; run `qontak-receiver migrate`")),
        },
    );
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
