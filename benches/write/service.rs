//! The services that are compared, each a process of its own.

use anyhow::Context;
use serde::Serialize;
use tokio::process::Command;

use super::client::Scenario;
use super::cluster::{Content, Database};
use crate::running::{Running, this_as};

const TOKEN: &str = "a-token-for-the-benchmark";

/// The ceiling has to be told something.
const NO_DATABASE: &str = "postgres://nobody@localhost/nothing";

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
        this_as(match self {
            Self::Ceiling => "ceiling",
            Self::Ours | Self::NoSearch => "receiver",
            Self::OneEach => "one-each",
        })
    }
}

/// A running service with a database of its own.
pub struct Service {
    pub variant: Variant,
    /// Where it takes webhooks.
    pub url: String,
    database: Option<Database>,
    running: Running,
}

impl Service {
    /// Starts it on its database, and returns once it takes connections.
    pub async fn start(variant: Variant, database: Option<Database>) -> anyhow::Result<Self> {
        let database_url = database.as_ref().map_or(NO_DATABASE, |database| &database.url);
        let has_search = variant != Variant::NoSearch;
        let settings = [
            ("DATABASE_URL", database_url.to_owned()),
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", TOKEN.to_owned()),
            ("RECEIVER__SEARCH__ENABLED", has_search.to_string()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let running = Running::start(variant.command()?, settings).await;
        let running = running.context(variant.as_str())?;
        let url = format!("http://{}/webhooks/qontak/{TOKEN}", running.address);
        Ok(Self { variant, url, database, running })
    }

    /// Its process.
    pub const fn pid(&self) -> u32 {
        self.running.pid
    }

    /// What it has stored; `None` of the ceiling.
    pub async fn content(&mut self) -> anyhow::Result<Option<Content>> {
        match &mut self.database {
            Some(database) => Ok(Some(database.content().await?)),
            None => Ok(None),
        }
    }

    /// Ends it.
    pub async fn end(self) -> anyhow::Result<()> {
        self.running.end().await.context(self.variant.as_str())
    }
}
