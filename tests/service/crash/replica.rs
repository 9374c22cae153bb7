//! One process of the service, which is started again and again.

use std::collections::BTreeMap;
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

/// A replica with a spool of its own, at the same addresses each time.
pub struct Replica {
    pub webhook: String,
    readyz: String,
    settings: BTreeMap<String, String>,
    process: Option<Child>,
    most_resident_mib: u64,
    http: Client,
    _spool: TempDir,
}

impl Replica {
    pub fn new(database: &str, max_spool_bytes: u32) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let options: PgConnectOptions = database.parse().unwrap();
        let mut settings = settings(&options);
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
        Self {
            webhook: format!("http://127.0.0.1:{http}/webhooks/qontak/{TOKEN}"),
            readyz: format!("http://127.0.0.1:{ops}/readyz?verbose"),
            settings,
            process: None,
            most_resident_mib: 0,
            http: Client::builder().timeout(Duration::from_secs(10)).build().unwrap(),
            _spool: spool,
        }
    }

    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qontak-receiver"));
        command.env_clear().envs(&self.settings).stdout(Stdio::null()).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
    }

    pub async fn wait_until_ready(&self) {
        let ready = async {
            while self.waiting().await.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, ready).await.unwrap();
    }

    /// How many webhooks wait in its spool; `None` while it is not ready.
    pub async fn waiting(&self) -> Option<u64> {
        let answer = self.http.get(&self.readyz).send().await.ok()?;
        let answer: Value = answer.error_for_status().ok()?.json().await.ok()?;
        answer["spool"]["events"].as_u64()
    }

    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    /// Stops it as a container is stopped.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    async fn end(&mut self, name: &str) {
        self.most_resident_mib();
        let mut process = self.process.take().unwrap();
        signal(name, &[process.id().expect("a replica should not end by itself")]);
        timeout(DEADLINE, process.wait()).await.unwrap().unwrap();
    }

    /// The most memory that any of its processes has had.
    pub fn most_resident_mib(&mut self) -> u64 {
        let id = self.process.as_ref().and_then(Child::id).unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = most.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        self.most_resident_mib = self.most_resident_mib.max(kib.unwrap_or(0) / 1024);
        self.most_resident_mib
    }
}
