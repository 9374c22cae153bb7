//! Child processes, and the CPU time and memory of processes as reported in /proc.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// /proc reports CPU time in hundredths of a second.
const MICROS_PER_TICK: f64 = 10_000.0;

/// This program in another role, without the environment; killed on drop.
pub fn this_as(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role).env_clear().kill_on_drop(true);
    Ok(command)
}

/// A program of Node.js that runs in this folder, where its packages are; killed on drop.
pub fn node(folder: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg("server.js").current_dir(folder).kill_on_drop(true);
    command
}

/// Sends events by `simulate`. Returns whether all got the expected response, and the report.
pub async fn simulate(url: &str, arguments: &[&str]) -> anyhow::Result<(bool, Value)> {
    let mut command = this_as("receiver")?;
    let output = command.args(["simulate", url, "--json"]).args(arguments).output().await?;
    let report = serde_json::from_slice(&output.stdout);
    let report = report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.success(), report))
}

/// A server in a child process.
pub struct Server {
    pub address: SocketAddr,
    pub pid: u32,
    child: Child,
}

impl Server {
    /// Starts this program in `role` and returns once it accepts connections.
    pub async fn start(
        role: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        Self::spawn(this_as(role)?, settings).await.with_context(|| role.to_owned())
    }

    /// Starts a program that listens as the service does, and returns once it accepts connections.
    pub async fn spawn(
        mut command: Command,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        // Logs are written, but must not compete with Postgres for the disk.
        command.envs(settings).envs(listen_settings(address)?).stdout(Stdio::null());
        let child = command.spawn()?;
        let pid = child.id().context("server exited")?;
        let mut server = Self { address, pid, child };
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            ensure!(server.child.try_wait()?.is_none(), "exited");
            ensure!(started.elapsed().as_secs() < 60, "not listening after 60s");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }
}

impl Server {
    /// Stops it gracefully.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = StdCommand::new("kill").arg(self.pid.to_string()).status()?;
        ensure!(status.success() && self.child.wait().await?.success(), "server did not stop");
        Ok(())
    }
}

/// Settings that make the service listen here, and its ops listener on another free port.
pub fn listen_settings(address: SocketAddr) -> anyhow::Result<[(String, String); 2]> {
    Ok([
        ("RECEIVER__HTTP__LISTEN".to_owned(), address.to_string()),
        ("RECEIVER__OPS__LISTEN".to_owned(), free_address()?.to_string()),
    ])
}

pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Parent, CPU time, and CPU time of ended children, of a process.
pub fn stat(pid: u32) -> anyhow::Result<(u32, f64, f64)> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    // The second field, the name in brackets, may contain spaces and brackets.
    let (_, stat) = stat.rsplit_once(") ").context("stat without a name")?;
    let fields: Vec<&str> = stat.split(' ').collect();
    // Numbers as in proc(5); the first one here is 3, the state.
    let field = |number: usize| fields[number - 3].parse::<u32>();
    let micros = |a, b| anyhow::Ok(f64::from(field(a)? + field(b)?) * MICROS_PER_TICK);
    Ok((field(4)?, micros(14, 15)?, micros(16, 17)?))
}

/// CPU time of a process and of all its children, ended or not.
pub fn family_cpu_us(pid: u32) -> anyhow::Result<f64> {
    let (_, own, ended) = stat(pid)?;
    let running = fs::read_dir("/proc")?.filter_map(|entry| {
        let child = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // It may end meanwhile.
        let (parent, cpu_us, _) = stat(child).ok()?;
        (parent == pid).then_some(cpu_us)
    });
    Ok(own + ended + running.sum::<f64>())
}

/// Share of the machine's CPU that is in use, measured for a second: 0 to 1.
pub async fn cpu_in_use() -> anyhow::Result<f64> {
    let before = cpu_ticks()?;
    sleep(Duration::from_secs(1)).await;
    let after = cpu_ticks()?;
    let idle = (after.1 - before.1) as f64;
    Ok(1.0 - idle / (after.0 - before.0).max(1) as f64)
}

/// All CPU time of the machine and its idle part, from proc(5), in hundredths of a second.
fn cpu_ticks() -> anyhow::Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let cpu = stat.lines().next().context("/proc/stat is empty")?;
    // user nice system idle iowait irq softirq steal
    let ticks: Vec<u64> =
        cpu.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<_, _>>()?;
    Ok((ticks.iter().sum(), ticks[3] + ticks[4]))
}

/// A memory value of /proc/PID/status: `VmRSS:` is the current, `VmHWM:` the highest.
pub fn memory_mb(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
    Ok(value.context("no such value")?.trim().parse::<f64>()? * 1024.0 / 1e6)
}

/// Resets the highest memory value.
pub fn reset_peak_memory(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")
}
