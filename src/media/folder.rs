//! The folder of copies: `ab/abcdef…` by SHA-256, and `tmp/` for downloads. All replicas use the same one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::download::Download;

/// Age at which a download was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// A folder of copies; cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which may not exist yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Creates it, without its parents, and deletes what was left behind in it.
    pub fn prepare(&self) -> io::Result<()> {
        create(&self.0)?;
        create(&self.downloads())?;
        for entry in fs::read_dir(self.downloads())? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > LEFT_BEHIND {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The folder of downloads.
    pub fn downloads(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Moves a complete download to its place.
    pub fn place(&self, download: Download, sha256: &str) -> io::Result<()> {
        let path = self.path(sha256);
        let parent = path.parent().unwrap_or(&self.0);
        create(parent)?;
        download.persist(&path)?;
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
        self.0.join(super::name(sha256))
    }
}

fn create(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}
