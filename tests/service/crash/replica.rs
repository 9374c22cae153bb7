//! Replica of the service that is restarted many times.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::DEADLINE;
use super::cluster::{free_port, signal};
use crate::harness::{TOKEN, settings};

/// Replica with its own spool and fixed addresses.
pub struct Replica {
    pub webhook: String,
    /// Address and port of the webhooks.
    pub address: String,
    /// URL of health and metrics.
    ops: String,
    settings: BTreeMap<String, String>,
    process: Option<Child>,
    peak_resident_mib: u64,
    http: Client,
    spool: TempDir,
}

impl Replica {
    /// `more` are more environment variables.
    pub fn new(database: &str, max_spool_bytes: u32, more: &[(String, String)]) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let mut settings = settings(&PgConnectOptions::new());
        let (http, ops) = (free_port(), free_port());
        for (name, value) in [
            ("HTTP__LISTEN", format!("127.0.0.1:{http}")),
            ("OPS__LISTEN", format!("127.0.0.1:{ops}")),
            ("SPOOL__FOLDER", spool.path().to_str().unwrap().to_owned()),
            ("SPOOL__MAX_BYTES", max_spool_bytes.to_string()),
            ("LOG__FILTER", "off".to_owned()),
        ] {
            settings.insert(format!("RECEIVER__{name}"), value);
        }
        settings.insert("DATABASE_URL".to_owned(), database.to_owned());
        settings.extend(more.iter().cloned());
        Self {
            address: format!("127.0.0.1:{http}"),
            webhook: format!("http://127.0.0.1:{http}/webhooks/qontak/{TOKEN}"),
            ops: format!("http://127.0.0.1:{ops}"),
            settings,
            process: None,
            peak_resident_mib: 0,
            http: Client::builder().timeout(Duration::from_secs(10)).build().unwrap(),
            spool,
        }
    }

    /// Folder of its spool.
    pub fn spool(&self) -> &Path {
        self.spool.path()
    }

    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qontak-receiver"));
        command.env_clear().envs(&self.settings).stdout(Stdio::null()).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
    }

    pub async fn wait_until_ready(&self) {
        let ready = async {
            while self.spooled_events().await.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, ready).await.unwrap();
    }

    /// Number of webhooks in the spool; `None` while the replica is not ready.
    pub async fn spooled_events(&self) -> Option<u64> {
        let request = self.http.get(format!("{}/readyz?verbose", self.ops));
        let response = request.send().await.ok()?;
        let response: Value = response.error_for_status().ok()?.json().await.ok()?;
        let in_nats = response["nats"]["events"].as_u64().unwrap_or(0);
        Some(response["spool"]["events"].as_u64()? + in_nats)
    }

    /// Waits until a counter without labels is above this value.
    pub async fn wait_for_more(&self, name: &str, before: f64) {
        let counted = async {
            while self.count(name).await <= before {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, counted).await.unwrap_or_else(|_| panic!("{name} stays at {before}"));
    }

    /// Value of a counter without labels.
    pub async fn count(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    async fn metrics(&self) -> String {
        let Ok(response) = self.http.get(format!("{}/metrics", self.ops)).send().await else {
            return String::new();
        };
        response.text().await.unwrap_or_default()
    }

    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    /// Stops the replica with SIGTERM, as a container runtime does.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    async fn end(&mut self, name: &str) {
        self.peak_resident_mib();
        let mut process = self.process.take().unwrap();
        signal(name, &[process.id().expect("the replica ended by itself")]);
        timeout(DEADLINE, process.wait()).await.unwrap().unwrap();
    }

    /// Peak resident memory of all its processes, in MiB.
    pub fn peak_resident_mib(&mut self) -> u64 {
        let id = self.process.as_ref().and_then(Child::id).unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        self.peak_resident_mib = self.peak_resident_mib.max(kib.unwrap_or(0) / 1024);
        self.peak_resident_mib
    }
}
