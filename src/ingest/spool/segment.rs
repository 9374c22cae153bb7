//! Files of the spool: segments, and lists of their committed webhooks.
//!
//! A segment is named `NUMBER-MARKER.segment`. Beside it, `NUMBER-MARKER.committed` lists the places
//! of its webhooks that are committed: eight bytes each, and their complement, so that a list that is
//! cut off or damaged names no other place.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::{self, Marker};
use crate::event::Webhook;
use crate::model::Timestamp;
use crate::telemetry::fault::Fault;

static NOT_COPIED: Fault = Fault::warn("damaged spool file not copied");

/// Largest number of a segment that is used: a larger one in the name of a file would not fit into the keys
/// of its webhooks, and the service never writes it.
pub const MAX_NUMBER: u64 = 1 << 23;

/// Extension of a segment whose first records are not on the disk yet.
pub const UNFINISHED: &str = "new";

/// Name of a segment.
pub fn name(number: u64, marker: Marker) -> String {
    format!("{number:010}-{:016x}.segment", u64::from_be_bytes(marker))
}

/// All segments of a folder with number and marker, in order of their numbers.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64, Marker)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((number, marker)) = parse_name(&name) {
            segments.push((path, number, marker));
        }
    }
    segments.sort_unstable_by_key(|(_, number, _)| *number);
    Ok(segments)
}

fn parse_name(name: &str) -> Option<(u64, Marker)> {
    let (number, marker) = name.strip_suffix(".segment")?.split_once('-')?;
    let marker = u64::from_str_radix(marker, 16).ok()?.to_be_bytes();
    Some((number.parse().ok()?, marker))
}

/// Where a damaged segment is kept.
pub fn path_of_damaged(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("spool.corrupt-{}-{name}", Timestamp::now().0.timestamp()))
}

/// Copies a segment that was damaged under its process, unless there is a copy: it is deleted when its other
/// webhooks are committed. Returns the path of the copy; `None` if that fails.
pub fn keep_copy(path: &Path) -> Option<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(path);
    let is_copy = |entry: &fs::DirEntry| {
        let other = entry.file_name().to_string_lossy().into_owned();
        other.len() > name.len() && other.ends_with(&*name)
    };
    let copy = fs::read_dir(folder).ok().and_then(|entries| entries.flatten().find(is_copy));
    if let Some(copy) = copy {
        return Some(copy.path());
    }
    let copy = path_of_damaged(path);
    match fs::copy(path, &copy) {
        Ok(_) => Some(copy),
        Err(error) => {
            NOT_COPIED.occurred(format_args!("{}: {error}", path.display()));
            None
        }
    }
}

/// Reads all readable webhooks of a segment, also of a damaged one, and the number of other bytes.
pub fn read(path: &Path) -> io::Result<(Vec<Webhook>, usize)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.rsplitn(3, '-').take(2).collect::<Vec<_>>();
    let marker = match name[..] {
        [marker, number] => parse_name(&format!("{number}-{marker}")),
        _ => None,
    };
    let (_, marker) = marker.ok_or_else(|| {
        io::Error::other("not a file of the spool; expected a name such as 0000000000-….segment")
    })?;
    let bytes = read_bytes(path)?;
    let scan = record::scan(&bytes, marker);
    let read = |one: record::Record| record::read(&bytes[one.range], marker);
    Ok((scan.records.into_iter().filter_map(read).collect(), scan.unreadable))
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    fs::read(path)
}

/// Fails if it is no regular file: to open a pipe would wait for its other end.
fn check_regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(io::Error::other("not a regular file"))
}

/// Opens, locks and reads a segment; `None` if another process uses it.
pub fn open(path: &Path) -> io::Result<Option<(File, Vec<u8>)>> {
    check_regular(path)?;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The process that has deleted it unlocked it then.
    if !is_same(&file.metadata()?, &fs::metadata(path)?) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some((file, bytes)))
}

/// Whether these are of one file.
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Time after which a file without its name is of a write that failed.
const UNFINISHED_AGE: Duration = Duration::from_secs(60);

/// Deletes files of writes that failed, except for those of processes that are running.
pub fn delete_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.with_extension("segment");
        let is_unfinished = path.extension() == Some(OsStr::new(UNFINISHED))
            && parse_name(&name.file_name().unwrap_or_default().to_string_lossy()).is_some();
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        let is_free = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if is_unfinished
            && age.is_some_and(|age| age >= UNFINISHED_AGE)
            && check_regular(&path).is_ok()
            && is_free()
        {
            _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Counts the webhooks in a folder that are not committed, and the unreadable bytes.
pub fn count(folder: &Path) -> io::Result<(usize, usize)> {
    let (mut webhooks, mut unreadable) = (0, 0);
    for (path, _, marker) in list(folder)? {
        let scan = record::scan(&read_bytes(&path)?, marker);
        let committed = committed(&path);
        let is_left = |one: &&record::Record| !committed.contains(&(one.range.start as u64));
        webhooks += scan.records.iter().filter(is_left).count();
        unreadable += scan.unreadable;
    }
    Ok((webhooks, unreadable))
}

/// Places of the committed webhooks of a segment. A list that cannot be read is empty: what was
/// committed is committed again, which has no effect.
pub fn committed(segment: &Path) -> HashSet<u64> {
    let bytes = fs::read(segment.with_extension("committed")).unwrap_or_default();
    let (numbers, _) = bytes.as_chunks();
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let (pairs, _) = numbers.as_chunks();
    pairs
        .iter()
        .filter(|[place, complement]| *place == !complement)
        .map(|[place, _]| *place)
        .collect()
}

/// Adds to the places of committed webhooks.
pub fn add_committed(segment: &Path, places: &[u64]) -> io::Result<()> {
    let numbers = places.iter().flat_map(|place| [*place, !place]);
    let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600);
    file.open(segment.with_extension("committed"))?.write_all(&bytes)
}

/// Deletes a segment and its list. A file that is gone already is no error.
pub fn delete(segment: &Path) -> io::Result<()> {
    for path in [segment.to_owned(), segment.with_extension("committed")] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
