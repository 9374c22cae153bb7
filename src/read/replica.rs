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
    /// Positions of the primary that the standby has not reached, the oldest first.
    ahead: Mutex<VecDeque<(Instant, i64)>>,
}

impl Replica {
    /// A standby that is used once it was measured.
    pub fn new(db: PgPool, max_lag: Duration) -> Self {
        Self { db, max_lag, is_usable: AtomicBool::new(false), ahead: Mutex::default() }
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
        let on_primary = store::within(INTERVAL, position(primary)).await;
        let on_standby = store::within(INTERVAL, position(&self.db)).await;
        let found = match &on_standby {
            Ok(Position { is_standby: true, bytes }) => {
                let lag = self.lag(on_primary.as_ref().ok().map(|it| it.bytes), *bytes);
                gauge!("qontak_receiver_read_replica_lag_seconds").set(lag.as_secs_f64());
                match lag <= self.max_lag {
                    true => Ok(()),
                    false => Err(format!("{} s behind the primary", lag.as_secs())),
                }
            }
            Ok(_) => Err("not a standby".to_owned()),
            Err(_) => Err("unavailable".to_owned()),
        };
        let is_usable = match &found {
            Ok(()) => true,
            // Without a primary, old data is better than none.
            Err(_) => on_primary.is_err() && on_standby.is_ok(),
        };
        let was_usable = self.is_usable.swap(is_usable, Ordering::Relaxed);
        gauge!("qontak_receiver_read_replica_used").set(f64::from(u8::from(is_usable)));
        match found {
            Err(problem) if was_usable && !is_usable => {
                warn!(problem, "read replica not used, reading from the primary");
            }
            Ok(()) if !was_usable => info!("reading from the read replica"),
            _ => {}
        }
    }

    /// Age of the oldest position of the primary that the standby has not reached.
    fn lag(&self, on_primary: Option<i64>, on_standby: i64) -> Duration {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = on_primary
            && ahead.len() < MAX_POSITIONS
        {
            ahead.push_back((Instant::now(), bytes));
        }
        while ahead.pop_front_if(|(_, bytes)| *bytes <= on_standby).is_some() {}
        ahead.front().map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }
}
