//! Disks of the spool and of copied files: whether they survive a restart, have room, and are fast enough.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Check;
use crate::config;
use crate::ingest::spool::folder::{self, FileSystem};
use crate::ingest::spool::segment;
use crate::media::Storage;

/// Time for making a webhook durable from which callers wait noticeably.
const SLOW: Duration = Duration::from_millis(100);

/// Checks the file system that holds the folder, which need not exist.
pub fn file_system(settings: &config::Spool, folder: &Path) -> Check {
    let free_bytes = match free_bytes(folder) {
        Ok(free_bytes) => free_bytes,
        Err(problem) => return Check::fail("spool", format!("{problem}; check spool.folder")),
    };
    if free_bytes < settings.max_bytes {
        let text = format!(
            "{}: has {} MiB free, less than spool.max_bytes ({} MiB); free some, or lower it",
            folder.display(),
            free_bytes >> 20,
            settings.max_bytes >> 20,
        );
        return Check::fail("spool", text);
    }
    Check::ok("spool", format!("{} MiB free", free_bytes >> 20))
}

/// Checks where files are copied; `None` if they are not. Webhooks do not need it.
pub async fn media(settings: &config::Media) -> Option<Check> {
    let storage = Storage::new(settings)?;
    match &storage {
        Storage::Folder(folder) => Some(media_folder(settings, folder.root())),
        Storage::Bucket(_) => Some(media_bucket(&storage).await),
    }
}

/// Tests the bucket, and the disk of temporary files.
async fn media_bucket(bucket: &Storage) -> Check {
    if let Err(cause) = bucket.begin() {
        let problem = format!("no temporary file: {cause}; mount a disk there, or set TMPDIR");
        return Check::warn("media", problem);
    }
    match bucket.prepare().await {
        Ok(()) => Check::ok("media", "an object can be written to the bucket, read and deleted"),
        Err(problem) => Check::warn("media", problem.to_string()),
    }
}

fn media_folder(settings: &config::Media, folder: &Path) -> Check {
    let place = folder.display();
    match free_bytes(folder) {
        Err(problem) => Check::warn("media", format!("{problem}; check media.folder")),
        Ok(free) if free < settings.max_bytes => {
            let free = free >> 20;
            Check::warn(
                "media",
                format!("{place}: has {free} MiB free, less than one file may have"),
            )
        }
        Ok(free) if folder.exists() => match folder::test_write(folder, File::sync_data) {
            Ok(()) => Check::ok("media", format!("{place}, {} MiB free", free >> 20)),
            Err(cause) => Check::warn(
                "media",
                format!("{place}: cannot be written: {cause}; check media.folder"),
            ),
        },
        Ok(free) => {
            let free = free >> 20;
            let text = "does not exist and is created at the next start";
            Check::ok(
                "media",
                format!("{place} {text}, {free} MiB free; mount it if it had copies"),
            )
        }
    }
}

/// Free space for a folder, which need not exist; or why files would not be kept there.
fn free_bytes(folder: &Path) -> Result<u64, String> {
    let problem = |text: &str| format!("{}: {text}", folder.display());
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = if folder.exists() { folder } else { parent.unwrap_or(Path::new(".")) };
    if folder.exists() && !folder.is_dir() {
        return Err(problem("is not a folder"));
    }
    if !place.is_dir() {
        return Err(problem("its parent folder does not exist"));
    }
    let FileSystem { volatile, free_bytes } =
        folder::file_system(place).map_err(|error| problem(&error.to_string()))?;
    match volatile {
        None => Ok(free_bytes),
        Some(kind) => Err(problem(&format!(
            "is on {kind}, which loses its files with the container or machine"
        ))),
    }
}

/// Checks the spool without changing it, also beside a running service: webhooks can be read, and a file
/// can be written durably.
pub fn spool(settings: &config::Spool) -> Check {
    let Some(folder) = settings.folder() else {
        return Check::warn(
            "spool",
            "none; webhooks get 503 while the database is unavailable; set spool.folder",
        );
    };
    let fail = |cause: &dyn Display| {
        Check::fail("spool", format!("{}: {cause}; check spool.folder", folder.display()))
    };
    let file_system = file_system(settings, folder);
    if file_system.state == super::State::Fail {
        return file_system;
    }
    let room = file_system.text;
    if !folder.exists() {
        let text = format!("{} is created at the first start, {room}", folder.display());
        return Check::ok("spool", text);
    }
    let webhooks = match segment::count(folder) {
        Ok((webhooks, 0)) => webhooks,
        Ok((webhooks, bytes)) => {
            return fail(&format!("{bytes} unreadable bytes beside {webhooks} webhook(s)"));
        }
        Err(cause) => return fail(&cause),
    };
    let started = Instant::now();
    if let Err(cause) = folder::test_write(folder, File::sync_data) {
        return fail(&format!("cannot be written: {cause}"));
    }
    let took = started.elapsed();
    let speed = format!("a write takes {} ms", took.as_millis());
    let text = format!("{webhooks} webhook(s) in {}, {room}, {speed}", folder.display());
    if took > SLOW {
        Check::warn("spool", format!("slow disk: {text}"))
    } else {
        Check::ok("spool", text)
    }
}
