//! Faults: what happens to a deployment, and its repair after a pause.

use std::time::Duration;

use chrono::TimeDelta;
use rand::RngExt;
use tokio::time::{sleep, timeout};

use super::DEADLINE;
use super::clients::Clients;
use super::deployment::{Deployment, More};
use super::spool_damage;
use super::strangers;

/// Injected fault.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    KillReplica(usize),
    RestartReplica(usize),
    KillServer,
    StopServer,
    FreezeServer,
    KillEverything,
    KillNode(usize),
    FreezeNode(usize),
    KillNodes,
    /// A standby is promoted after its primary was killed.
    FailOver,
    /// Each fsync takes 400 ms, of the server and of the spools while the server is down.
    SlowDisk,
    /// Files of a spool are changed between a kill and the next start.
    DamageSpool(usize),
    /// Files of a spool are deleted under its process.
    DeleteSpool,
    /// More connections without a token than `http.max_connections`.
    Strangers(usize),
    /// Control frames of HTTP/2.
    Flood(usize),
    /// Many webhooks at once.
    Burst,
    /// The clock of all processes is moved to just before midnight, and the server is down when it passes.
    Midnight,
}

use Fault::{
    Burst, DamageSpool, DeleteSpool, FailOver, Flood, FreezeNode, FreezeServer, KillEverything,
    KillNode, KillNodes, KillReplica, KillServer, Midnight, RestartReplica, SlowDisk, StopServer,
    Strangers,
};

pub const FAULTS: [Fault; 8] = [
    KillReplica(0),
    KillReplica(1),
    RestartReplica(0),
    RestartReplica(1),
    KillServer,
    StopServer,
    FreezeServer,
    KillEverything,
];

/// More faults of a long run.
pub const LONG_FAULTS: [Fault; 14] = [
    KillNode(1),
    FreezeNode(2),
    KillNodes,
    FailOver,
    SlowDisk,
    DamageSpool(0),
    DamageSpool(1),
    DeleteSpool,
    Strangers(0),
    Strangers(1),
    Flood(0),
    Flood(1),
    Burst,
    Midnight,
];

const BURST: usize = 500;
const SLOW_SYNC: Duration = Duration::from_millis(400);

impl Deployment {
    /// Injects a fault and, after a pause, repairs it.
    pub async fn inject(&mut self, fault: Fault, pause: Duration, clients: &mut Clients) {
        match fault {
            KillReplica(i) => {
                self.replicas[i].kill().await;
                sleep(pause / 4).await;
                self.replicas[i].start();
                self.kills += 1;
            }
            RestartReplica(i) => {
                self.replicas[i].stop().await;
                self.replicas[i].start();
            }
            KillServer => self.kill_server(pause).await,
            StopServer => {
                self.cluster.stop().await;
                sleep(pause).await;
                self.cluster.start().await;
            }
            FreezeServer => {
                self.cluster.freeze();
                sleep(pause * 2).await;
                self.cluster.thaw();
            }
            KillEverything => {
                self.cluster.kill();
                for replica in &mut self.replicas {
                    replica.kill().await;
                    // The replica must start although the server is down.
                    replica.start();
                }
                sleep(pause).await;
                self.cluster.start().await;
                self.kills += 3;
            }
            Burst => {
                clients.burst(BURST);
                sleep(pause).await;
            }
            _ => self.inject_long(fault, pause).await,
        }
    }

    async fn kill_server(&mut self, pause: Duration) {
        self.cluster.kill();
        sleep(pause).await;
        self.cluster.start().await;
        self.kills += 1;
    }

    /// Injects a fault of a long run.
    async fn inject_long(&mut self, fault: Fault, pause: Duration) {
        let Some(mut more) = self.more.take() else { return };
        match fault {
            KillNode(i) => {
                more.nodes.signal(i, "KILL");
                sleep(pause * 2).await;
                more.nodes.restart().await;
                self.kills += 1;
            }
            FreezeNode(i) => {
                more.nodes.signal(i, "STOP");
                sleep(pause * 2).await;
                more.nodes.signal(i, "CONT");
                more.nodes.restart().await;
            }
            KillNodes => {
                more.nodes.kill_all();
                sleep(pause * 2).await;
                more.nodes.restart().await;
                self.kills += 3;
            }
            FailOver => {
                more.fail_over(&mut self.cluster, pause).await;
                self.kills += 1;
            }
            SlowDisk => {
                more.machine.set_sync_delay(SLOW_SYNC);
                sleep(pause).await;
                self.cluster.kill();
                sleep(pause * 2).await;
                // The recovery of the server syncs thousands of files.
                more.machine.set_sync_delay(Duration::ZERO);
                self.cluster.start().await;
                self.kills += 1;
            }
            DamageSpool(i) => self.damage_spool(i, &mut more, pause).await,
            DeleteSpool => self.delete_spool(&more, pause).await,
            Strangers(i) => {
                let closed = "qontak_receiver_connections_evicted_total";
                let before = self.replicas[i].count(closed).await;
                let _strangers = strangers::crowd(&self.replicas[i].address);
                self.expect_open(i, (closed, before), pause).await;
            }
            Flood(i) => {
                let closed = "qontak_receiver_connections_flooded_total";
                let before = self.replicas[i].count(closed).await;
                let _flood = strangers::flood(&self.replicas[i].address);
                self.expect_open(i, (closed, before), pause).await;
            }
            Midnight => {
                more.machine.set_clock_before_midnight(TimeDelta::seconds(2));
                sleep(Duration::from_secs(1)).await;
                self.kill_server(Duration::from_millis(500) + pause).await;
                sleep(Duration::from_secs(1)).await;
            }
            _ => unreachable!("a fault of every run"),
        }
        self.more = Some(more);
    }

    /// Damages a spool with webhooks in it while neither the server nor the replica runs.
    async fn damage_spool(&mut self, i: usize, more: &mut More, pause: Duration) {
        self.cluster.kill();
        more.nodes.kill_all();
        sleep(pause).await;
        let replica = &mut self.replicas[i];
        replica.kill().await;
        let aside = spool_damage::kept_aside(replica.spool()).len();
        let is_noticed = spool_damage::damage(replica.spool(), &mut more.damaged, &mut rand::rng());
        replica.start();
        let noticed = async {
            while is_noticed && spool_damage::kept_aside(replica.spool()).len() == aside {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, noticed).await.expect("a damaged file should be kept aside");
        sleep(pause / 2).await;
        self.cluster.start().await;
        more.nodes.restart().await;
        self.kills += 5;
    }

    /// Deletes the files of the large spool while its process appends to them.
    async fn delete_spool(&mut self, more: &More, pause: Duration) {
        self.cluster.kill();
        more.nodes.kill_all();
        sleep(Duration::from_secs(1) + pause).await;
        let folder = self.replicas[0].spool();
        let deleted = spool_damage::delete(folder);
        // Its next webhook lets it notice, and write them again, before others.
        let written_again = async {
            while spool_damage::count(folder) < deleted {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, written_again).await.expect("deleted files should be written again");
        if rand::rng().random() {
            self.replicas[0].kill().await;
            self.replicas[0].start();
        }
        self.cluster.start().await;
        more.nodes.restart().await;
        self.kills += 4;
    }

    /// Waits until a replica has closed more connections of strangers than before, and expects it to serve a
    /// client then.
    async fn expect_open(&self, i: usize, (closed, before): (&str, f64), pause: Duration) {
        self.replicas[i].wait_for_more(closed, before).await;
        sleep(pause).await;
        assert!(strangers::is_open(&self.replicas[i].webhook).await, "a webhook was kept out");
    }
}
