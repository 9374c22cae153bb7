//! Database connection of one writer.
//!
//! It does not use a pool, which would ping twice per transaction; `begin` is the health check.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::connect::{liveness_timeout, make_durable, options, within};
use super::event::Stored;
use super::facet;
use super::failure::Failure;
use super::partition;
use super::transaction::apply;
use crate::config;
use crate::event::Event;

/// Connection that is opened on first use, kept, and replaced when it fails.
#[derive(Debug)]
pub struct WriterConnection {
    options: PgConnectOptions,
    acquire_timeout: Duration,
    connection: Option<PgConnection>,
    facets: facet::Known,
}

impl WriterConnection {
    /// Reads the settings without connecting. Fails if `database.url` cannot be parsed.
    ///
    /// A session keeps the plans of its statements and triggers. Those that are made while a table is
    /// small would scan it for as long as the session lives, so such scans are disabled.
    pub fn new(settings: &config::Database) -> sqlx::Result<Self> {
        let acquire_timeout = settings.acquire_timeout;
        let options = options(settings)?.options([
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ]);
        let facets = facet::Known::default();
        Ok(Self { options, acquire_timeout, connection: None, facets })
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
            let was_idle = self.connection.is_some();
            let mut connection = self.take().await?;
            // Also the health check of an idle connection.
            let written =
                match within(liveness_timeout(self.acquire_timeout), connection.begin()).await {
                    Ok(transaction) => {
                        let write = write_in(transaction, writer_id, events, &facets);
                        within(limit, write).await.map_err(Failure::from)
                    }
                    // It may have died while idle: try again with a new one.
                    Err(_) if was_idle => continue,
                    Err(error) => return Err(error.into()),
                };
            // Not kept after `Unavailable`: it is dead, or read-only after a failover.
            if !matches!(written, Err(Failure::Unavailable(_))) {
                self.connection = Some(connection);
            }
            if written.is_ok() {
                self.facets.add(&facets);
            }
            return written;
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

    /// Takes the idle connection or opens one. The caller puts it back if it is still usable.
    async fn take(&mut self) -> sqlx::Result<PgConnection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => within(self.acquire_timeout, connect(&self.options)).await,
        }
    }
}

async fn write_in(
    mut transaction: Transaction<'_, Postgres>,
    writer_id: Uuid,
    events: &[Event],
    facets: &BTreeSet<facet::Entry<'_>>,
) -> sqlx::Result<Vec<Stored>> {
    match apply(&mut transaction, writer_id, events, facets).await {
        Ok(stored) => transaction.commit().await.map(|()| stored),
        // Roll back now, not at the next `begin`, to release the locks. If that fails, its error is
        // returned: the connection is lost.
        Err(error) => transaction.rollback().await.and(Err(error)),
    }
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    make_durable(&mut connection).await?;
    Ok(connection)
}
