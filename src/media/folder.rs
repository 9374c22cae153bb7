//! The folder of copies: `ab/abcdef…` by SHA-256, and `tmp/` for downloads. All replicas use the same one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Age at which a download was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Bytes at the beginning of a file by which its type is guessed.
const START_BYTES: usize = 16;

/// A folder of copies; cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which may not exist yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Creates it, without its parents, and deletes what was left behind in it.
    pub fn prepare(&self) -> io::Result<()> {
        create(&self.0)?;
        create(&self.0.join("tmp"))?;
        for entry in fs::read_dir(self.0.join("tmp"))? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > LEFT_BEHIND {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Begins a download.
    pub fn begin(&self) -> io::Result<Download> {
        let path = self.0.join("tmp").join(Uuid::new_v4().to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let start = Vec::with_capacity(START_BYTES);
        Ok(Download { path, file, hash: Sha256::new(), bytes: 0, start, is_placed: false })
    }

    /// Moves a complete download to its place.
    pub fn place(&self, mut download: Download, sha256: &str) -> io::Result<()> {
        let path = self.path(sha256);
        let parent = path.parent().unwrap_or(&self.0);
        create(parent)?;
        fs::rename(&download.path, &path)?;
        download.is_placed = true;
        File::open(parent)?.sync_all()
    }

    /// Opens a copy.
    pub fn open(&self, sha256: &str) -> io::Result<File> {
        File::open(self.path(sha256))
    }

    /// Removes a copy; one that does not exist is none.
    pub fn remove(&self, sha256: &str) -> io::Result<()> {
        match fs::remove_file(self.path(sha256)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.0.join(&sha256[..2]).join(sha256)
    }
}

fn create(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// A file that is being downloaded; deleted unless it is placed.
pub struct Download {
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    start: Vec<u8>,
    is_placed: bool,
}

impl Download {
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

    /// Makes it durable. Returns its SHA-256 in hex.
    pub fn finish(&mut self) -> io::Result<String> {
        self.file.sync_all()?;
        let hash = self.hash.clone().finalize();
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.is_placed {
            // One that stays is deleted at a later start.
            _ = fs::remove_file(&self.path);
        }
    }
}
