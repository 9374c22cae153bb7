//! Broadcasts, newest first, and the recipients of those whose counts differ.

use serde_json::Value;
use sqlx::PgPool;

use super::compare::Item;
use super::repair::Repair;
use super::report::{BackfillError, Kind, Progress};
use super::room::is_plain;

use crate::model::Timestamp;
use crate::qontak::client::{Client, Route};
use crate::qontak::error::Error;
use crate::qontak::list::Walk;
use crate::store::broadcast_log::count;
use crate::store::qontak_backfill::WalkKey;

/// Days before the period in which a broadcast may have begun whose statuses changed in the period.
const DAYS_BEFORE: i64 = 3;

/// Statuses in Qontak's counts of recipients.
const STATUSES: [&str; 5] = ["failed", "delivered", "read", "pending", "sent"];

/// Walk through the broadcasts of one organisation.
pub struct Broadcasts<'a> {
    pub client: &'a Client,
    pub key: WalkKey<'a>,
    pub db: &'a PgPool,
}

impl Broadcasts<'_> {
    /// Walks through all broadcasts. An interrupted walk begins again: it has few rows, and recipients are
    /// read only where counts differ.
    pub async fn run(
        &self,
        repair: &mut Repair<'_>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), BackfillError> {
        let from = Timestamp(self.key.from.0 - chrono::TimeDelta::days(DAYS_BEFORE));
        let path = "broadcasts/whatsapp";
        let mut walk = Walk::new(self.client, path, path.to_owned());
        while let Some(rows) = walk.next().await? {
            let is_end = rows.iter().all(|row| created_at(row).is_some_and(|at| at < from));
            let is_in_period =
                |row: &&Value| created_at(row).is_none_or(|at| from <= at && at < self.key.to);
            for row in rows.iter().filter(is_in_period) {
                if let Some(id) = row["id"].as_str().filter(|id| is_plain(id)) {
                    self.broadcast(repair, id, created_at(row)).await?;
                }
                let (kind, fetched) = (Kind::Broadcast, repair.fetched());
                progress(Progress { kind, fetched, share: 1.0 });
            }
            if is_end {
                break;
            }
        }
        Ok(())
    }

    async fn broadcast(
        &self,
        repair: &mut Repair<'_>,
        id: &str,
        at: Option<Timestamp>,
    ) -> Result<(), BackfillError> {
        let path = format!("broadcasts/{id}/whatsapp");
        let route = Route::get_path("broadcasts/{id}/whatsapp", path, String::new());
        let answer = match self.client.call(route, None).await {
            Ok(answer) => answer,
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let theirs = &answer["data"]["message_status_count"];
        let is_counted = STATUSES.iter().any(|status| theirs[status].is_u64());
        let is_equal = is_counted && self.is_equal(repair.organization_id, id, theirs).await?;
        let at = at.unwrap_or_else(Timestamp::now);
        let item = Item { id: id.to_owned(), at, body: Value::Null };
        if !is_equal {
            if is_counted {
                repair.note(Kind::Broadcast, &item).await?;
            }
            let path = format!("broadcasts/{id}/whatsapp/log");
            let mut walk = Walk::new(self.client, "broadcasts/{id}/whatsapp/log", path);
            while let Some(rows) = walk.next().await? {
                let items: Vec<Item> = rows.into_iter().filter_map(log).collect();
                repair.repair(Kind::BroadcastLog, &items).await?;
            }
        }
        if is_counted {
            repair.count(Kind::Broadcast, &[item], 0, u64::from(!is_equal)).await?;
        }
        Ok(())
    }

    /// Whether as many recipients have each status here. Statuses only move forward, so then no recipient
    /// differs.
    async fn is_equal(
        &self,
        organization_id: &str,
        id: &str,
        theirs: &Value,
    ) -> Result<bool, BackfillError> {
        let ours = count::of_broadcast(self.db, organization_id, id).await?;
        Ok(STATUSES.iter().all(|status| {
            let counted = ours.iter().filter(|counted| counted.status() == Some(*status));
            let count: i64 = counted.map(|counted| counted.count).sum();
            theirs[status].as_i64().unwrap_or(0) == count
        }))
    }
}

fn created_at(row: &Value) -> Option<Timestamp> {
    Timestamp::parse(row["created_at"].as_str()?)
}

fn log(row: Value) -> Option<Item> {
    let id = row["id"].as_str()?.to_owned();
    Some(Item { id, at: created_at(&row).unwrap_or_else(Timestamp::now), body: row })
}
