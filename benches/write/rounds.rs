//! Every cell, as often as there are rounds.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;
use tokio::try_join;

use super::client::{self, End, Scenario};
use super::cluster::Cluster;
use super::process;
use super::results::{Cell, Results};
use super::run;
use super::service::{Service, Variant};

/// How many connections, each with one event at a time.
pub const CONNECTIONS: [u16; 4] = [1, 16, 64, 256];

/// How long services rest before their memory counts as idle.
const REST: Duration = Duration::from_secs(1);

/// How many events are sent beforehand, so that statements are prepared and tables have their
/// first pages.
const WARM_UP: u32 = 500;

/// The same where 10 million are stored, so that pages of rooms and senders are touched as well.
const WARM_UP_STORED: u32 = 10_000;

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
    /// Measures all of it. Leaves nothing behind in the cluster, nor what an interrupted run left.
    pub async fn run(&self, cluster: &mut Cluster) -> anyhow::Result<Results> {
        cluster.drop_databases().await?;
        let measured = self.run_rounds(cluster).await;
        cluster.drop_databases().await?;
        measured
    }

    /// There is no checkpoint from before the first cell to after the last one: after it each page
    /// goes into the WAL as a whole when it is touched, and a cell of half a second would measure little
    /// else where there are many.
    async fn run_rounds(&self, cluster: &mut Cluster) -> anyhow::Result<Results> {
        let mut stored = None;
        if self.scenarios.contains(&Scenario::Stored) {
            let filled = self.filled.as_ref().context("--stored is missing")?;
            // One copy for all: what is added to it is little beside what is there.
            let copy = stored.insert(cluster.copy_database(filled).await?);
            eprintln!("touching the pages of 10 million messages");
            let (mut one, mut other) = (cluster.open(copy).await?, cluster.open(copy).await?);
            try_join!(one.touch_pages(), other.touch_pages())?;
        }
        let checkpoint = cluster.last_checkpoint().await?;
        let mut results = Results::default();
        for round in 1..=self.rounds {
            for &scenario in &self.scenarios {
                let name = format!("round {round} of {}: {scenario}", self.rounds);
                eprintln!("{name}");
                let database = stored.as_deref().filter(|_| scenario == Scenario::Stored);
                self.run_scenario(cluster, scenario, database, &mut results).await.context(name)?;
            }
        }
        let last = cluster.last_checkpoint().await?;
        ensure!(last == checkpoint, "there was a checkpoint between the cells: shorter ones?");
        Ok(results)
    }

    /// Every cell of a scenario once, with this database or a new one each. The services take
    /// turns, so what else the machine does meets all of them.
    async fn run_scenario(
        &self,
        cluster: &mut Cluster,
        scenario: Scenario,
        database: Option<&str>,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let mut services = Vec::new();
        for variant in Variant::ALL.into_iter().filter(|variant| variant.is_in(scenario)) {
            let database = match database {
                _ if !variant.has_database() => None,
                Some(name) => Some(cluster.open(name).await?),
                None => {
                    let name = cluster.create_database().await?;
                    Some(cluster.open(&name).await?)
                }
            };
            services.push(Service::start(variant, database).await?);
        }
        if scenario == Scenario::Messages {
            sleep(REST).await;
            let ours = services.iter().find(|service| service.variant == Variant::Ours);
            let ours = ours.context("ours is in every scenario")?;
            results.idle_bytes.push(process::resident_bytes(ours.pid())?);
        }
        for service in &services {
            // They share the stored ones, and ours is the quickest to touch them.
            let is_for_all = (scenario, service.variant) == (Scenario::Stored, Variant::Ours);
            let count = if is_for_all { WARM_UP_STORED } else { WARM_UP };
            client::send(&service.url, scenario, 64, End::Count(count)).await?;
        }
        for connections in CONNECTIONS {
            if (scenario, connections) == (Scenario::Messages, 1) {
                results.insert_p50_ms.push(cluster.time_single_inserts(self.time).await?);
            }
            for service in &mut services {
                let cell = Cell { scenario, connections, variant: service.variant };
                let Some(end) = self.end(cell, results) else { continue };
                let run = run::measure(cluster, service, cell, end).await?;
                results.note(cell, run);
            }
        }
        for service in services {
            service.end().await?;
        }
        Ok(())
    }

    /// How much of a cell is sent; `None` if there was enough of it.
    fn end(&self, cell: Cell, results: &Results) -> Option<End> {
        // One each would take ten minutes; the ceiling costs the same however much is sent.
        let whole = (Scenario::Broadcast, 256, Variant::Ours);
        match (cell.scenario, cell.connections, cell.variant) == whole {
            // So long a cell says enough in one round.
            true => results.runs(cell).is_empty().then_some(End::Broadcast),
            false => Some(End::Time(self.time)),
        }
    }
}
