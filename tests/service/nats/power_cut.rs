//! A power cut of all nodes and of the service, simulated: each node has a file system of its own in a file.
//! What was not written to it when the power fails is gone.
//!
//! The same with nodes that do not sync must lose something, or the simulation simulates nothing. Needs root,
//! for mounts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::http::StatusCode;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::nodes::Nodes;
use super::{counts, message, messages_in, start};
use crate::spool::{Outage, wait_until};

/// Webhooks per power cut.
const WEBHOOKS: usize = 2000;

/// Nodes on file systems in files.
struct Machines {
    nodes: Option<Nodes>,
    folder: TempDir,
}

impl Machines {
    fn start(sync: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut machines = Self { nodes: None, folder };
        for node in 1..=3 {
            let image = machines.image(node, "disk");
            File::create(&image).unwrap().set_len(512 << 20).unwrap();
            execute("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
            machines.mount(node, &image);
        }
        machines.nodes = Some(Nodes::make_in(machines.data(), sync));
        machines
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("nodes")
    }

    fn image(&self, node: usize, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}{node}"))
    }

    /// The kernel writes by itself after 30 seconds at the earliest.
    fn mount(&self, node: usize, image: &Path) {
        let folder = self.data().join(format!("n{node}"));
        std::fs::create_dir_all(&folder).unwrap();
        let (image, folder) = (image.to_str().unwrap(), folder.to_str().unwrap());
        execute("mount", &["-o", "loop,commit=300", image, folder]);
    }

    fn unmount(&self) {
        for node in 1..=3 {
            let folder = self.data().join(format!("n{node}"));
            _ = Command::new("umount").arg("--lazy").arg(folder).status();
        }
    }

    fn nodes(&self) -> &Nodes {
        self.nodes.as_ref().unwrap()
    }

    /// Cuts the power of all nodes at once, and starts them again with what is on their disks.
    async fn cut_power(self) -> Self {
        (1..=3).for_each(|node| self.nodes().signal(node, "STOP"));
        let machines = spawn_blocking(move || {
            for node in 1..=3 {
                let (disk, copy) = (self.image(node, "disk"), self.image(node, "copy"));
                let (disk, copy) = (disk.to_str().unwrap(), copy.to_str().unwrap());
                execute("cp", &["--sparse=always", disk, copy]);
            }
            self.nodes().kill_all();
            std::thread::sleep(Duration::from_millis(200));
            self.unmount();
            (1..=3).for_each(|node| self.mount(node, &self.image(node, "copy")));
            self
        });
        let machines = machines.await.unwrap();
        machines.nodes().restart().await;
        machines
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if let Some(nodes) = &self.nodes {
            nodes.kill_all();
            std::thread::sleep(Duration::from_millis(200));
        }
        self.unmount();
    }
}

fn execute(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// Numbers of acknowledged webhooks and of those stored after a power cut; `None` if mounts are not allowed.
async fn lose_power(db: &PgPool, sync: &'static str) -> Option<(i64, i64)> {
    if !is_root() {
        eprintln!("SKIPPED: a power cut can be simulated by root only");
        return None;
    }
    let machines = spawn_blocking(move || Machines::start(sync)).await.unwrap();
    let nats = machines.nodes().settings();
    let small = [("RECEIVER__SPOOL__MAX_BYTES", "100000000")];
    let service = start(db, &nats, &small).await;
    let outage = Outage::start(db).await;
    let mut acknowledged = 0;
    for first in (0..WEBHOOKS).step_by(100) {
        let posting = (first..first + 100).map(|i| service.post(message(i)));
        for response in futures_util::future::join_all(posting).await {
            acknowledged += i64::from(response.status == StatusCode::OK);
        }
    }
    // What it has in hand is in the streams too. It is given back, so that the next service does not wait
    // for it.
    service.app.ingest.drain(Duration::from_secs(5)).await.unwrap();
    drop(service);
    let machines = machines.cut_power().await;
    outage.end().await;
    let service = start(db, &nats, &small).await;
    wait_until(async || {
        service.app.ingest.spools[0].test().await;
        !service.app.ingest.spools[0].depth().has_failed && messages_in(&nats).await == 0
    })
    .await;
    let (stored, ..) = counts(db).await;
    drop(service);
    spawn_blocking(move || drop(machines)).await.unwrap();
    Some((acknowledged, stored))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[sqlx::test]
async fn power_cut_of_all_nodes_loses_nothing(db: PgPool) {
    let Some((acknowledged, stored)) = lose_power(&db, "always").await else { return };
    assert!(acknowledged > 1000, "{acknowledged}");
    assert!(stored >= acknowledged, "{stored} of {acknowledged} acknowledged webhooks are stored");
}

#[sqlx::test]
async fn power_cut_of_nodes_that_do_not_sync_loses_webhooks(db: PgPool) {
    let Some((acknowledged, stored)) = lose_power(&db, "2m").await else { return };
    assert!(acknowledged > 1000, "{acknowledged}");
    assert!(stored < acknowledged, "the simulation lost none of {acknowledged}");
}
