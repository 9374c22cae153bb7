//! One simulated webhook.

use super::body::Body;
use super::expected::Claim;

/// A webhook to send.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Request body.
    pub body: Vec<u8>,
    /// The state that it reports.
    pub(super) claim: Claim,
    /// Whether it was truncated on purpose, so that a 400 is expected.
    pub(super) is_truncated: bool,
}

impl Webhook {
    /// A complete webhook.
    pub(super) fn new(body: Body<'_>, claim: Claim) -> Self {
        Self { body: body.into_bytes(), claim, is_truncated: false }
    }

    /// The same webhook, truncated after `length` bytes.
    pub(super) fn truncated(&self, length: usize) -> Self {
        let body = self.body[..length].to_vec();
        Self { body, claim: Claim::default(), is_truncated: true }
    }
}
