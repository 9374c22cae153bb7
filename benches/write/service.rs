//! The services that are compared, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::client::Scenario;
use super::cluster::{Content, Database};

/// The binary, as it is delivered.
pub const BINARY: &str = env!("CARGO_BIN_EXE_qontak-receiver");

const TOKEN: &str = "a-token-for-the-benchmark";

/// The ceiling has to be told something.
const NO_DATABASE: &str = "postgres://nobody@localhost/nothing";

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
    /// The same without the indexes of search.
    NoSearch,
    /// Writes each event in a transaction of its own.
    OneEach,
}

impl Variant {
    /// All of them, in the order of their turns.
    pub const ALL: [Self; 4] = [Self::Ceiling, Self::Ours, Self::NoSearch, Self::OneEach];

    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Ours => "ours",
            Self::NoSearch => "no search",
            Self::OneEach => "one each",
        }
    }

    /// Whether it is measured with this scenario.
    pub fn is_in(self, scenario: Scenario) -> bool {
        self != Self::NoSearch || scenario == Scenario::Messages
    }

    /// Whether it keeps anything.
    pub const fn has_database(self) -> bool {
        !matches!(self, Self::Ceiling)
    }

    fn command(self) -> anyhow::Result<Command> {
        let stand_in = |name| {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(name);
            anyhow::Ok(command)
        };
        match self {
            Self::Ceiling => stand_in("ceiling"),
            Self::Ours | Self::NoSearch => Ok(Command::new(BINARY)),
            Self::OneEach => stand_in("one-each"),
        }
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
    /// Starts it on its database, and returns once it takes connections.
    pub async fn start(variant: Variant, database: Option<Database>) -> anyhow::Result<Self> {
        let database_url = database.as_ref().map_or(NO_DATABASE, |database| &database.url);
        let (listen, ops) = (free_address()?, free_address()?);
        let mut command = variant.command()?;
        command
            // Its own settings and nobody else's.
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("RECEIVER__HTTP__LISTEN", listen.to_string())
            .env("RECEIVER__OPS__LISTEN", ops.to_string())
            .env("RECEIVER__ENDPOINT__QONTAK__TOKENS", TOKEN)
            .env("RECEIVER__SEARCH__ENABLED", (variant != Variant::NoSearch).to_string())
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

    /// Ends it.
    pub async fn end(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself: {status}", self.variant.as_str());
        }
        Ok(self.child.kill().await?)
    }
}

/// An address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
