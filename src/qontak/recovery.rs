//! Backfills by itself: for each organisation from which no webhook came for a while, after an outage of
//! this service or while Qontak sends nothing.
//!
//! `qontak_coverage` has the time up to which nothing is missing. It moves with the webhooks as long as
//! they have no gap; over a gap it moves when a backfill of the gap is complete. One replica does it.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tracing::{info, warn};

use super::Clients;
use super::backfill::{Backfill, BackfillError, Scope};
use super::client::Client;
use super::repeat::repeat;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::model::Timestamp;
use crate::store::qontak_check::{Check, Kind, claim, finish};
use crate::store::{Failure, ledger, qontak_backfill, reconciliation};

/// Longest poll interval of the ledger.
const MAX_TICK: Duration = Duration::from_secs(60);

/// A backfill begins this much earlier: Qontak's clock and this one differ.
const MARGIN_SECONDS: i64 = 60;

/// Longest gap that is filled without being asked to, in days.
const MAX_DAYS: i64 = 7;

/// Backfills of all organisations.
pub struct Recovery {
    clients: Clients,
    ingest: Ingest,
    gap: Duration,
    timeout: Duration,
    db: PgPool,
}

impl Recovery {
    /// What the settings ask for; `None` if nothing.
    pub fn new(config: &Config, clients: Clients, ingest: Ingest, db: PgPool) -> Option<Self> {
        let (gap, timeout) = (config.backfill.gap, config.writer.commit_timeout);
        let is_on = config.backfill.auto && !clients.is_empty();
        is_on.then_some(Self { clients, ingest, gap, timeout, db })
    }

    /// Looks for gaps until `stopping`. An interrupted backfill goes on after the next start.
    pub async fn run(self, stopping: Receiver<bool>) {
        let pause = self.gap.min(MAX_TICK);
        repeat(pause, stopping, "search for missing events interrupted", || self.check_all()).await;
    }

    /// Checks each organisation that no other replica checks, and exports the totals. Fails only if the
    /// database does.
    async fn check_all(&self) -> Result<(), Failure> {
        for client in self.clients.values() {
            let check = Check { name: client.name(), kind: Kind::Backfill };
            if !claim(&self.db, check, self.gap.min(MAX_TICK).mul_f64(0.9)).await? {
                continue;
            }
            let error = match self.check(client).await {
                Ok(()) => None,
                // Another replica, or the command.
                Err(BackfillError::Busy) => continue,
                Err(BackfillError::Database(failure)) => return Err(failure),
                Err(error) => Some(error.to_string()),
            };
            if finish(&self.db, check, error.as_deref()).await? {
                match error {
                    Some(error) => warn!(organization = check.name, error, "backfill failed"),
                    None => info!(organization = check.name, "backfill succeeds again"),
                }
            }
        }
        for total in reconciliation::totals(&self.db).await? {
            let count = |count: i64| count.unsigned_abs();
            let labels = [("organization_id", total.organization_id), ("kind", total.kind)];
            counter!("qontak_receiver_qontak_missing_total", &labels)
                .absolute(count(total.missing));
            counter!("qontak_receiver_qontak_changed_total", &labels)
                .absolute(count(total.changed));
        }
        Ok(())
    }

    /// Fills the gap of an organisation, if there is one.
    async fn check(&self, client: &Arc<Client>) -> Result<(), BackfillError> {
        let name = client.name();
        let Some(organization_id) = client.organization_id().await? else {
            return Err(BackfillError::UnknownOrganization);
        };
        let now = Timestamp::now();
        let last = ledger::last_webhook_at(&self.db, &organization_id).await?;
        let covered = qontak_backfill::covered_at(&self.db, name).await?;
        let Some(covered) = covered.or(last) else {
            // Nothing was ever received: the past is a matter of the command.
            return Ok(qontak_backfill::cover(&self.db, name, now).await?);
        };
        let end = last.map_or(covered, |last| last.max(covered));
        let is_gap = |from: Timestamp, to: Timestamp| {
            (to.0 - from.0).to_std().is_ok_and(|time| time >= self.gap)
        };
        let covered = if is_gap(covered, end) || is_gap(end, now) {
            // The same after an interruption, so that it goes on.
            let from = Timestamp(covered.0 - chrono::TimeDelta::seconds(MARGIN_SECONDS));
            let earliest = Timestamp(now.0 - chrono::TimeDelta::days(MAX_DAYS));
            self.fill(client, from.max(earliest)).await?;
            now
        } else {
            end
        };
        Ok(qontak_backfill::cover(&self.db, name, covered).await?)
    }

    async fn fill(&self, client: &Client, from: Timestamp) -> Result<(), BackfillError> {
        let backfill = Backfill {
            client,
            ingest: &self.ingest,
            db: &self.db,
            timeout: self.timeout,
            from,
            to: None,
            scope: Scope::ALL,
            is_dry_run: false,
        };
        backfill.run(|_| ()).await?;
        Ok(())
    }
}
