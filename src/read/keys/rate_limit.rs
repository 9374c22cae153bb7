//! Rate limit per key, on each replica.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config;
use crate::http::Error;
use crate::read::key::Hash;

/// Counts the requests of each key.
pub struct RateLimit(DefaultKeyedRateLimiter<Hash>);

impl RateLimit {
    /// `None` if `api.requests_per_second` is 0.
    pub fn new(settings: &config::Api) -> Option<Self> {
        let per_second = NonZeroU32::new(settings.requests_per_second)?;
        let quota = Quota::per_second(per_second).allow_burst(NonZeroU32::new(settings.burst)?);
        Some(Self(RateLimiter::keyed(quota)))
    }

    /// Counts a request. Fails with the seconds to wait if the limit is exceeded.
    pub fn check(&self, hash: &Hash) -> Result<(), Error> {
        self.0.check_key(hash).map_err(|rejected| {
            let wait = rejected.wait_time_from(DefaultClock::default().now());
            Error::TooManyRequests(wait.as_secs() + 1)
        })
    }
}
