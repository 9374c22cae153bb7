//! Percentiles of times.

/// Times in seconds.
#[derive(Default)]
pub struct Seconds(Vec<f64>);

impl Seconds {
    pub fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.0.len() as i64
    }

    /// The smallest time that at least this share (above 0, at most 1) of all times does not exceed.
    pub fn percentile(&mut self, share: f64) -> Option<f64> {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let (_, time, _) = self.0.select_nth_unstable_by(place.checked_sub(1)?, f64::total_cmp);
        Some(*time)
    }
}

impl Extend<f64> for Seconds {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, times: I) {
        self.0.extend(times);
    }
}

impl FromIterator<f64> for Seconds {
    fn from_iter<I: IntoIterator<Item = f64>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_a_time_that_occurred() {
        let mut times: Seconds = [90.0].into_iter().chain([3.0; 18]).chain([1.0]).collect();
        assert_eq!(times.percentile(0.05), Some(1.0));
        assert_eq!(times.percentile(0.5), Some(3.0));
        assert_eq!(times.percentile(0.95), Some(3.0));
        assert_eq!(times.percentile(0.96), Some(90.0));
        assert_eq!(Seconds::default().percentile(0.5), None);
    }
}
