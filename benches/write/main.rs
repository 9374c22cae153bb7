//! How much does receiving cost, and what share of it is ours?
//!
//! ```text
//! main      every cell: a scenario, so many connections, one of three services; in rounds
//!   ├─ service   starts them: ours, one event a transaction, and the ceiling (`ceiling`)
//!   ├─ client    sends, by `qontak-receiver simulate`
//!   ├─ cluster   what Postgres knows: databases, bytes, rows
//!   ├─ process   what the system knows: time on the CPU, memory
//!   └─ run       what a cell cost, from all of these
//! report    medians, tables, JSON
//!   └─ reach     what is to be reached, and what was
//! ```
//!
//! `scripts/bench.sh` starts the cluster and calls this.

mod ceiling;
mod client;
mod cluster;
mod process;
mod reach;
mod report;
mod run;
mod service;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use sqlx::postgres::PgConnectOptions;
use tikv_jemallocator::Jemalloc;
use tokio::time::sleep;

use self::client::Scenario;
use self::cluster::Cluster;
use self::report::Report;
use self::service::{Service, Variant};

// As the service does: the ceiling must not pay for another one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How many connections, each with one event at a time.
const CONNECTIONS: [u16; 4] = [1, 16, 64, 256];

/// What the filled database is copied to.
const COPY: &str = "stored";

/// How long services rest before their memory counts as idle.
const REST: Duration = Duration::from_secs(1);

/// What is sent beforehand, so that statements are prepared and tables have their first pages.
const WARM_UP: [&str; 2] = ["--count", "2000"];

#[derive(Parser)]
#[command(subcommand_negates_reqs = true)]
struct Arguments {
    /// A cluster of its own, as a superuser: databases are made and dropped there.
    #[arg(long, required = true)]
    cluster: Option<PgConnectOptions>,
    /// A database there with 10 million messages, to be copied.
    #[arg(long)]
    stored: Option<String>,
    /// Where the results go: as JSON here, as Markdown beside it.
    #[arg(long, default_value = "target/bench.json")]
    results: PathBuf,
    /// How long each cell is measured, in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How often; the median is shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// This scenario only; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve as the ceiling does; with the settings of the service.
    Ceiling,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Ceiling) => ceiling::serve().await,
        None => measure(arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { cluster, stored, results, seconds, rounds, only, .. } = arguments;
    ensure!(seconds >= 0.1 && rounds > 0, "expected at least 0.1 seconds, and a round");
    let is_wanted = |scenario: &Scenario| match scenario {
        _ if !only.is_empty() => only.contains(scenario),
        Scenario::Stored => stored.is_some(),
        _ => true,
    };
    let scenarios: Vec<_> = Scenario::ALL.into_iter().filter(is_wanted).collect();
    let mut cluster = Cluster::connect(cluster.context("--cluster is missing")?).await?;
    let mut facts = report::machine();
    facts.push(("Postgres", cluster.description().await?));
    facts.push(("runs", format!("medians of {rounds} rounds, {seconds} s for each cell in each")));
    let mut report = Report::new(facts);
    if scenarios.contains(&Scenario::Stored) {
        let filled = stored.context("--stored is missing")?;
        // One copy for all: what is added to it is little beside what is there.
        cluster.create_database(COPY, &filled).await?;
    }
    for round in 1..=rounds {
        let insert = cluster.time_single_inserts(Duration::from_secs_f64(seconds)).await?;
        report.note_insert(insert);
        for &scenario in &scenarios {
            let name = format!("round {round} of {rounds}: {scenario}");
            eprintln!("{name}");
            let measured = measure_scenario(&mut cluster, scenario, seconds, &mut report).await;
            measured.with_context(|| name)?;
        }
    }
    for name in [COPY].into_iter().chain(Variant::ALL.into_iter().filter_map(Variant::database)) {
        cluster.drop_database(name).await?;
    }
    report.write(&results)
}

/// Every cell of a scenario once. The services take turns, so what else the machine does meets
/// all of them.
async fn measure_scenario(
    cluster: &mut Cluster,
    scenario: Scenario,
    seconds: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut services = Vec::new();
    for variant in Variant::ALL {
        let database = match (variant.database(), scenario) {
            (None, _) => None,
            (Some(_), Scenario::Stored) => Some(cluster.open(COPY).await?),
            (Some(name), _) => {
                cluster.create_database(name, "template1").await?;
                Some(cluster.open(name).await?)
            }
        };
        services.push(Service::start(variant, database).await?);
    }
    sleep(REST).await;
    for service in &mut services {
        if service.variant == Variant::Ours {
            report.note_idle(process::resident_bytes(service.pid)?);
        }
        client::send(&service.url, scenario, 64, WARM_UP).await?;
    }
    for connections in CONNECTIONS {
        for service in &mut services {
            let run = run::measure(cluster, service, scenario, connections, seconds).await?;
            report.note(scenario, connections, service.variant, run);
        }
    }
    for service in services {
        service.end().await?;
    }
    Ok(())
}
