//! State of the webhook routes.

use super::endpoint::{Doors, Limits};
use crate::config::Config;
use crate::ingest::Ingest;

/// Shared by all webhook requests.
pub struct ReceiveState {
    /// Endpoints and their tokens.
    pub doors: Doors,
    /// Limits on request bodies.
    pub limits: Limits,
    /// Stores events.
    pub ingest: Ingest,
}

impl ReceiveState {
    /// Takes endpoints and limits from the settings.
    pub fn new(config: &Config, ingest: Ingest) -> Self {
        Self { doors: Doors::new(&config.endpoint), limits: Limits::new(&config.http), ingest }
    }
}
