//! The disk of the spool: whether it survives a restart, has room, and is fast enough.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Check;
use crate::config;
use crate::ingest::spool::folder::{self, FileSystem};
use crate::ingest::spool::segment;

/// Time for making a webhook durable from which callers wait noticeably.
const SLOW: Duration = Duration::from_millis(100);

/// Checks the file system that holds the folder, which need not exist.
pub fn file_system(settings: &config::Spool, folder: &Path) -> Check {
    let problem = |text: &str| {
        Check::fail("spool", format!("{}: {text}; check spool.folder", folder.display()))
    };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = if folder.exists() { Some(folder) } else { parent.or(Some(Path::new("."))) };
    let Some(place) = place.filter(|place| place.is_dir()) else {
        return problem("its parent folder does not exist");
    };
    let FileSystem { volatile, free_bytes } = match folder::file_system(place) {
        Ok(found) => found,
        Err(error) => return problem(&error.to_string()),
    };
    if let Some(kind) = volatile {
        return problem(&format!(
            "is on {kind}, which loses its files with the container or machine"
        ));
    }
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
