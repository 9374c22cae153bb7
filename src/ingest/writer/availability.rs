//! Availability of the database, as the last transaction showed it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::{error, info};

/// Shared by the writer and its tasks. Logs the begin and the end of an outage, not each
/// failed transaction.
#[derive(Clone, Default)]
pub struct Availability {
    unavailable_since: Arc<Mutex<Option<Instant>>>,
}

impl Availability {
    /// Whether the last transaction failed because the database was unavailable.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable_since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Records the result of a transaction; `error` if the database was unavailable.
    pub fn record(&self, error: Option<&str>) {
        let mut since = self.unavailable_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (*since, error) {
            (None, Some(error)) => {
                *since = Some(Instant::now());
                error!(error, "database unavailable");
            }
            (Some(began), None) => {
                *since = None;
                let outage_seconds = began.elapsed().as_secs_f64();
                info!(outage_seconds, "database available again");
            }
            _ => {}
        }
    }
}
