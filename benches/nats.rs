//! Benchmark of NATS in front of Postgres: three nodes on this machine, the service, its Postgres and the load
//! generator share its cores.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;
use sqlx::PgConnection;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::process::{Server, simulate, stat};
use crate::report::{self, Target, number, table};
use crate::write::postgres::Cluster;

const EXPLANATION: &str = "\
Three NATS nodes, each of which syncs before it acknowledges. *log alone*: NATS is first and Postgres \
does not exist; a response says that two of three nodes have synced the webhook. *direct*: the same \
service without NATS. *drain*: what waits in NATS after the first rows is committed by a service that \
starts then. CPU is per acknowledged webhook: of the service, and of all three nodes together, with the \
delivery of messages to the service. In the last rows 500 webhooks per second arrive while a node is \
killed, frozen, or killed and wiped, and comes back; NATS is first, the local disk next.";

const TOKEN: &str = "a-token-for-the-benchmark";

/// Webhooks per second while a node fails.
const RATE: u32 = 500;

/// Time for which a node fails.
const FAILURE: Duration = Duration::from_secs(4);

#[derive(Args)]
pub struct Arguments {
    /// URL of a Postgres cluster used by nothing else, as a superuser.
    #[arg(long)]
    cluster: String,
    /// Folder of NATS nodes that `scripts/nats.sh` has started, used by nothing else.
    #[arg(long)]
    nodes: PathBuf,
    /// Duration of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// The NATS nodes.
struct Nodes(PathBuf);

#[derive(Default)]
struct Row {
    name: String,
    connections: Option<u16>,
    acknowledged: f64,
    events_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    service_cpu_us: f64,
    nodes_cpu_us: f64,
    refused: f64,
}

/// Runs the benchmark.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let nodes = Nodes(arguments.nodes);
    let mut cluster = Cluster::connect(&arguments.cluster).await?;
    cluster.drop_databases().await?;
    let seconds = arguments.seconds.to_string();
    let mut rows = Vec::new();

    eprintln!("log alone");
    let streams = format!("bench-{}", std::process::id());
    let mut settings = nodes.settings(&streams)?;
    settings.push(("RECEIVER__SPOOL__FIRST".into(), "true".into()));
    let mut of_log = settings.clone();
    of_log.push(database("postgres://127.0.0.1:1/nowhere".to_owned()));
    let service = Server::start("receiver", of_log).await?;
    let mut waiting =
        measure(&service, &nodes, "warm-up", 64, &["--count", "500"]).await?.acknowledged;
    for connections in [1, 16, 256] {
        let limit = ["--seconds", &seconds];
        let row = measure(&service, &nodes, "log alone", connections, &limit).await?;
        waiting += row.acknowledged;
        rows.push(row);
    }
    service.stop().await?;

    eprintln!("drain of {waiting:.0} webhooks");
    let (url, mut db) = cluster.open(None).await?;
    settings.push(database(url));
    let service = Server::start("receiver", settings.clone()).await?;
    let drained_per_s = drain(&mut db, waiting).await?;
    rows.push(Row { name: "drain".to_owned(), events_per_s: drained_per_s, ..Row::none() });
    service.stop().await?;

    eprintln!("direct");
    let (url, _) = cluster.open(None).await?;
    let service = Server::start("receiver", [database(url), token()]).await?;
    measure(&service, &nodes, "warm-up", 64, &["--count", "500"]).await?;
    let direct = measure(&service, &nodes, "direct", 256, &["--seconds", &seconds]).await?;
    let ratio = drained_per_s / direct.events_per_s;
    rows.push(Row { nodes_cpu_us: f64::NAN, ..direct });
    service.stop().await?;

    let folder = nodes.0.with_extension("spool");
    settings.push(("RECEIVER__SPOOL__FOLDER".into(), folder.to_string_lossy().into_owned()));
    let service = Server::start("receiver", settings).await?;
    for failure in ["killed", "frozen", "wiped"] {
        eprintln!("a node is {failure}");
        rows.push(fail(&service, &nodes, failure).await?);
    }
    service.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    cluster.drop_databases().await?;

    let load = std::fs::read_to_string("/proc/loadavg")?;
    let text = format!(
        "{seconds} s per measurement. Load of the machine at the end: {}. {EXPLANATION}\n\n{}",
        load.split(' ').next().unwrap_or_default(),
        show(&rows)
    );
    report::print(&arguments.cluster, &text, &targets(&rows, ratio)).await
}

fn targets(rows: &[Row], ratio: f64) -> Vec<Target> {
    let alone = |connections| {
        let found = rows.iter().find(|row| row.connections == Some(connections));
        found.expect("it was measured")
    };
    let failures = || rows.iter().filter(|row| row.name.starts_with("a node"));
    let refused = failures().map(|row| row.refused).sum();
    let slowest = failures().map(|row| row.p999_ms).fold(f64::NAN, f64::max);
    vec![
        Target::at_least("events/s, log alone, 256 connections", 10_000.0, alone(256).events_per_s),
        Target::at_most(
            "CPU of all nodes per event, 256 connections, µs",
            40.0,
            alone(256).nodes_cpu_us,
        ),
        Target::at_most(
            "CPU of all nodes per event, 16 connections, µs",
            400.0,
            alone(16).nodes_cpu_us,
        ),
        Target::at_most("p50, 1 connection, ms", 2.5, alone(1).p50_ms),
        Target::at_most("refused while a node fails, 500/s", 0.0, refused),
        Target::at_most("p99.9 while a node fails, 500/s, ms", 450.0, slowest),
        Target::at_least("drain ÷ direct, 256 connections", 0.8, ratio),
    ]
}

fn show(rows: &[Row]) -> String {
    let header = [
        "",
        "connections",
        "events/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "service µs",
        "nodes µs",
        "refused",
    ];
    let cells = |row: &Row| {
        let connections = row.connections.map_or_else(String::new, |count| count.to_string());
        let numbers = [
            row.events_per_s,
            row.p50_ms,
            row.p99_ms,
            row.p999_ms,
            row.max_ms,
            row.service_cpu_us,
            row.nodes_cpu_us,
            row.refused,
        ];
        let numbers = numbers.map(number);
        [row.name.clone(), connections].into_iter().chain(numbers).collect()
    };
    table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn database(url: String) -> (String, String) {
    ("DATABASE_URL".to_owned(), url)
}

fn token() -> (String, String) {
    ("RECEIVER__ENDPOINT__QONTAK__TOKENS".to_owned(), TOKEN.to_owned())
}

/// Sends messages until `limit`.
async fn measure(
    service: &Server,
    nodes: &Nodes,
    name: &str,
    connections: u16,
    limit: &[&str],
) -> anyhow::Result<Row> {
    let cpu_before = (stat(service.pid)?.1, nodes.cpu_us()?);
    let url = format!("http://{}/webhooks/qontak/{TOKEN}", service.address);
    let count = connections.to_string();
    let arguments = [&["--scenario", "message", "--connections", &count], limit].concat();
    let (_, report) = simulate(&url, &arguments).await?;
    let cpu = (stat(service.pid)?.1, nodes.cpu_us()?);
    let number = |path| report.pointer(path).and_then(Value::as_f64).context("simulate --json");
    let responses = report["answers"].as_array().into_iter().flatten();
    let handshakes = responses.filter(|response| response["what"] == "handshake");
    let handshakes: f64 = handshakes.filter_map(|response| response["count"].as_f64()).sum();
    let acknowledged = number("/sent")? - number("/failed")? - handshakes;
    ensure!(acknowledged > 0.0, "nothing was acknowledged: {report}");
    Ok(Row {
        name: name.to_owned(),
        connections: Some(connections),
        acknowledged,
        events_per_s: acknowledged / number("/seconds")?,
        p50_ms: number("/latency_ms/p50")?,
        p99_ms: number("/latency_ms/p99")?,
        p999_ms: number("/latency_ms/p99.9")?,
        max_ms: number("/latency_ms/max")?,
        service_cpu_us: (cpu.0 - cpu_before.0) / acknowledged,
        nodes_cpu_us: (cpu.1 - cpu_before.1) / acknowledged,
        refused: number("/failed")?,
    })
}

impl Row {
    /// A row without values.
    fn none() -> Self {
        let nan = f64::NAN;
        Self {
            p50_ms: nan,
            p99_ms: nan,
            p999_ms: nan,
            max_ms: nan,
            service_cpu_us: nan,
            nodes_cpu_us: nan,
            refused: nan,
            ..Self::default()
        }
    }
}

/// Waits until nothing waits in NATS; returns the events committed per second, from the first commit on.
/// Fails if fewer than `acknowledged` are.
async fn drain(db: &mut PgConnection, acknowledged: f64) -> anyhow::Result<f64> {
    let mut count = async || {
        let count = "select count(*) from event";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *db).await
    };
    while count().await? == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let (began, first) = (Instant::now(), count().await?);
    let (mut last, mut last_at) = (first, began);
    // The depth that the service knows may be seconds old.
    while last_at.elapsed() < Duration::from_secs(8) {
        sleep(Duration::from_millis(50)).await;
        let stored = count().await?;
        if stored > last {
            (last, last_at) = (stored, Instant::now());
        }
    }
    ensure!(last as f64 >= acknowledged, "{acknowledged} acknowledged, but {last} stored");
    Ok((last - first) as f64 / (last_at - began).as_secs_f64())
}

/// Sends [`RATE`] messages per second while a node fails and comes back.
async fn fail(service: &Server, nodes: &Nodes, failure: &str) -> anyhow::Result<Row> {
    let seconds = (FAILURE * 2).as_secs() as u32;
    let (rate, count) = (RATE.to_string(), (RATE * seconds).to_string());
    let limit = ["--rate", rate.as_str(), "--count", count.as_str()];
    let name = format!("a node is {failure}");
    let (row, failed) = tokio::join!(measure(service, nodes, &name, 256, &limit), async {
        sleep(FAILURE / 4).await;
        match failure {
            "frozen" => nodes.signal(2, "STOP")?,
            _ => nodes.signal(2, "KILL")?,
        }
        if failure == "wiped" {
            sleep(Duration::from_millis(200)).await;
            std::fs::remove_dir_all(nodes.0.join("n2"))?;
        }
        sleep(FAILURE).await;
        if failure == "frozen" {
            nodes.signal(2, "CONT")?;
        }
        nodes.start().await
    });
    failed?;
    // The node must have caught up before the next failure. Its CPU time began anew.
    sleep(FAILURE).await;
    Ok(Row { connections: None, nodes_cpu_us: f64::NAN, service_cpu_us: f64::NAN, ..row? })
}

impl Nodes {
    fn script(what: &str, folder: &Path) -> Command {
        let mut command = Command::new("scripts/nats.sh");
        command.arg(what).arg(folder).stdin(Stdio::null());
        command
    }

    /// Starts the nodes that do not run.
    async fn start(&self) -> anyhow::Result<()> {
        let mut command = Self::script("start", &self.0);
        ensure!(spawn_blocking(move || command.status()).await??.success(), "nodes did not start");
        Ok(())
    }

    fn settings(&self, streams: &str) -> anyhow::Result<Vec<(String, String)>> {
        let list = |what| -> anyhow::Result<String> {
            let output = Self::script(what, &self.0).output()?;
            ensure!(output.status.success(), "no nodes in {}", self.0.display());
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        Ok(vec![
            token(),
            ("RECEIVER__SPOOL__SERVERS".into(), list("urls")?),
            ("RECEIVER__SPOOL__MONITORS".into(), list("monitors")?),
            ("RECEIVER__SPOOL__STREAM_NAME".into(), streams.to_owned()),
        ])
    }

    fn pid(&self, node: usize) -> anyhow::Result<u32> {
        let file = self.0.join(format!("n{node}.pid"));
        Ok(std::fs::read_to_string(file)?.trim().parse()?)
    }

    fn signal(&self, node: usize, name: &str) -> anyhow::Result<()> {
        let pid = self.pid(node)?.to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status()?;
        ensure!(status.success(), "kill -{name} failed");
        Ok(())
    }

    /// CPU time so far of all nodes.
    fn cpu_us(&self) -> anyhow::Result<f64> {
        (1..=3).map(|node| Ok(stat(self.pid(node)?)?.1)).sum()
    }
}
