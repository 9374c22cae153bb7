//! State of the webhook route.

use super::endpoint::{Endpoints, Limits};
use crate::config::Config;
use crate::ingest::Ingest;

/// Shared by all webhook requests.
pub struct ReceiveState {
    /// Endpoints and their tokens.
    pub endpoints: Endpoints,
    /// Limits on request bodies.
    pub limits: Limits,
    /// Stores events.
    pub ingest: Ingest,
}

impl ReceiveState {
    /// Takes endpoints and limits from the settings.
    pub fn new(config: &Config, ingest: Ingest) -> Self {
        let limits = Limits::new(&config.http, ingest.writer.timeout());
        Self { endpoints: Endpoints::new(&config.endpoint), limits, ingest }
    }
}
