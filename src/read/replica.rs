//! A hot standby that serves reads while it is not too far behind the primary.
//!
//! How far it is behind is the age of the oldest position of the primary that it has not reached: so no row
//! has to be written for it, and a standby of an idle primary is not behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use sqlx::PgPool;
use tokio::time::interval;
use tracing::{info, warn};

use crate::store;
use crate::store::replica::{Position, position};

/// Interval of the measurements, and time in which a server has to answer one.
const INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of positions of the primary that are kept.
const MAX_POSITIONS: usize = 3600;

/// Connections to the standby, and whether they are used.
pub struct Replica {
    db: PgPool,
    max_lag: Duration,
    is_usable: AtomicBool,
    seen: Mutex<Seen>,
}

/// What the measurements have shown so far.
#[derive(Default)]
struct Seen {
    /// Identifier of the primary.
    system: Option<i64>,
    /// Positions of the primary that the standby has not reached, the oldest first.
    ahead: VecDeque<(Instant, i64)>,
    /// Whether the last line of the log said that the standby is used.
    is_logged_as_used: Option<bool>,
}

impl Replica {
    /// A standby that is used once it was measured.
    pub fn new(db: PgPool, max_lag: Duration) -> Self {
        Self { db, max_lag, is_usable: AtomicBool::new(false), seen: Mutex::default() }
    }

    /// The connections, while the standby is not too far behind.
    pub fn usable(&self) -> Option<&PgPool> {
        self.is_usable.load(Ordering::Relaxed).then_some(&self.db)
    }

    /// Measures until it is aborted.
    pub async fn watch(&self, primary: &PgPool) -> ! {
        let mut interval = interval(INTERVAL);
        loop {
            interval.tick().await;
            self.measure(primary).await;
        }
    }

    /// Measures how far the standby is behind, and decides whether it is used.
    pub async fn measure(&self, primary: &PgPool) {
        let on_primary = store::within(INTERVAL, position(primary)).await.ok();
        let on_standby = store::within(INTERVAL, position(&self.db)).await.ok();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = seen.lag(on_primary, on_standby);
        gauge!("qontak_receiver_read_replica_lag_seconds").set(lag.as_secs_f64());
        let problem = match on_standby {
            None => Some("unavailable".to_owned()),
            Some(found) if seen.system.is_some_and(|system| system != found.system) => {
                Some("not a standby of the primary".to_owned())
            }
            // Without a primary, old data is better than none. The standby may have been promoted.
            Some(_) if on_primary.is_none() => None,
            Some(found) if !found.is_standby => Some("not a standby".to_owned()),
            Some(_) if lag > self.max_lag => {
                Some(format!("{} s behind the primary", lag.as_secs()))
            }
            Some(_) => None,
        };
        let is_used = problem.is_none();
        self.is_usable.store(is_used, Ordering::Relaxed);
        gauge!("qontak_receiver_read_replica_used").set(f64::from(u8::from(is_used)));
        if seen.is_logged_as_used.replace(is_used) != Some(is_used) {
            match problem {
                Some(problem) => {
                    warn!(problem, "read replica not used, reading from the primary");
                }
                None => info!("reading from the read replica"),
            }
        }
    }
}

impl Seen {
    /// Age of the oldest position of the primary that the standby has not reached, as far as is known.
    fn lag(&mut self, on_primary: Option<Position>, on_standby: Option<Position>) -> Duration {
        if let Some(found) = on_primary {
            self.system = Some(found.system);
            if self.ahead.len() < MAX_POSITIONS {
                self.ahead.push_back((Instant::now(), found.bytes));
            }
        }
        if let Some(found) = on_standby {
            while self.ahead.pop_front_if(|(_, bytes)| *bytes <= found.bytes).is_some() {}
        }
        self.ahead.front().map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }
}
