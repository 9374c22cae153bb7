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
//!   └─ tables    for people
//! ```

mod client;
mod cluster;
mod process;
mod reach;
mod results;
mod rounds;
mod run;
mod service;
pub mod stand_in;
mod tables;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use self::client::Scenario;
use self::cluster::Cluster;
use self::rounds::Plan;
use crate::report;

#[derive(Args)]
pub struct Arguments {
    /// A cluster of its own, as a superuser: databases are made and dropped there.
    #[arg(long)]
    cluster: String,
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
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// This scenario only; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
}

/// Measures all that is asked for.
pub async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { cluster, stored, results, seconds, rounds, only } = arguments;
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
    let mut cluster = Cluster::connect(cluster.parse()?).await?;
    let mut facts = report::machine();
    facts.push(("Postgres", cluster.description().await?));
    facts.push(("rounds", format!("{rounds}, with {seconds} s for each cell")));
    let measured = plan.run(&mut cluster).await?;
    let reach = reach::compare(&measured);
    report::write(&facts, &tables::all(&measured), &measured, &reach, &results)
}
