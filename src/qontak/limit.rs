//! Limits of calls per organisation.
//!
//! Qontak allows 10 per second and 100 per minute; other programs of the organisation share them. A
//! window of the last calls, because a token bucket would allow twice the number in its first minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Calls in each period.
const LIMITS: [(usize, Duration); 2] = [(8, Duration::from_secs(1)), (80, Duration::from_secs(60))];

/// Lets calls of one organisation pass.
#[derive(Default)]
pub struct Limit(Mutex<Window>);

impl Limit {
    /// Waits until a call is allowed and counts it. Callers are served in order. Returns how long it
    /// waited.
    pub async fn wait(&self) -> Duration {
        let began = Instant::now();
        let mut window = self.0.lock().await;
        let at = window.next(Instant::now());
        sleep_until(at).await;
        window.count(at);
        began.elapsed()
    }
}

/// Times of the last calls, oldest first.
#[derive(Default)]
struct Window(VecDeque<Instant>);

impl Window {
    /// The earliest time of the next call.
    fn next(&self, now: Instant) -> Instant {
        let free = LIMITS.iter().filter_map(|(count, period)| {
            let oldest = self.0.len().checked_sub(*count)?;
            Some(self.0[oldest] + *period)
        });
        free.fold(now, Instant::max)
    }

    fn count(&mut self, at: Instant) {
        self.0.push_back(at);
        if self.0.len() > LIMITS[1].0 {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_8_calls_and_no_minute_more_than_80() {
        let (mut window, began) = (Window::default(), Instant::now());
        let mut now = began;
        let calls: Vec<Duration> = (0..170)
            .map(|_| {
                now = window.next(now);
                window.count(now);
                now - began
            })
            .collect();
        for (count, period) in LIMITS {
            assert!(calls.windows(count + 1).all(|calls| calls[count] - calls[0] >= period));
        }
        assert_eq!(calls[79], Duration::from_secs(9));
        assert_eq!(calls[169], Duration::from_secs(121));
    }
}
