//! The three services that are compared, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::cluster::{Cluster, Content, Database};

/// The binary, as it is delivered.
pub const BINARY: &str = env!("CARGO_BIN_EXE_qontak-receiver");

const TOKEN: &str = "a-token-for-the-benchmark";

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Reads and drops.
    Ceiling,
    /// The service with its default settings.
    Ours,
    /// The same with one event a transaction.
    OneEach,
}

impl Variant {
    /// All of them, in the order of their turns.
    pub const ALL: [Self; 3] = [Self::Ceiling, Self::Ours, Self::OneEach];

    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Ours => "ours",
            Self::OneEach => "one each",
        }
    }

    fn command(self) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Ceiling => Command::new(std::env::current_exe()?),
            Self::Ours | Self::OneEach => Command::new(BINARY),
        };
        // Its own settings and nobody else's.
        command.env_clear();
        match self {
            Self::Ceiling => command.arg("ceiling"),
            Self::Ours => command.arg("serve"),
            // Of 2, 8, 16, 32 and 64 tasks, these are the fastest with 256 connections.
            Self::OneEach => command
                .arg("serve")
                .env("RECEIVER__WRITER__MAX_BATCH", "1")
                .env("RECEIVER__WRITER__TASKS", "32"),
        };
        Ok(command)
    }
}

/// A running service with a database of its own.
pub struct Service {
    pub variant: Variant,
    /// Where it takes webhooks.
    pub url: String,
    pub pid: u32,
    database: Option<Database>,
    child: Child,
}

impl Service {
    /// Starts it, and returns once it takes connections.
    pub async fn start(variant: Variant, cluster: &mut Cluster) -> anyhow::Result<Self> {
        let database = match variant {
            Variant::Ceiling => None,
            Variant::Ours | Variant::OneEach => {
                let name = variant.as_str().replace(' ', "_");
                Some(cluster.create_database(&name).await?)
            }
        };
        let database_url = database.as_ref().map_or_else(
            || "postgres://nobody@localhost/nothing".to_owned(),
            |database| database.url.clone(),
        );
        let (listen, ops) = (free_address()?, free_address()?);
        let mut command = variant.command()?;
        command
            .env("DATABASE_URL", database_url)
            .env("RECEIVER__HTTP__LISTEN", listen.to_string())
            .env("RECEIVER__OPS__LISTEN", ops.to_string())
            .env("RECEIVER__ENDPOINT__QONTAK__TOKENS", TOKEN)
            // Its log is written as always, but the disk is not to be shared with it.
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().context("cannot be started")?;
        let pid = child.id().context("it has ended")?;
        let url = format!("http://{listen}/webhooks/qontak/{TOKEN}");
        let mut service = Self { variant, url, pid, database, child };
        service.wait_until_ready(listen).await.context(variant.as_str())?;
        Ok(service)
    }

    async fn wait_until_ready(&mut self, listen: SocketAddr) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(listen).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at its start: {status}");
            }
            ensure!(began.elapsed() < PATIENCE, "does not listen after {PATIENCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What it has stored; `None` of the ceiling.
    pub async fn content(&mut self) -> anyhow::Result<Option<Content>> {
        match &mut self.database {
            Some(database) => Ok(Some(database.content().await?)),
            None => Ok(None),
        }
    }

    /// Ends it, and drops what it stored.
    pub async fn end(mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself: {status}", self.variant.as_str());
        }
        self.child.kill().await?;
        if let Some(database) = self.database {
            cluster.drop_database(database).await?;
        }
        Ok(())
    }
}

/// An address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
