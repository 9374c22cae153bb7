//! Ends responses that outlive their key: exports and streams run for hours.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, unfold};
use tokio::time::Instant;
use tracing::info;

use super::key::Key;
use super::keys::Keys;

/// Interval at which a running response looks its key up. Keys are cached for as long, so a revoked
/// key ends its responses within 5 seconds.
const INTERVAL: Duration = Duration::from_secs(2);

/// Size of the parts between which an export looks its key up: a slow client takes seconds for one.
const PART_BYTES: usize = 16 * 1024;

/// The key of a running response.
pub struct Validity {
    keys: Keys,
    key: Arc<Key>,
    due: Instant,
}

/// Error of an export whose key is no longer valid.
#[derive(Debug, thiserror::Error)]
#[error("API key is no longer valid")]
struct KeyEnded;

impl Validity {
    /// The key was valid just now.
    pub fn new(keys: Keys, key: Arc<Key>) -> Self {
        Self { keys, key, due: Instant::now() + INTERVAL }
    }

    /// When to look the key up again.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Whether the key is still valid, as far as is known.
    pub async fn is_valid(&mut self) -> bool {
        if Instant::now() < self.due {
            return true;
        }
        let is_valid = self.keys.is_valid(&self.key).await;
        self.due = Instant::now() + INTERVAL;
        is_valid
    }
}

/// Passes on a stream in parts. Fails when the key is no longer valid, so that the client does not
/// take what it has for complete.
pub fn while_valid<E: Error + Send + Sync + 'static>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    validity: Validity,
) -> impl Stream<Item = Result<Bytes, Box<dyn Error + Send + Sync>>> + Send + 'static {
    let state = (Box::pin(stream), Bytes::new(), validity);
    unfold(state, async |(mut stream, mut rest, mut validity)| {
        if !validity.is_valid().await {
            info!("export ended, its api key is no longer valid");
            return Some((Err(KeyEnded.into()), (stream, rest, validity)));
        }
        if rest.is_empty() {
            match stream.next().await? {
                Ok(next) => rest = next,
                Err(error) => return Some((Err(error.into()), (stream, rest, validity))),
            }
        }
        let part = rest.split_to(rest.len().min(PART_BYTES));
        Some((Ok(part), (stream, rest, validity)))
    })
    // Compression polls it again after the end.
    .fuse()
}
