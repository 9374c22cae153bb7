//! A writer's own connection, and the transaction that it is for.

use std::time::Duration;

use chrono::NaiveDate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::connect::{liveness_timeout, make_durable, options, within};
use super::event::Stored;
use super::failure::Failure;
use super::partition;
use super::transaction::apply;
use crate::config;
use crate::event::Event;

/// A connection to write: made when it is needed, kept, and replaced when it is of no use any more.
///
/// A pool would ask the other end twice after each transaction whether it is still there.
#[derive(Debug)]
pub struct WriterConnection {
    options: PgConnectOptions,
    acquire_timeout: Duration,
    connection: Option<PgConnection>,
}

impl WriterConnection {
    /// Where it will lead to. Fails if `database.url` is none.
    pub fn new(settings: &config::Database) -> sqlx::Result<Self> {
        let acquire_timeout = settings.acquire_timeout;
        Ok(Self { options: options(settings)?, acquire_timeout, connection: None })
    }

    /// Writes events and all that follows from them: all or nothing, in one transaction that takes
    /// at most `limit`.
    ///
    /// What came before changes no table again, unless it is replayed; it is only counted.
    pub async fn write(
        &mut self,
        limit: Duration,
        writer_id: Uuid,
        events: &[Event],
    ) -> Result<Vec<Stored>, Failure> {
        loop {
            let was_idle = self.connection.is_some();
            let mut connection = self.take().await?;
            // This asks as well whether there is still somebody at the other end.
            let written =
                match within(liveness_timeout(self.acquire_timeout), connection.begin()).await {
                    Ok(transaction) => {
                        let write = write_in(transaction, writer_id, events);
                        within(limit, write).await.map_err(Failure::from)
                    }
                    // It may have died long ago, and then a new one is better.
                    Err(_) if was_idle => continue,
                    Err(error) => return Err(error.into()),
                };
            // Else it is dead, or of no use any more, as with a primary that became a standby.
            if !matches!(written, Err(Failure::Unavailable(_))) {
                self.connection = Some(connection);
            }
            return written;
        }
    }

    /// Makes the journal's partitions of these days where they are missing.
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

    /// The connection that is there, or a new one. Who may go on using it puts it back.
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
) -> sqlx::Result<Vec<Stored>> {
    match apply(&mut transaction, writer_id, events).await {
        Ok(stored) => transaction.commit().await.map(|()| stored),
        // Now, and not before the next one begins: others may wait for what it has locked. That
        // the link is lost says more than what it was refused for.
        Err(error) => transaction.rollback().await.and(Err(error)),
    }
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    make_durable(&mut connection).await?;
    Ok(connection)
}
