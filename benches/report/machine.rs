//! What the machine is, as it says itself.

use std::fs;
use std::process::Command;

/// Names and values; empty where it does not say.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = line(&read("/proc/cpuinfo"), "model name").unwrap_or_default();
    let load = read("/proc/loadavg");
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| output.stdout).unwrap_or_default();
    vec![
        ("CPU", format!("{cpu}, {cores} cores, shared by client, service and Postgres")),
        ("memory", line(&read("/proc/meminfo"), "MemTotal").unwrap_or_default()),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("compiler", String::from_utf8_lossy(&rustc).trim().to_owned()),
        ("load of the last minute", load.split(' ').next().unwrap_or_default().to_owned()),
    ]
}
