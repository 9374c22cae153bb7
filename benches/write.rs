//! Benchmark of writing: the service against two baselines, for each scenario and number of
//! connections.

mod measure;
pub mod postgres;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tokio::time::sleep;

use self::measure::{COLUMNS, Measurement, Service, simulate};
use self::postgres::Cluster;
use crate::process::{cpu_in_use, memory_mb};
use crate::report::{self, Target, median, number, table};

const EXPLANATION: &str = "\
The services take turns: *ours* has default settings; *no search* is ours without the search \
indexes; *one each* is the same server and parser with one transaction per event, 16 at a time; \
*ceiling* drops the event after parsing; *Express* is a program of Node.js that inserts the body into one \
table, by a pool of 10 connections. Each connection sends its next event after the response to \
the last. CPU, from /proc, and WAL are per acknowledged delivery. Disk is the growth of all tables and \
indexes per stored event. Memory is the peak of the service. No checkpoint occurs during the run. Values \
are medians of all rounds, ratios are medians of the ratios of each round.";

/// Share of the CPU that other processes may use before the run.
const MAX_CPU_IN_USE: f64 = 0.1;

/// How much the events/s of a service may differ between rounds.
const MAX_SPREAD: f64 = 1.15;

const CONNECTIONS: [u16; 4] = [1, 16, 64, 256];

#[derive(Args)]
pub struct Arguments {
    /// URL of a Postgres cluster used by nothing else, as a superuser.
    #[arg(long)]
    cluster: String,
    /// Database with 10 million messages in it, which the scenario `stored` copies.
    #[arg(long)]
    stored: Option<String>,
    /// Duration of each measurement.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Number of rounds.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Folder of the Express peer with its packages.
    #[arg(long)]
    express: Option<PathBuf>,
    /// Measure this scenario only; may be repeated.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Scenario {
    Messages,
    Stored,
    Mix,
    Duplicates,
    Broadcast,
}

impl Scenario {
    /// Its title, and the arguments of `simulate`.
    const fn describe(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Messages => ("Messages", &["--scenario", "message"]),
            Self::Stored => ("Messages, 10 million stored", &["--scenario", "message"]),
            Self::Mix => ("All kinds of events", &["--scenario", "storm"]),
            Self::Duplicates => {
                ("Messages, half of them duplicates", &["--scenario", "message", "--twice"])
            }
            Self::Broadcast => (
                "Broadcast to 100,000 recipients",
                &["--scenario", "broadcast", "--recipients", "100000"],
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Variant {
    Ceiling,
    Ours,
    NoSearch,
    OneEach,
    Express,
}

impl Variant {
    const ALL: [Self; 5] =
        [Self::Ceiling, Self::Ours, Self::NoSearch, Self::OneEach, Self::Express];

    /// Its name, and the role of this program.
    const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Ceiling => ("ceiling", "ceiling"),
            Self::Ours => ("ours", "receiver"),
            Self::NoSearch => ("no search", "receiver"),
            Self::OneEach => ("one each", "one-each"),
            Self::Express => ("Express", "node"),
        }
    }
}

/// Identifies a row of the tables.
type Row = (Scenario, u16, Variant);

#[derive(Default)]
struct Results {
    /// One measurement per round.
    rows: BTreeMap<Row, Vec<Measurement>>,
    /// Memory of the idle service.
    idle_mb: Vec<f64>,
    /// Median duration of a single-row insert.
    insert_ms: Vec<f64>,
}

/// Runs the benchmark and removes its databases, including those of an interrupted run.
pub async fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    ensure!(arguments.seconds >= 0.1 && arguments.rounds > 0, "at least 0.1 seconds and 1 round");
    if arguments.only.is_empty() {
        let all = Scenario::value_variants().iter().copied();
        let has_data =
            |scenario: &Scenario| *scenario != Scenario::Stored || arguments.stored.is_some();
        arguments.only = all.filter(has_data).collect();
    }
    let mut cluster = Cluster::connect(&arguments.cluster).await?;
    cluster.drop_databases().await?;
    let cpu_in_use = cpu_in_use().await?;
    let results = run_rounds(&mut cluster, &arguments).await;
    cluster.drop_databases().await?;
    let results = results?;
    let Arguments { cluster, rounds, seconds, .. } = arguments;
    let noise = results.noise(cpu_in_use);
    let tables =
        format!("{rounds} rounds, {seconds} s per measurement. {noise}{}", results.tables());
    report::print(&cluster, &tables, &results.targets()).await
}

async fn run_rounds(cluster: &mut Cluster, arguments: &Arguments) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let mut copy = None;
    if arguments.only.contains(&Scenario::Stored) {
        eprintln!("copying 10 million messages");
        let template = arguments.stored.as_ref().context("--stored is required")?;
        copy = Some(cluster.copy_and_touch_pages(template).await?);
    }
    // After a checkpoint the first change of each page writes all of it to the WAL, which would
    // dominate a short measurement. So there must be none in between.
    let checkpoint = cluster.last_checkpoint().await?;
    for round in 1..=arguments.rounds {
        for &scenario in &arguments.only {
            let progress = format!("round {round}: {}", scenario.describe().0);
            eprintln!("{progress}");
            let database = copy.as_deref().filter(|_| scenario == Scenario::Stored);
            run_scenario(cluster, scenario, database, arguments, &mut results)
                .await
                .context(progress)?;
        }
    }
    let is_same = cluster.last_checkpoint().await? == checkpoint;
    ensure!(is_same, "checkpoint during the run; measure fewer seconds or rounds");
    Ok(results)
}

/// Measures every row of a scenario once, on `database` or on a new one per service.
async fn run_scenario(
    cluster: &mut Cluster,
    scenario: Scenario,
    database: Option<&str>,
    arguments: &Arguments,
    results: &mut Results,
) -> anyhow::Result<()> {
    let express = arguments.express.as_deref();
    let mut services = Vec::new();
    for variant in Variant::ALL {
        let is_measured = match variant {
            Variant::NoSearch => scenario == Scenario::Messages,
            Variant::Express => scenario == Scenario::Messages && express.is_some(),
            _ => true,
        };
        if is_measured {
            services.push(Service::start(cluster, variant, database, express).await?);
        }
    }
    if scenario == Scenario::Messages {
        sleep(Duration::from_secs(1)).await;
        results.idle_mb.push(memory_mb(services[Variant::Ours as usize].pid(), "VmRSS:")?);
    }
    for service in &services {
        // Warm-up for prepared statements and first pages, and for pages of stored rooms and senders.
        let is_large = scenario == Scenario::Stored && service.variant == Variant::Ours;
        let count = if is_large { "10000" } else { "500" };
        simulate(&service.url, scenario, 64, ["--count", count]).await?;
    }
    let seconds = arguments.seconds.to_string();
    for connections in CONNECTIONS {
        if (scenario, connections) == (Scenario::Messages, 1) {
            results.insert_ms.push(cluster.time_single_inserts().await?);
        }
        for service in &mut services {
            let row = (scenario, connections, service.variant);
            let runs = results.rows.entry(row).or_default();
            let mut limit = ["--seconds", &seconds];
            // One complete broadcast is measured; it takes longer than all other rows.
            if row == (Scenario::Broadcast, 256, Variant::Ours) {
                if !runs.is_empty() {
                    continue;
                }
                limit = ["--broadcasts", "1"];
            }
            runs.push(service.measure(cluster, scenario, connections, limit).await?);
        }
    }
    Ok(())
}

impl Results {
    fn runs(&self, row: Row) -> &[Measurement] {
        self.rows.get(&row).map_or(&[], Vec::as_slice)
    }

    fn median(&self, row: Row, value: impl Fn(&Measurement) -> f64) -> f64 {
        median(self.runs(row).iter().map(value))
    }

    /// Median of the ratios of events/s in each round.
    fn ratio(&self, row: Row, other: Row) -> f64 {
        let rounds = self.runs(row).iter().zip(self.runs(other));
        median(rounds.map(|(one, other)| one.events_per_s / other.events_per_s))
    }

    /// What to say of a machine that is too noisy; empty if it is quiet.
    fn noise(&self, cpu_in_use: f64) -> String {
        let spread = self.spread();
        if cpu_in_use <= MAX_CPU_IN_USE && (spread.is_nan() || spread <= MAX_SPREAD) {
            return String::new();
        }
        let noise = format!(
            "**The machine was too noisy to tell**: before the run other processes used {:.0} % of its CPU \
             (at most {:.0} % is quiet), and between rounds the events/s of a service differed by a factor \
             of {} (at most {MAX_SPREAD} is quiet).\n\n",
            cpu_in_use * 100.0,
            MAX_CPU_IN_USE * 100.0,
            number(spread),
        );
        eprintln!("{noise}");
        noise
    }

    /// Highest ÷ lowest number of events/s of the same service in different rounds: the median of all
    /// rows.
    fn spread(&self) -> f64 {
        let spreads = self.rows.values().filter(|runs| runs.len() > 1).map(|runs| {
            let rates = runs.iter().map(|run| run.events_per_s);
            let (least, most) = rates
                .fold((f64::MAX, 0_f64), |(least, most), rate| (least.min(rate), most.max(rate)));
            most / least
        });
        median(spreads)
    }

    /// One table per scenario.
    fn tables(&self) -> String {
        let mut header = vec!["service", "connections"];
        header.extend(COLUMNS.map(|(name, _)| name));
        header.extend(["÷ ceiling", "÷ one each"]);
        let mut text = EXPLANATION.to_owned() + "\n";
        for &scenario in Scenario::value_variants() {
            let mut rows = Vec::new();
            for &row in self.rows.keys().filter(|row| row.0 == scenario) {
                let mut cells = vec![row.2.describe().0.to_owned(), row.1.to_string()];
                cells.extend(COLUMNS.map(|(_, value)| number(self.median(row, value))));
                cells.extend([Variant::Ceiling, Variant::OneEach].map(|other| {
                    let is_ours = row.2 == Variant::Ours;
                    let ratio = || number(self.ratio(row, (row.0, row.1, other)));
                    is_ours.then(ratio).unwrap_or_default()
                }));
                rows.push(cells);
            }
            if !rows.is_empty() {
                text += &format!("\n### {}\n\n{}", scenario.describe().0, table(&header, &rows));
            }
        }
        text
    }

    fn targets(&self) -> Vec<Target> {
        let full = |variant| (Scenario::Messages, 256, variant);
        let ours = full(Variant::Ours);
        let lone = self.runs((Scenario::Messages, 1, Variant::Ours)).iter().zip(&self.insert_ms);
        let cpu = self.median(ours, |run| run.service_cpu_us + run.postgres_cpu_us);
        let queueing = self.median(ours, |run| run.p99_ms / (256.0 / run.events_per_s * 1e3));
        let lone = median(lone.map(|(run, insert_ms)| run.p50_ms / insert_ms));
        let stored = self.ratio((Scenario::Stored, 256, Variant::Ours), ours);
        let ratio = |variant| self.ratio(ours, full(variant));
        let express =
            self.median(full(Variant::Express), |run| run.service_cpu_us + run.postgres_cpu_us);
        let memory = self.median(ours, |run| run.memory_mb);
        let idle = median(self.idle_mb.iter().copied());
        let disk = self.median(ours, |run| run.disk_bytes);
        let wal = self.median(ours, |run| run.wal_bytes);
        // With 256 connections unless the target says otherwise.
        vec![
            Target::at_most("CPU of service and Postgres per event, µs", 60.0, cpu),
            Target::at_least("CPU per event, Express ÷ ours", 5.8, express / cpu),
            Target::at_least("events/s, ours ÷ one each", 12.0, ratio(Variant::OneEach)),
            Target::at_least("events/s, ours ÷ ceiling", 0.5, ratio(Variant::Ceiling)),
            Target::at_most("p99 ÷ (256 ÷ events/s)", 2.0, queueing),
            Target::at_most("p50 with 1 connection ÷ p50 of a single-row insert", 1.5, lone),
            Target::at_least("events/s, 10 million stored ÷ empty", 0.85, stored),
            Target::at_least("events/s, with search ÷ without", 0.85, ratio(Variant::NoSearch)),
            Target::at_most("memory, MB", 64.0, memory),
            Target::at_most("memory when idle, MB", 20.0, idle),
            Target::at_most("disk per message event, all tables and indexes, B", 1200.0, disk),
            Target::at_most("WAL per message event, B", 2000.0, wal),
        ]
    }
}
