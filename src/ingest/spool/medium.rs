//! Where the spool stores webhooks: the functions that every medium has.
//!
//! An enum and no trait: the media are known, and a queue, group commit and hand-over above them are the
//! same for all.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::depth::Depth;
use super::disk::Disk;
use crate::event::Webhook;

/// Stores webhooks durably until they are removed; cheap to clone.
#[derive(Clone)]
pub enum Medium {
    /// A folder on the local disk.
    Disk(Arc<Disk>),
}

impl Medium {
    /// Appends webhooks up to a total size of `max_bytes`, and returns how many were appended once they
    /// are durable.
    pub async fn append(&self, webhooks: Vec<Webhook>, max_bytes: u64) -> io::Result<usize> {
        self.block(move |disk| disk.append(&webhooks, max_bytes)).await
    }

    /// Waits for webhooks.
    pub async fn wait(&self) {
        // Fails only if the medium is gone, of which this is a clone.
        _ = self.watch().wait_for(|depth| depth.events > 0).await;
    }

    /// The oldest webhooks with their keys: at most `limit`, up to the one that reaches `max_bytes`.
    pub async fn first(&self, limit: usize, max_bytes: u64) -> io::Result<Vec<(u64, Webhook)>> {
        self.block(move |disk| disk.first(limit, max_bytes)).await
    }

    /// Removes webhooks by key.
    pub async fn remove(&self, keys: Vec<u64>) -> io::Result<()> {
        self.block(move |disk| disk.remove(&keys)).await
    }

    /// Tests whether webhooks can be appended.
    pub async fn test(&self) -> io::Result<()> {
        self.block(Disk::test).await
    }

    /// Subscribes to changes of the depth.
    pub fn watch(&self) -> watch::Receiver<Depth> {
        let Self::Disk(disk) = self;
        disk.watch()
    }

    /// Runs an operation of the disk on a blocking thread.
    async fn block<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self::Disk(disk) = self;
        let disk = disk.clone();
        let result = spawn_blocking(move || operation(&disk)).await;
        result.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

impl From<Disk> for Medium {
    fn from(disk: Disk) -> Self {
        Self::Disk(Arc::new(disk))
    }
}
