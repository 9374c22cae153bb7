//! Availability of the database, as the last transaction showed it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info};

/// Interval of the lines about an outage.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Shared by the writer and its tasks. Logs the begin and the end of an outage, and once a minute
/// that it goes on, not each failed transaction.
#[derive(Clone, Default)]
pub struct Availability(Arc<Mutex<Option<Outage>>>);

struct Outage {
    began: Instant,
    last: Instant,
    logged: Instant,
    transactions: u64,
    error: String,
}

impl Availability {
    /// Whether the last transaction failed because the database was unavailable.
    pub fn is_unavailable(&self) -> bool {
        self.lock().is_some()
    }

    /// Why the database is unavailable, if a transaction failed for that within the last `age`.
    pub fn recent_failure(&self, age: Duration) -> Option<String> {
        let outage = self.lock();
        let outage = outage.as_ref().filter(|outage| outage.last.elapsed() < age)?;
        Some(outage.error.clone())
    }

    /// Records the result of a transaction; `error` if the database was unavailable.
    pub fn record(&self, error: Option<&str>) {
        let now = Instant::now();
        let mut outage = self.lock();
        match (&mut *outage, error) {
            (None, Some(error)) => {
                let (transactions, error) = (1, error.to_owned());
                error!(error, "database unavailable");
                *outage = Some(Outage { began: now, last: now, logged: now, transactions, error });
            }
            (Some(outage), Some(error)) => {
                outage.last = now;
                outage.transactions += 1;
                error.clone_into(&mut outage.error);
                if now.duration_since(outage.logged) >= LOG_INTERVAL {
                    outage.logged = now;
                    let outage_seconds = outage.began.elapsed().as_secs_f64();
                    let transactions = outage.transactions;
                    error!(error, outage_seconds, transactions, "database unavailable");
                }
            }
            (Some(ended), None) => {
                let outage_seconds = ended.began.elapsed().as_secs_f64();
                let transactions = ended.transactions;
                info!(outage_seconds, transactions, "database available again");
                *outage = None;
            }
            (None, None) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
