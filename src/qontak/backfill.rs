//! Backfill: reads rooms, messages and broadcasts from Qontak's API, compares them with what is stored,
//! and stores the rest as events of the endpoint `backfill`.
//!
//! ```text
//! room.rs        rooms by last activity, and the messages of each
//! broadcast.rs   broadcasts, and their recipients where the counts differ
//! compare.rs     compares rows by a write that is rolled back
//! repair.rs      stores rows that differ, through `Ingest::accept`, and counts them
//! report.rs      what a backfill compares, tells and returns
//! ```
//!
//! A row that is equal to what is stored causes no event. A backfill that was interrupted goes on after the
//! last complete page; the findings of an incomplete page were noted before they were repaired
//! (`store/reconciliation.rs`), so each counts once.

mod broadcast;
mod compare;
mod repair;
mod report;
mod room;

use std::time::Duration;

use sqlx::PgPool;
use tracing::info;

use self::broadcast::Broadcasts;
use self::repair::Repair;
pub use self::report::{BackfillError, Counts, Kind, Progress, Report, Scope};
use self::room::Rooms;
use super::client::Client;
use crate::ingest::Ingest;
use crate::model::Timestamp;
use crate::store::qontak_backfill::{self, Checkpoint, WalkKey};

/// A backfill of one organisation.
pub struct Backfill<'a> {
    /// Client of the organisation.
    pub client: &'a Client,
    /// Stores events.
    pub ingest: &'a Ingest,
    /// Compares rows and holds checkpoints. At least two connections.
    pub db: &'a PgPool,
    /// Time a comparison may take.
    pub timeout: Duration,
    /// Start of the period.
    pub from: Timestamp,
    /// End of the period; `None` is that of the interrupted backfill with this start, or now.
    pub to: Option<Timestamp>,
    /// What to compare.
    pub scope: Scope,
    /// Whether to store nothing.
    pub is_dry_run: bool,
}

impl Backfill<'_> {
    /// Runs the backfill, or goes on with an interrupted one of the same period. Calls `progress` after
    /// each page.
    pub async fn run(&self, mut progress: impl FnMut(Progress)) -> Result<Report, BackfillError> {
        let name = self.client.name();
        self.client.check_organization().await?;
        let organization_id = self.client.organization_id().await?;
        let organization_id = organization_id.ok_or(BackfillError::UnknownOrganization)?;
        let Some(_lock) = qontak_backfill::try_lock(self.db, name).await? else {
            return Err(BackfillError::Busy);
        };
        let open = qontak_backfill::open_until(self.db, name, self.from).await?;
        let to = self.to.or(open).unwrap_or_else(Timestamp::now);
        let mut repair = Repair {
            ingest: self.ingest,
            db: self.db,
            timeout: self.timeout,
            is_dry_run: self.is_dry_run,
            organization_id: &organization_id,
            report: Report::new(),
        };
        let Scope { rooms, messages, broadcasts } = self.scope;
        if rooms || messages {
            let key = WalkKey { name, kind: Kind::Room.as_str(), from: self.from, to };
            let checkpoint = self.resume(key).await?;
            if !checkpoint.is_done {
                let walk = Rooms::new(self.client, key, self.scope);
                walk.run(&mut repair, checkpoint, &mut progress).await?;
                self.done(key).await?;
            }
        }
        if broadcasts {
            let key = WalkKey { name, kind: Kind::Broadcast.as_str(), from: self.from, to };
            let walk = Broadcasts { client: self.client, key, db: self.db };
            walk.run(&mut repair, &mut progress).await?;
        }
        if !self.is_dry_run {
            qontak_backfill::finish(self.db, name, self.from).await?;
        }
        for (kind, counts) in &repair.report {
            let (kind, Counts { fetched, missing, changed }) = (kind.as_str(), *counts);
            info!(organization = name, kind, fetched, missing, changed, "backfill complete");
        }
        Ok(repair.report)
    }

    async fn resume(&self, key: WalkKey<'_>) -> Result<Checkpoint, BackfillError> {
        if self.is_dry_run {
            return Ok(Checkpoint::default());
        }
        Ok(qontak_backfill::resume(self.db, key).await?)
    }

    async fn done(&self, key: WalkKey<'_>) -> Result<(), BackfillError> {
        if !self.is_dry_run {
            let done = Checkpoint { cursor: None, is_done: true };
            qontak_backfill::save(self.db, key, &done).await?;
        }
        Ok(())
    }
}
