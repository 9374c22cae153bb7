//! Database connection of one writer.
//!
//! It does not use a pool, which would ping twice per transaction.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::connect::{liveness_timeout, make_durable, options, within};
use super::event::Stored;
use super::facet;
use super::failure::Failure;
use super::ingest::ingest;
use super::partition;
use crate::config;
use crate::event::Event;

/// Idle time after which a connection is pinged before it is used.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Connection that is opened on first use, kept, and replaced when it fails.
#[derive(Debug)]
pub struct WriterConnection {
    settings: config::Database,
    acquire_timeout: Duration,
    connection: Option<PgConnection>,
    used_at: Instant,
    facets: facet::Known,
}

impl WriterConnection {
    /// Reads the settings without connecting.
    pub fn new(settings: &config::Database) -> Self {
        Self {
            settings: settings.clone(),
            acquire_timeout: settings.acquire_timeout,
            connection: None,
            used_at: Instant::now(),
            facets: facet::Known::default(),
        }
    }

    /// Writes events and their changes in one transaction, with a timeout of `limit`. Duplicates are
    /// only counted.
    pub async fn write(
        &mut self,
        limit: Duration,
        writer_id: Uuid,
        events: &[Event],
    ) -> Result<Vec<Stored>, Failure> {
        let facets = self.facets.missing(events);
        loop {
            let began = Instant::now();
            let is_reused = self.connection.is_some();
            let mut connection = self.take().await?;
            let write = ingest(&mut connection, writer_id, events, &facets);
            let written = within(limit, write).await.map_err(Failure::from);
            self.used_at = Instant::now();
            match written {
                // It may have died while idle: try again with a new one. If this attempt was
                // committed, the next one finds the events.
                Err(Failure::Unavailable(_)) if is_reused && began.elapsed() < self.liveness() => {}
                // Not kept: it is dead, or read-only after a failover.
                Err(Failure::Unavailable(_)) => return written,
                _ => {
                    self.connection = Some(connection);
                    if written.is_ok() {
                        self.facets.add(&facets);
                    }
                    return written;
                }
            }
        }
    }

    /// Creates the missing journal partitions of these days.
    pub async fn create_partitions(
        &mut self,
        limit: Duration,
        days: impl Iterator<Item = NaiveDate>,
    ) -> sqlx::Result<()> {
        let mut connection = self.take().await?;
        within(limit, partition::create(&mut connection, days)).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Takes the idle connection or opens one. The caller puts it back if it is still usable. One that
    /// was idle for long is pinged: a silent failure would take the time of the write.
    async fn take(&mut self) -> sqlx::Result<PgConnection> {
        if let Some(mut connection) = self.connection.take() {
            let is_alive = self.used_at.elapsed() < MAX_IDLE
                || within(self.liveness(), connection.ping()).await.is_ok();
            if is_alive {
                return Ok(connection);
            }
        }
        within(self.acquire_timeout, connect(&self.settings)).await
    }

    fn liveness(&self) -> Duration {
        liveness_timeout(self.acquire_timeout)
    }
}

/// Connects to the server in use.
///
/// A session keeps the plans of its statements and triggers. Those that are made while a table is small
/// would read all of it for as long as the session lives: by a sequential scan, or for a join that is
/// not a look-up in an index. So these are disabled.
async fn connect(settings: &config::Database) -> sqlx::Result<PgConnection> {
    let options = options(settings)?.options([
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_material", "off"),
        ("jit", "off"),
        // The statements of the functions are the same for each batch.
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    let mut connection = PgConnection::connect_with(&options).await?;
    make_durable(&mut connection).await?;
    Ok(connection)
}
