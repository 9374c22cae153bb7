//! Log lines about faults that can repeat thousands of times a minute.
//!
//! A fault is logged when it begins, then once a minute with the number of its occurrences, and when
//! it has not occurred for a minute.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

/// Time between two lines about a fault, and the time after which it has ended.
const INTERVAL: Duration = Duration::from_secs(60);

/// Faults that have begun and not ended.
static CURRENT: Mutex<Vec<&'static Fault>> = Mutex::new(Vec::new());

/// A fault with its message: a `static` where it occurs.
pub struct Fault {
    message: &'static str,
    is_error: bool,
    episode: Mutex<Option<Episode>>,
}

/// From the first occurrence to the last.
struct Episode {
    began: Instant,
    last: Instant,
    logged: Instant,
    /// Occurrences since the last line.
    unlogged: u64,
    count: u64,
}

/// A line to log about an occurrence.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Begin,
    Continues { occurrences: u64 },
}

impl Fault {
    /// A fault that somebody must act on.
    pub const fn error(message: &'static str) -> Self {
        Self { message, is_error: true, episode: Mutex::new(None) }
    }

    /// A fault that may end by itself.
    pub const fn warn(message: &'static str) -> Self {
        Self { message, is_error: false, episode: Mutex::new(None) }
    }

    /// Records an occurrence and its cause.
    pub fn occurred(&'static self, error: impl Display) {
        let message = self.message;
        match (self.record(Instant::now()), self.is_error) {
            (Some(Line::Begin), true) => {
                current(|faults| faults.push(self));
                error!(%error, "{message}");
            }
            (Some(Line::Begin), false) => {
                current(|faults| faults.push(self));
                warn!(%error, "{message}");
            }
            (Some(Line::Continues { occurrences }), true) => {
                error!(%error, occurrences, "{message}")
            }
            (Some(Line::Continues { occurrences }), false) => {
                warn!(%error, occurrences, "{message}")
            }
            (None, _) => {}
        }
    }

    /// Records an occurrence; returns what to log.
    fn record(&self, now: Instant) -> Option<Line> {
        let mut episode = self.episode.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(episode) = &mut *episode else {
            *episode = Some(Episode { began: now, last: now, logged: now, unlogged: 0, count: 1 });
            return Some(Line::Begin);
        };
        (episode.last, episode.count) = (now, episode.count + 1);
        episode.unlogged += 1;
        if now.duration_since(episode.logged) < INTERVAL {
            return None;
        }
        episode.logged = now;
        Some(Line::Continues { occurrences: std::mem::take(&mut episode.unlogged) })
    }

    /// Ends the episode if the fault has not occurred for a minute; returns its number of occurrences
    /// and its duration.
    fn end_if_quiet(&self, now: Instant) -> Option<(u64, Duration)> {
        let mut episode = self.episode.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |episode: &mut Episode| now.duration_since(episode.last) >= INTERVAL;
        let ended = episode.take_if(is_quiet)?;
        Some((ended.count, ended.last.duration_since(ended.began)))
    }
}

/// Logs the end of faults. To be called every few seconds.
pub fn end_quiet_faults() {
    current(|faults| {
        faults.retain(|fault| {
            let Some((occurrences, took)) = fault.end_if_quiet(Instant::now()) else { return true };
            let seconds = took.as_secs();
            info!(occurrences, seconds, "{}: ended", fault.message);
            false
        });
    });
}

fn current(change: impl FnOnce(&mut Vec<&'static Fault>)) {
    change(&mut CURRENT.lock().unwrap_or_else(PoisonError::into_inner));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fault_is_logged_at_its_begin_once_a_minute_and_at_its_end() {
        let fault = Fault::warn("a fault");
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(fault.record(at(0)), Some(Line::Begin));
        assert_eq!((1..60).find_map(|second| fault.record(at(second))), None);
        assert_eq!(fault.record(at(60)), Some(Line::Continues { occurrences: 60 }));
        assert_eq!(fault.record(at(61)), None);
        assert_eq!(fault.end_if_quiet(at(120)), None);
        assert_eq!(fault.end_if_quiet(at(121)), Some((62, Duration::from_secs(61))));
        assert_eq!(fault.end_if_quiet(at(122)), None);
        assert_eq!(fault.record(at(123)), Some(Line::Begin));
    }
}
