//! Starts the real binary as a child process.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::harness::TOKEN;

const BINARY: &str = env!("CARGO_BIN_EXE_qontak-receiver");

/// Timeout of every wait, generous enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Running service with its log.
pub struct Process {
    child: Child,
    pub url: String,
    pub api: String,
    pub ops: String,
    log: tokio::task::JoinHandle<Vec<String>>,
}

fn command(settings: &BTreeMap<String, String>, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().envs(settings).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub async fn run(settings: &BTreeMap<String, String>, arguments: &[&str]) -> Output {
    let output = command(settings, arguments).output();
    tokio::time::timeout(DEADLINE, output).await.unwrap().unwrap()
}

/// Runs a script, which finds the program as `$BINARY`.
pub async fn run_by_shell(settings: &BTreeMap<String, String>, script: &str) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env_clear().envs(settings).env("BINARY", BINARY);
    tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap()
}

/// Starts a command.
pub fn start(settings: &BTreeMap<String, String>, arguments: &[&str]) -> Child {
    command(settings, arguments).spawn().unwrap()
}

/// Runs a command whose output nobody reads.
pub async fn run_unread(settings: &BTreeMap<String, String>, arguments: &[&str]) -> Output {
    let mut child = command(settings, arguments).spawn().unwrap();
    drop(child.stdout.take());
    tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap()
}

impl Process {
    /// Starts the service and waits until it is ready.
    pub async fn start(settings: BTreeMap<String, String>) -> Self {
        Self::wait_until_ready(command(&settings, &[])).await
    }

    /// Starts the service with a socket that systemd has opened, as a shell passes it on.
    pub async fn start_with_socket(settings: BTreeMap<String, String>, socket: OwnedFd) -> Self {
        let script = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$BINARY""#;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear().envs(settings).env("BINARY", BINARY);
        command.kill_on_drop(true).stdin(socket).stdout(Stdio::piped());
        Self::wait_until_ready(command).await
    }

    async fn wait_until_ready(mut command: Command) -> Self {
        command.env("RECEIVER__LOG__FORMAT", "json").stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut log = Vec::new();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| {
                    panic!("the process ended before it was ready: {:?}", log.last())
                });
                log.push(line.clone());
                let line: Value = serde_json::from_str(&line).unwrap();
                if let Some(listen) = line["http.listen"].as_str() {
                    let [api, ops] =
                        ["api", "ops"].map(|port| line[format!("{port}.listen")].as_str().unwrap());
                    break [listen, api, ops].map(|address| format!("http://{address}"));
                }
            }
        };
        let [url, api, ops] = tokio::time::timeout(DEADLINE, ready).await.unwrap();
        let log = tokio::task::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.push(line);
            }
            log
        });
        Self { child, url, api, ops, log }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(status.unwrap().success());
    }

    /// Peak resident memory, in MiB.
    pub fn peak_resident_mib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Waits for the process to end; returns its exit code and the whole log.
    pub async fn wait_for_exit(mut self) -> (Option<i32>, Vec<String>) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        (status.code(), self.log.await.unwrap())
    }
}

/// Posts a webhook and returns the status.
pub async fn post(
    client: &reqwest::Client,
    url: &str,
    body: Vec<u8>,
) -> reqwest::Result<StatusCode> {
    let url = format!("{url}/webhooks/qontak/{TOKEN}");
    let request = client.post(url).header("content-type", "application/json").body(body);
    Ok(request.send().await?.status())
}
