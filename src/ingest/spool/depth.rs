//! Number and size of the spooled webhooks.

use crate::model::Timestamp;

/// Number and size of the spooled webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Number of webhooks.
    pub events: u64,
    /// Size as it counts towards `spool.max_bytes`.
    pub bytes: u64,
    /// Time of receipt of the oldest webhook.
    pub oldest_at: Option<Timestamp>,
    /// Whether the last write or the last read failed.
    pub has_failed: bool,
}
