//! Where copies are: a folder, or a bucket.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures_util::stream::StreamExt;
use tokio::task::{JoinError, spawn_blocking};

use super::bucket::{Bucket, BucketError};
use super::download::{Content, Download, stream_of};
use super::folder::Folder;
use super::name;
use crate::config::Media;

/// Copies, each once, by the SHA-256 of its content. All replicas use the same storage. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Storage {
    /// `media.folder`.
    Folder(Folder),
    /// `media.bucket`.
    Bucket(Arc<Bucket>),
}

/// Why the storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder, or the one of temporary files.
    #[error(transparent)]
    Folder(#[from] io::Error),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A bug.
    #[error("work on a file panicked")]
    Panic(#[from] JoinError),
}

impl StorageError {
    /// Whether there is no such copy.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Folder(error) => error.kind() == ErrorKind::NotFound,
            Self::Bucket(error) => matches!(error, BucketError::Missing),
            Self::Panic(_) => false,
        }
    }

    /// Whether it may work later, without any change.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_temporary())
    }
}

impl Storage {
    /// The storage of the settings; `None` if files are not copied.
    pub fn new(settings: &Media) -> Option<Self> {
        match settings.folder() {
            Some(folder) => Some(Self::Folder(Folder::new(folder))),
            None => Some(Self::Bucket(Arc::new(Bucket::new(settings)?))),
        }
    }

    /// Makes it usable, or finds why it is not.
    pub async fn prepare(&self) -> Result<(), StorageError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                Ok(spawn_blocking(move || folder.prepare()).await??)
            }
            Self::Bucket(bucket) => Ok(bucket.test().await?),
        }
    }

    /// Begins a download. Blocks.
    pub fn begin(&self) -> io::Result<Download> {
        match self {
            Self::Folder(folder) => Download::begin(Some(&folder.downloads())),
            Self::Bucket(_) => Download::begin(None),
        }
    }

    /// Makes a complete download a copy. The same content may be placed twice, also at once.
    pub async fn place(&self, download: Download, sha256: &str) -> Result<(), StorageError> {
        match self {
            Self::Folder(folder) => {
                let (folder, sha256) = (folder.clone(), sha256.to_owned());
                Ok(spawn_blocking(move || folder.place(download, &sha256)).await??)
            }
            Self::Bucket(bucket) => Ok(bucket.upload(download, sha256).await?),
        }
    }

    /// Reads a part of a copy.
    pub async fn read(
        &self,
        sha256: &str,
        first: u64,
        length: u64,
    ) -> Result<Content, StorageError> {
        match self {
            Self::Folder(folder) => {
                let (folder, sha256) = (folder.clone(), sha256.to_owned());
                let file = spawn_blocking(move || folder.open(&sha256)).await??;
                Ok(stream_of(file, first, length).boxed())
            }
            Self::Bucket(bucket) => Ok(bucket.read(&name(sha256), first, length).await?),
        }
    }

    /// Removes a copy; one that does not exist is none.
    pub async fn remove(&self, sha256: &str) -> Result<(), StorageError> {
        match self {
            Self::Folder(folder) => {
                let (folder, sha256) = (folder.clone(), sha256.to_owned());
                Ok(spawn_blocking(move || folder.remove(&sha256)).await??)
            }
            Self::Bucket(bucket) => Ok(bucket.remove(&name(sha256)).await?),
        }
    }
}
