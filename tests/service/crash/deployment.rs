//! Two replicas, their PostgreSQL server, and NATS nodes in a long run.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::DEADLINE;
use super::cluster::{Cluster, free_port};
use super::machine::Machine;
use super::replica::Replica;
use super::spool_damage::{self, Damaged};
use crate::nats::nodes::Nodes;
use crate::nats::{Settings, try_messages_in};

/// Processes under test.
pub struct Deployment {
    pub cluster: Cluster,
    pub replicas: [Replica; 2],
    pub kills: u32,
    /// Only in a long run.
    pub more: Option<More>,
}

/// What only a long run has.
pub struct More {
    pub nodes: Nodes,
    pub machine: Machine,
    /// Spooled webhooks that were damaged since the last comparison.
    pub damaged: Damaged,
    nats: Settings,
    /// Port of the server that is not running: the next standby.
    spare_port: u16,
}

impl Deployment {
    pub async fn start(is_long: bool) -> Self {
        let machine = is_long.then(Machine::new);
        let environment = machine.as_ref().map(Machine::environment).unwrap_or_default();
        let cluster = Cluster::make_with(environment.clone()).await;
        let (mut url, mut of_first, mut more) = (cluster.url.clone(), environment.clone(), None);
        if let Some(machine) = machine {
            let nodes = Nodes::start().await;
            let nats = nodes.settings();
            let spare_port = free_port();
            url = url.replace("/receiver", &format!(",127.0.0.1:{spare_port}/receiver"));
            url.push_str("?target_session_attrs=read-write");
            of_first.extend(nats.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            let damaged = Damaged::default();
            more = Some(More { nodes, machine, damaged, nats, spare_port });
        }
        // The spool of the second replica is small and fills up soon.
        let mut replicas =
            [Replica::new(&url, 1 << 30, &of_first), Replica::new(&url, 1 << 18, &environment)];
        for replica in &mut replicas {
            replica.start();
            replica.wait_until_ready().await;
        }
        Self { cluster, replicas, kills: 0, more }
    }

    /// Waits until all spooled webhooks are committed.
    pub async fn wait_for_empty_spools(&self) {
        let recovering = async {
            for replica in &self.replicas {
                while replica.spooled_events().await != Some(0) {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            if let Some(more) = &self.more {
                while try_messages_in(&more.nats).await != Some(0) {}
            }
        };
        let recovered = timeout(DEADLINE, recovering).await;
        recovered.expect("the spools should empty once the server is back");
    }

    /// Removes the records of what was compared, so that a run of any length takes the same space.
    pub fn forget(&mut self) {
        self.cluster.empty_log();
        if let Some(more) = &mut self.more {
            more.damaged = Damaged::default();
        }
        for replica in &self.replicas {
            for file in spool_damage::kept_aside(replica.spool()) {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    /// Peak resident memory of a replica, in MiB.
    pub fn peak_resident_mib(&mut self) -> u64 {
        let peaks = self.replicas.iter_mut().map(Replica::peak_resident_mib);
        peaks.max().expect("there are two replicas")
    }
}

impl More {
    /// Promotes a new standby after its primary was killed.
    pub async fn fail_over(&mut self, cluster: &mut Cluster, pause: Duration) {
        let port = self.spare_port;
        self.spare_port = cluster.port;
        cluster.fail_over(port, pause).await;
    }
}
