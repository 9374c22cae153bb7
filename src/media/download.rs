//! A file on its way: fetched from its link into a temporary file, then placed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempPath};
use tokio::task::spawn_blocking;

/// Bytes at the beginning of a file by which its type is guessed.
const START_BYTES: usize = 16;

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 128 << 10;

/// Bytes of a copy.
pub type Content = BoxStream<'static, io::Result<Bytes>>;

/// A file that is being fetched; deleted unless it is placed in a folder.
pub struct Download {
    file: File,
    path: Option<TempPath>,
    hash: Sha256,
    bytes: u64,
    start: Vec<u8>,
}

impl Download {
    /// Begins one in this folder; else without a name in the folder of temporary files, so that not even a
    /// crash leaves it behind.
    pub fn begin(folder: Option<&Path>) -> io::Result<Self> {
        let (file, path) = match folder {
            Some(folder) => {
                let (file, path) = NamedTempFile::new_in(folder)?.into_parts();
                (file, Some(path))
            }
            None => (tempfile::tempfile()?, None),
        };
        let start = Vec::with_capacity(START_BYTES);
        Ok(Self { file, path, hash: Sha256::new(), bytes: 0, start })
    }

    /// Appends a part.
    pub fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.hash.update(part);
        self.bytes += part.len() as u64;
        let missing = START_BYTES - self.start.len();
        self.start.extend(part.iter().take(missing));
        self.file.write_all(part)
    }

    /// Size so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first bytes.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// SHA-256 of the bytes so far, in hex.
    pub fn sha256(&self) -> String {
        super::hex(self.hash.clone().finalize())
    }

    /// Makes it durable, and moves it to this path on the same disk.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let temporary = self.path.expect("it was begun in a folder");
        temporary.persist(path).map_err(|error| error.error)
    }

    /// Its bytes.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream_of(self.file, 0, self.bytes)
    }
}

/// Reads a part of a file, in constant memory.
pub fn stream_of(
    file: File,
    first: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, first, length), |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = spawn_blocking(move || read(file, at, left.min(CHUNK_BYTES))).await;
        let (file, part) = read.map_err(io::Error::other)??;
        let bytes = part.len() as u64;
        Ok(Some((part, (file, at + bytes, left - bytes))))
    })
}

fn read(mut file: File, at: u64, length: u64) -> io::Result<(File, Bytes)> {
    file.seek(SeekFrom::Start(at))?;
    let mut part = vec![0; length as usize];
    file.read_exact(&mut part)?;
    Ok((file, part.into()))
}
