//! How often a key may ask.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Hash;
use crate::config;
use crate::http::Error;

/// Counts the requests of each key, on this replica.
pub struct Limit(DefaultKeyedRateLimiter<Hash>);

impl Limit {
    /// `None` if there is to be none.
    pub fn new(settings: &config::Api) -> Option<Self> {
        let per_second = NonZeroU32::new(settings.requests_per_second)?;
        let quota = Quota::per_second(per_second).allow_burst(NonZeroU32::new(settings.burst)?);
        Some(Self(RateLimiter::keyed(quota)))
    }

    /// Counts a request, or refuses it with when to try again.
    pub fn count(&self, hash: &Hash) -> Result<(), Error> {
        self.0.check_key(hash).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            Error::TooManyRequests(wait.as_secs() + 1)
        })
    }
}
