//! Acknowledged webhooks that wait for the database, for readers of the ledger and of the health.

use serde::Serialize;
use utoipa::ToSchema;

use crate::ingest::Ingest;
use crate::model::Timestamp;

/// Webhooks that were acknowledged and are not committed yet: those in NATS and in the folder of the replica
/// that responds. Only for keys of all organisations, and only with a spool.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub struct Waiting {
    /// Number of webhooks; of NATS as of the last 5 seconds.
    events: u64,
    /// Time of receipt of the oldest one; null if none waits.
    oldest_at: Option<Timestamp>,
}

impl Waiting {
    /// What waits now, for a reader of these organisations; `None` without a spool, or if they are not all.
    pub fn now(ingest: &Ingest, organizations: Option<&[String]>) -> Option<Self> {
        let is_shown = organizations.is_none() && !ingest.spools.is_empty();
        is_shown.then(|| Self {
            events: ingest.spooled(),
            oldest_at: ingest.spools.iter().filter_map(|spool| spool.depth().oldest_at).min(),
        })
    }
}
