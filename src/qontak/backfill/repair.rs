//! Stores rows that differ, through `Ingest::accept`, and counts them.
//!
//! Between two pages it pauses as long as the last page took to write: webhooks have at least half of the
//! database's time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::try_join_all;
use sqlx::PgPool;
use tokio::time::sleep;

use super::compare::{Comparison, Item, compare, event, webhook};
use super::report::{BackfillError, Counts, Kind, Report};
use crate::ingest::Ingest;
use crate::ingest::writer::WriteError;
use crate::store::qontak_backfill::{self, Checkpoint, WalkKey};
use crate::store::reconciliation;

/// Attempts of an event that could not be stored, and the pause between them.
const WRITE_ATTEMPTS: u32 = 30;
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause after a page.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Repairs what one backfill finds.
pub struct Repair<'a> {
    pub ingest: &'a Ingest,
    pub db: &'a PgPool,
    pub timeout: Duration,
    pub is_dry_run: bool,
    /// The organisation.
    pub organization_id: &'a str,
    /// Rows so far.
    pub report: Report,
}

impl Repair<'_> {
    /// Number of rows so far.
    pub fn fetched(&self) -> u64 {
        self.report.values().map(|counts| counts.fetched).sum()
    }

    /// Compares rows with what is stored.
    pub async fn compare(
        &self,
        kind: Kind,
        items: &[Item],
    ) -> Result<Vec<Comparison>, BackfillError> {
        Ok(compare(self.db, self.timeout, self.organization_id, kind, items).await?)
    }

    /// Compares rows, stores those that differ, and counts all.
    pub async fn repair(&mut self, kind: Kind, items: &[Item]) -> Result<(), BackfillError> {
        if items.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let compared = self.compare(kind, items).await?;
        self.store(kind, items, &compared).await?;
        if !self.is_dry_run {
            sleep(began.elapsed().min(MAX_PAUSE)).await;
        }
        Ok(())
    }

    /// Stores the rows that differ, and counts all.
    pub async fn store(
        &mut self,
        kind: Kind,
        items: &[Item],
        compared: &[Comparison],
    ) -> Result<(), BackfillError> {
        let noted = items.iter().zip(compared).filter_map(|(item, finding)| {
            let is_missing = match finding {
                Comparison::Missing => true,
                Comparison::Changed => false,
                Comparison::Other | Comparison::Equal => return None,
            };
            Some(reconciliation::Finding { id: item.id.clone(), day: item.at.day(), is_missing })
        });
        let noted: Vec<reconciliation::Finding> = noted.collect();
        if !self.is_dry_run {
            reconciliation::note(self.db, self.organization_id, kind, &noted).await?;
            let differing = items.iter().zip(compared).filter(|(_, it)| **it != Comparison::Equal);
            try_join_all(differing.map(|(item, _)| self.accept(item))).await?;
        }
        let missing = noted.iter().filter(|finding| finding.is_missing).count() as u64;
        self.count(kind, items, missing, noted.len() as u64 - missing).await
    }

    /// Notes that a row differs whose parts are repaired before it is counted.
    pub async fn note(&self, kind: Kind, item: &Item) -> Result<(), BackfillError> {
        let finding =
            reconciliation::Finding { id: item.id.clone(), day: item.at.day(), is_missing: false };
        if !self.is_dry_run {
            reconciliation::note(self.db, self.organization_id, kind, &[finding]).await?;
        }
        Ok(())
    }

    /// Counts rows, and those among them that were noted.
    pub async fn count(
        &mut self,
        kind: Kind,
        items: &[Item],
        missing: u64,
        changed: u64,
    ) -> Result<(), BackfillError> {
        let mut days: BTreeMap<NaiveDate, i64> = BTreeMap::new();
        for item in items {
            *days.entry(item.at.day()).or_default() += 1;
        }
        if !self.is_dry_run {
            reconciliation::count(self.db, self.organization_id, kind, &days).await?;
        }
        let counts = self.report.entry(kind).or_default();
        let Counts { fetched, missing: all_missing, changed: all_changed } = counts;
        *fetched += items.len() as u64;
        *all_missing += missing;
        *all_changed += changed;
        Ok(())
    }

    /// Stores where a walk goes on.
    pub async fn save(
        &self,
        key: WalkKey<'_>,
        cursor: Option<String>,
    ) -> Result<(), BackfillError> {
        if !self.is_dry_run {
            let checkpoint = Checkpoint { cursor, is_done: false };
            qontak_backfill::save(self.db, key, &checkpoint).await?;
        }
        Ok(())
    }

    async fn accept(&self, item: &Item) -> Result<(), WriteError> {
        let webhook = webhook(self.organization_id, &item.body);
        let mut attempt = 1;
        loop {
            let Some(event) = event(webhook.clone()) else { return Ok(()) };
            match self.ingest.accept(event, Duration::ZERO).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == WRITE_ATTEMPTS => return Err(error),
                Err(_) => sleep(WRITE_PAUSE).await,
            }
            attempt += 1;
        }
    }
}
