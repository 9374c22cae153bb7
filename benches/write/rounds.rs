//! Every cell, as often as there are rounds.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::client::{self, Scenario};
use super::cluster::Cluster;
use super::process;
use super::results::{Cell, Results};
use super::run;
use super::service::{Service, Variant};

/// How many connections, each with one event at a time.
pub const CONNECTIONS: [u16; 4] = [1, 16, 64, 256];

/// What the filled database is copied to.
const COPY: &str = "stored";

/// How long services rest before their memory counts as idle.
const REST: Duration = Duration::from_secs(1);

/// What is sent beforehand, so that statements are prepared and tables have their first pages.
const WARM_UP: [&str; 2] = ["--count", "1000"];

/// How much is measured.
pub struct Plan {
    pub scenarios: Vec<Scenario>,
    /// The database with 10 million messages.
    pub filled: Option<String>,
    pub rounds: usize,
    /// Of each cell in each round.
    pub time: Duration,
}

impl Plan {
    /// Measures all of it. Leaves nothing behind in the cluster.
    pub async fn run(&self, cluster: &mut Cluster) -> anyhow::Result<Results> {
        let measured = self.run_rounds(cluster).await;
        let databases = Variant::ALL.into_iter().filter_map(Variant::database);
        for name in databases.chain([COPY]) {
            cluster.drop_database(name).await?;
        }
        measured
    }

    async fn run_rounds(&self, cluster: &mut Cluster) -> anyhow::Result<Results> {
        if self.scenarios.contains(&Scenario::Stored) {
            let filled = self.filled.as_ref().context("--stored is missing")?;
            // One copy for all: what is added to it is little beside what is there.
            cluster.create_database(COPY, filled).await?;
        }
        let mut results = Results::default();
        for round in 1..=self.rounds {
            for &scenario in &self.scenarios {
                let name = format!("round {round} of {}: {scenario}", self.rounds);
                eprintln!("{name}");
                self.run_scenario(cluster, scenario, &mut results).await.context(name)?;
            }
        }
        Ok(results)
    }

    /// Every cell of a scenario once. The services take turns, so what else the machine does meets
    /// all of them.
    async fn run_scenario(
        &self,
        cluster: &mut Cluster,
        scenario: Scenario,
        results: &mut Results,
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
        for service in &services {
            if service.variant == Variant::Ours {
                results.idle_bytes.push(process::resident_bytes(service.pid)?);
            }
            client::send(&service.url, scenario, 64, WARM_UP).await?;
        }
        for connections in CONNECTIONS {
            if (scenario, connections) == (Scenario::Messages, 1) {
                results.insert_p50_ms.push(cluster.time_single_inserts(self.time).await?);
            }
            for service in &mut services {
                let run = run::measure(cluster, service, scenario, connections, self.time).await?;
                results.note(Cell { scenario, connections, variant: service.variant }, run);
            }
        }
        for service in services {
            service.end().await?;
        }
        Ok(())
    }
}
