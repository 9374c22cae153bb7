//! One measurement: a service under the load of `simulate`, which sends in a closed loop.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::Value;
use sqlx::PgConnection;

use super::postgres::{Cluster, content};
use super::{Scenario, Variant};
use crate::process::{
    self, Server, family_cpu_us, memory_mb, node, reset_peak_memory, stat, this_as,
};

const TOKEN: &str = "a-token-for-the-benchmark";

/// What was measured. Values that a service without a database does not have are NaN.
pub struct Measurement {
    pub events_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub service_cpu_us: f64,
    pub postgres_cpu_us: f64,
    pub memory_mb: f64,
    pub wal_bytes: f64,
    pub disk_bytes: f64,
}

/// Name and value of a column.
pub type Column = (&'static str, fn(&Measurement) -> f64);

pub const COLUMNS: [Column; 8] = [
    ("events/s", |run| run.events_per_s),
    ("p50 ms", |run| run.p50_ms),
    ("p99 ms", |run| run.p99_ms),
    ("service µs", |run| run.service_cpu_us),
    ("Postgres µs", |run| run.postgres_cpu_us),
    ("memory MB", |run| run.memory_mb),
    ("WAL B", |run| run.wal_bytes),
    ("disk B", |run| run.disk_bytes),
];

/// A running service with its database.
pub struct Service {
    pub variant: Variant,
    pub url: String,
    database: Option<PgConnection>,
    server: Server,
}

impl Service {
    /// Starts it on `database`, or on a new one.
    pub async fn start(
        cluster: &mut Cluster,
        variant: Variant,
        database: Option<&str>,
        express: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let (name, role) = variant.describe();
        let (mut url, mut connection) = ("postgres://localhost/unused".to_owned(), None);
        if variant != Variant::Ceiling {
            let opened = cluster.open(database).await?;
            url = opened.0;
            // Express has a table of its own.
            connection = (variant != Variant::Express).then_some(opened.1);
        }
        let settings = [
            ("DATABASE_URL", url),
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", TOKEN.to_owned()),
            ("RECEIVER__SEARCH__ENABLED", (variant != Variant::NoSearch).to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        if variant == Variant::OneEach {
            let mut migrate = this_as("receiver")?;
            migrate.arg("migrate").envs(settings.clone()).stdout(Stdio::null());
            ensure!(migrate.status().await?.success(), "migrate failed");
        }
        let command = match express.filter(|_| variant == Variant::Express) {
            Some(folder) => node(folder),
            None => this_as(role)?,
        };
        let server = Server::spawn(command, settings).await.context(name)?;
        let url = format!("http://{}/webhooks/qontak/{TOKEN}", server.address);
        Ok(Self { variant, url, database: connection, server })
    }

    pub const fn pid(&self) -> u32 {
        self.server.pid
    }

    /// Sends a scenario until `limit`. Fails unless exactly the acknowledged events are stored.
    pub async fn measure(
        &mut self,
        cluster: &mut Cluster,
        scenario: Scenario,
        connections: u16,
        limit: [&str; 2],
    ) -> anyhow::Result<Measurement> {
        let content_before = content(&mut self.database).await?;
        reset_peak_memory(self.pid())?;
        let wal_before = cluster.wal_bytes().await?;
        let cpu_before = self.cpu_us(cluster)?;

        let report = simulate(&self.url, scenario, connections, limit).await?;

        let cpu = self.cpu_us(cluster)?;
        let wal = cluster.wal_bytes().await?;
        let content = content(&mut self.database).await?;
        let number = |path| report.pointer(path).and_then(Value::as_f64).context("simulate --json");
        let responses = report["answers"].as_array().into_iter().flatten();
        let handshakes = responses.filter(|response| response["what"] == "handshake");
        let handshakes: f64 = handshakes.filter_map(|response| response["count"].as_f64()).sum();
        let acknowledged = number("/sent")? - handshakes;
        let per_event = |sum: f64| sum / acknowledged;
        let cpu = |at: usize| per_event(cpu[at] - cpu_before[at]);
        let (mut wal_bytes, mut disk_bytes) = (f64::NAN, f64::NAN);
        if let (Some(before), Some(after)) = (content_before, content) {
            let stored = (after.deliveries - before.deliveries) as f64;
            ensure!(stored == acknowledged, "{acknowledged} acknowledged, but {stored} stored");
            let events = (after.events - before.events).max(1) as f64;
            disk_bytes = (after.disk_bytes - before.disk_bytes) as f64 / events;
            wal_bytes = per_event((wal - wal_before) as f64);
        }
        Ok(Measurement {
            events_per_s: acknowledged / number("/seconds")?,
            p50_ms: number("/latency_ms/p50")?,
            p99_ms: number("/latency_ms/p99")?,
            service_cpu_us: cpu(0),
            postgres_cpu_us: cpu(1),
            memory_mb: memory_mb(self.pid(), "VmHWM:")?,
            wal_bytes,
            disk_bytes,
        })
    }

    /// CPU time so far of the service and of Postgres.
    fn cpu_us(&self, cluster: &Cluster) -> anyhow::Result<[f64; 2]> {
        Ok([stat(self.pid())?.1, family_cpu_us(cluster.pid)?])
    }
}

/// Sends a scenario and returns the report. Fails on any unexpected response.
pub async fn simulate(
    url: &str,
    scenario: Scenario,
    connections: u16,
    limit: [&str; 2],
) -> anyhow::Result<Value> {
    let connections = connections.to_string();
    let arguments = ["--connections", &connections];
    let arguments = [&arguments[..], scenario.describe().1, &limit].concat();
    let (is_clean, report) = process::simulate(url, &arguments).await?;
    ensure!(is_clean, "simulate: {report}");
    Ok(report)
}
