//! A service in a process of its own.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// This program as something else: see `Command` in main.rs.
pub fn this_as(command: &str) -> anyhow::Result<Command> {
    let mut this = Command::new(env::current_exe()?);
    this.arg(command);
    Ok(this)
}

/// A running service. It is killed when this is dropped.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    pub pid: u32,
    child: Child,
}

impl Running {
    /// Starts a service with these settings and no others, and returns once it takes connections.
    pub async fn start(
        mut command: Command,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        command
            .env_clear()
            .envs(settings)
            .envs(listening(address)?)
            // Its log is written as always, but the disk is not to be shared with it.
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().context("cannot be started")?;
        let pid = child.id().context("it has ended")?;
        let mut running = Self { address, pid, child };
        let began = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            running.ensure_alive()?;
            ensure!(began.elapsed() < PATIENCE, "does not listen after {PATIENCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(running)
    }

    /// Ends it. Fails if it did so by itself.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.ensure_alive()?;
        Ok(self.child.kill().await?)
    }

    fn ensure_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended by itself: {status}");
        }
        Ok(())
    }
}

/// Settings of a service that listens at this address, and for ops at another one.
pub fn listening(address: SocketAddr) -> anyhow::Result<[(String, String); 2]> {
    let setting = |name: &str, address: SocketAddr| (name.to_owned(), address.to_string());
    Ok([
        setting("RECEIVER__HTTP__LISTEN", address),
        setting("RECEIVER__OPS__LISTEN", free_address()?),
    ])
}

/// An address that nobody listens on now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
