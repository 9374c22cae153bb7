//! Three NATS nodes that can be killed, frozen and wiped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::crash::signal;

/// Nodes of a test; stopped and wiped when dropped.
pub struct Nodes {
    folder: PathBuf,
    /// `sync_interval` of the nodes.
    sync: &'static str,
    /// More settings of each node.
    settings: String,
}

/// Nodes of the tests that kill none of them.
static SHARED: Mutex<Weak<Nodes>> = Mutex::new(Weak::new());

impl Nodes {
    /// Nodes that no test kills; started by the first test that runs.
    pub async fn shared() -> Arc<Self> {
        tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let nodes = Arc::new(Self::make("always"));
                *shared = Arc::downgrade(&nodes);
                nodes
            })
        })
        .await
        .unwrap()
    }

    /// Nodes of this test only.
    pub async fn start() -> Self {
        Self::start_with_sync("always").await
    }

    /// Nodes with more settings.
    pub async fn start_with(settings: String) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let nodes = Self { folder, sync: "always", settings };
        tokio::task::spawn_blocking(move || {
            nodes.run(&["start"]);
            nodes
        })
        .await
        .unwrap()
    }

    pub async fn start_with_sync(sync: &'static str) -> Self {
        tokio::task::spawn_blocking(move || Self::make(sync)).await.unwrap()
    }

    fn make(sync: &'static str) -> Self {
        Self::make_in(tempfile::tempdir().unwrap().keep(), sync)
    }

    /// Nodes with their data in a folder that exists.
    pub fn make_in(folder: PathBuf, sync: &'static str) -> Self {
        let nodes = Self { folder, sync, settings: String::new() };
        nodes.run(&["start"]);
        nodes
    }

    /// Starts the nodes that do not run, and waits until all are healthy.
    pub async fn restart(&self) {
        let mut command = self.script(&["start"]);
        let started = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
        assert!(started.unwrap().success(), "nodes should start");
    }

    fn run(&self, arguments: &[&str]) {
        let status = self.script(arguments).status().unwrap();
        assert!(status.success(), "scripts/nats.sh {arguments:?} failed; its output is above");
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats.sh");
        let mut command = Command::new(script);
        command.arg(arguments[0]).arg(&self.folder).args(&arguments[1..]);
        command
            .env("NATS_SYNC", self.sync)
            .env("NATS_SETTINGS", &self.settings)
            .stdin(Stdio::null());
        command
    }

    fn list(&self, what: &str) -> String {
        let output = self.script(&[what]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Settings of a service that uses these nodes, with streams of its own.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("RECEIVER__SPOOL__SERVERS", self.list("urls")),
            ("RECEIVER__SPOOL__MONITORS", self.list("monitors")),
            ("RECEIVER__SPOOL__STREAM_NAME", format!("test-{}", uuid::Uuid::now_v7())),
        ]
    }

    /// Sends a signal to a node, 1 to 3.
    pub fn signal(&self, node: usize, name: &str) {
        let pid = std::fs::read_to_string(self.folder.join(format!("n{node}.pid"))).unwrap();
        signal(name, &[pid.trim().parse().unwrap()]);
    }

    /// Kills all nodes.
    pub fn kill_all(&self) {
        (1..=3).for_each(|node| self.signal(node, "KILL"));
    }

    /// Deletes the data of a node that does not run.
    pub fn wipe(&self, node: usize) {
        std::fs::remove_dir_all(self.folder.join(format!("n{node}"))).unwrap();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        _ = self.script(&["stop", "--wipe"]).status();
        _ = std::fs::remove_dir(&self.folder);
    }
}
