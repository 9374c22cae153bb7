//! Where the spool stores webhooks: the functions that every medium has.
//!
//! An enum and no trait: the media are known, and a queue, group commit and hand-over above them are the
//! same for all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::depth::Depth;
use super::disk::Disk;
use super::nats::{self, Nats};
use crate::event::Webhook;

/// Stores webhooks durably until they are removed; cheap to clone.
#[derive(Clone)]
pub enum Medium {
    /// A folder on the local disk.
    Disk(Arc<Disk>),
    /// A NATS cluster, which all replicas share.
    Nats(Arc<Nats>),
}

impl Medium {
    /// Value of the metrics' label `medium`, and word of log lines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Disk(_) => "disk",
            Self::Nats(_) => "nats",
        }
    }

    /// Commit timeout of webhooks that are handed over. No sender waits for them.
    pub const fn hand_over_timeout(&self) -> Duration {
        match self {
            Self::Disk(_) => Duration::from_secs(60),
            // Another replica gets the messages if they are not acknowledged in time.
            Self::Nats(_) => nats::COMMIT_TIMEOUT,
        }
    }

    /// Appends webhooks up to a total size of `max_bytes`, and returns how many were appended once they
    /// are durable.
    pub async fn append(&self, webhooks: Vec<Webhook>, max_bytes: u64) -> io::Result<usize> {
        match self {
            Self::Disk(disk) => block(disk, move |disk| disk.append(&webhooks, max_bytes)).await,
            // Its streams have the limit.
            Self::Nats(nats) => nats.append(&webhooks).await,
        }
    }

    /// Waits for webhooks.
    pub async fn wait(&self) {
        match self {
            // Fails only if the disk is gone, of which this is a handle.
            Self::Disk(disk) => drop(disk.watch().wait_for(|depth| depth.events > 0).await),
            Self::Nats(nats) => nats.wait().await,
        }
    }

    /// The oldest webhooks with their keys: at most `limit`, up to the one that reaches `max_bytes`.
    pub async fn first(&self, limit: usize, max_bytes: u64) -> io::Result<Vec<(u64, Webhook)>> {
        match self {
            Self::Disk(disk) => block(disk, move |disk| disk.first(limit, max_bytes)).await,
            Self::Nats(nats) => Ok(nats.first(limit, max_bytes).await),
        }
    }

    /// Removes webhooks by key.
    pub async fn remove(&self, keys: Vec<u64>) -> io::Result<()> {
        match self {
            Self::Disk(disk) => block(disk, move |disk| disk.remove(&keys)).await,
            Self::Nats(nats) => nats.remove(&keys).await,
        }
    }

    /// Tests whether webhooks can be appended.
    pub async fn test(&self) -> io::Result<()> {
        match self {
            Self::Disk(disk) => block(disk, Disk::test).await,
            Self::Nats(nats) => nats.measure().await,
        }
    }

    /// Copies webhooks whose files are missing.
    pub async fn rescue(&self) -> io::Result<()> {
        match self {
            Self::Disk(disk) => block(disk, Disk::rescue).await,
            Self::Nats(_) => Ok(()),
        }
    }

    /// Subscribes to changes of the depth.
    pub fn watch(&self) -> watch::Receiver<Depth> {
        match self {
            Self::Disk(disk) => disk.watch(),
            Self::Nats(nats) => nats.watch(),
        }
    }
}

/// Runs an operation of the disk on a blocking thread.
async fn block<T: Send + 'static>(
    disk: &Arc<Disk>,
    operation: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let disk = disk.clone();
    let result = spawn_blocking(move || operation(&disk)).await;
    result.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

impl From<Disk> for Medium {
    fn from(disk: Disk) -> Self {
        Self::Disk(Arc::new(disk))
    }
}

impl From<Nats> for Medium {
    fn from(nats: Nats) -> Self {
        Self::Nats(Arc::new(nats))
    }
}
