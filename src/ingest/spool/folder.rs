//! The folder itself: created, locked by one process, on a file system.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// Creates the last part of the path only: a folder on a volume that is not mounted is a mistake.
pub fn create(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) => match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        },
        failed => failed,
    }
}

/// Locks the folder; `None` if another process has.
pub fn try_lock(folder: &Path) -> io::Result<Option<File>> {
    let file = lock_file(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Locks the folder when the process that has locked it ends.
pub fn wait_for_lock(folder: &Path) -> io::Result<File> {
    let file = lock_file(folder)?;
    file.lock()?;
    Ok(file)
}

fn lock_file(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join("lock"))
}

/// Size of the file of [`test_write`]: some file systems keep smaller ones without a block.
const TEST_BYTES: usize = 16 * 1024;

/// Writes a file, makes it durable by `sync`, and deletes it.
pub fn test_write(folder: &Path, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    // Two processes may test at once.
    let path = folder.join(format!("test-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let written = file.write_all_at(&[0; TEST_BYTES], 0).and_then(|()| sync(&file));
    written.and(fs::remove_file(&path))
}

/// A file system.
pub struct FileSystem {
    /// Its kind, if its files do not survive a restart of the machine or the container.
    pub volatile: Option<&'static str>,
    /// Free space for this user.
    pub free_bytes: u64,
}

/// The file system of an existing folder.
pub fn file_system(folder: &Path) -> io::Result<FileSystem> {
    let space = rustix::fs::statvfs(folder)?;
    let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
    Ok(FileSystem { volatile: volatile(folder)?, free_bytes })
}

#[cfg(target_os = "linux")]
fn volatile(folder: &Path) -> io::Result<Option<&'static str>> {
    Ok(match rustix::fs::statfs(folder)?.f_type {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        0x794c_7630 => Some("overlayfs"),
        _ => None,
    })
}

#[cfg(not(target_os = "linux"))]
fn volatile(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}
