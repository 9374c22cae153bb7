//! How much does receiving cost, and what share of it is ours?
//!
//! ```text
//! rounds    every cell: a scenario, so many connections, one of the services
//!   ├─ service   starts them: ours, and two that stand in for it (`stand_in`)
//!   └─ run       what a cell cost, from
//!        ├─ client    who sends, by `qontak-receiver simulate`
//!        ├─ cluster   what Postgres knows: bytes, rows
//!        └─ process   what the system knows: time on the CPU, memory
//! results   of all rounds
//!   ├─ reach     what is to be reached, and what was
//!   └─ report    tables and JSON
//! ```
//!
//! `scripts/bench.sh` starts the cluster and calls this.

mod client;
mod cluster;
#[path = "../report/machine.rs"]
mod machine;
mod process;
mod reach;
mod report;
mod results;
mod rounds;
mod run;
mod service;
mod stand_in;
#[path = "../report/table.rs"]
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use sqlx::postgres::PgConnectOptions;
use tikv_jemallocator::Jemalloc;

use self::client::Scenario;
use self::cluster::Cluster;
use self::rounds::Plan;

// As the service does: the ceiling must not pay for another one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
    #[arg(long, default_value_t = 0.5)]
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
    /// Be the service that drops events; by the settings of the real one.
    Ceiling,
    /// Be the one that writes each event in a transaction.
    OneEach,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Ceiling) => stand_in::serve_ceiling().await,
        Some(Command::OneEach) => stand_in::serve_one_each().await,
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
    let plan = Plan {
        scenarios: Scenario::ALL.into_iter().filter(is_wanted).collect(),
        filled: stored,
        rounds,
        time: Duration::from_secs_f64(seconds),
    };
    let mut cluster = Cluster::connect(cluster.context("--cluster is missing")?).await?;
    let mut facts = machine::machine();
    facts.push(("Postgres", cluster.description().await?));
    facts.push(("rounds", format!("{rounds}, with {seconds} s for each cell")));
    let measured = plan.run(&mut cluster).await?;
    report::write(&facts, &measured, &results)
}
