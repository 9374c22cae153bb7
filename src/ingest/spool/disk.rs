//! The folder of the spool: append-only segments of [records](super::record), deleted when all their
//! webhooks are committed.
//!
//! A second process may use the folder while the first one stops. It appends to segments of its own,
//! and takes over what the first one leaves behind once that has ended.
//!
//! A file of records and no database: what is readable must be found in a damaged file too, and a
//! damaged file must not stop the service. Webhooks that are committed are listed beside their
//! segment, without an fsync: after a power cut they are committed again, which has no effect.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use metrics::counter;
use tokio::sync::watch;
use tracing::error;

use super::contents::{Contents, Entry, Segment, number_of, size};
use super::depth::Depth;
use super::folder;
use super::record::{self, Marker, Scan};
use super::segment;
use crate::event::Webhook;

/// Size from which a segment gets no more records.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Numbers left to the process that uses the folder already: its webhooks are older than those of this
/// process.
const NUMBERS_OF_PREDECESSOR: u64 = 10_000;

/// Makes a file durable. Tests replace it by a disk that fails or loses power.
type Sync = dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync;

/// The spooled webhooks. All methods block.
pub struct Disk {
    folder: PathBuf,
    sync: Box<Sync>,
    /// Marker of the segments that this process creates.
    marker: Marker,
    contents: Mutex<Contents>,
    depth: watch::Sender<Depth>,
    /// Locked until the disk is dropped; not set while another process uses the folder.
    lock: OnceLock<File>,
}

/// What an operation does with the disk. A removal counts as a read: it needs no durable write.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// Records to write together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Disk {
    /// Opens a folder, which is created if its parent exists.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        Self::with_sync(folder, File::sync_data)
    }

    /// Opens a folder whose files `sync` makes durable.
    pub fn with_sync(
        folder: &Path,
        sync: impl Fn(&File) -> io::Result<()> + Send + std::marker::Sync + 'static,
    ) -> io::Result<Self> {
        folder::create(folder)?;
        let mut marker = Marker::default();
        getrandom::fill(&mut marker).map_err(io::Error::other)?;
        let disk = Self {
            folder: folder.to_owned(),
            sync: Box::new(sync),
            marker,
            contents: Mutex::default(),
            depth: watch::Sender::default(),
            lock: OnceLock::new(),
        };
        if let Some(lock) = folder::try_lock(folder)? {
            disk.load_locked(lock)?;
        } else {
            let last = segment::list(folder)?.last().map_or(0, |(_, number, _)| *number);
            let mut contents = disk.contents.lock().unwrap_or_else(PoisonError::into_inner);
            contents.next = last.min(segment::MAX_NUMBER) + NUMBERS_OF_PREDECESSOR;
        }
        Ok(disk)
    }

    /// Whether another process uses the folder too.
    pub fn is_shared(&self) -> bool {
        self.lock.get().is_none()
    }

    /// Loads the webhooks in the folder once no other process uses them.
    pub fn take_over(&self) -> io::Result<()> {
        self.load_locked(folder::wait_for_lock(&self.folder)?)
    }

    fn load_locked(&self, lock: File) -> io::Result<()> {
        self.change(Access::Read, |contents| self.load(contents))?;
        _ = self.lock.set(lock);
        Ok(())
    }

    /// Number and size of the spooled webhooks.
    pub fn depth(&self) -> Depth {
        *self.depth.borrow()
    }

    /// Subscribes to changes of the depth.
    pub fn watch(&self) -> watch::Receiver<Depth> {
        self.depth.subscribe()
    }

    /// Appends webhooks up to a total size of `max_bytes`, and returns how many were appended once
    /// they are on the disk, in files that are in the folder.
    pub fn append(&self, webhooks: &[Webhook], max_bytes: u64) -> io::Result<usize> {
        self.change(Access::Write, |contents| {
            let (mut batch, mut bytes) = (Batch::default(), contents.bytes);
            for webhook in webhooks {
                bytes += size(webhook.body.len());
                if bytes > max_bytes {
                    break;
                }
                let start = batch.bytes.len();
                record::encode(webhook, self.marker, &mut batch.bytes);
                batch.entries.push(Entry {
                    offset: start as u64,
                    length: batch.bytes.len() - start,
                    body_length: webhook.body.len(),
                    received_at: webhook.received_at,
                });
            }
            let count = batch.entries.len();
            // Before the write as well: it would hide that a file was cut off.
            self.rescue_missing(contents)?;
            self.write(contents, batch)?;
            self.rescue_missing(contents)?;
            Ok(count)
        })
    }

    /// The oldest webhooks with their keys: at most `limit`, up to the one that reaches `max_bytes`.
    pub fn first(&self, limit: usize, max_bytes: u64) -> io::Result<Vec<(u64, Webhook)>> {
        self.change(Access::Read, |contents| {
            let (mut found, mut lost, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (&key, entry) in contents.webhooks.iter().take(limit) {
                let segment = &contents.segments[&number_of(key)];
                let record = match segment.read(entry) {
                    Ok(record) => record::read(&record, segment.marker),
                    // The file was cut off under this process.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                    Err(error) => return Err(error),
                };
                match record {
                    Some(webhook) => found.push((key, webhook)),
                    None => lost.push(key),
                }
                bytes += size(entry.body_length);
                if bytes >= max_bytes {
                    break;
                }
            }
            if !lost.is_empty() {
                report_lost(lost.len());
                let segments: BTreeSet<u64> = lost.iter().map(|key| number_of(*key)).collect();
                for number in segments {
                    segment::keep_copy(&contents.segments[&number].path);
                }
                contents.remove(&lost)?;
            }
            Ok(found)
        })
    }

    /// Removes webhooks by key.
    pub fn remove(&self, keys: &[u64]) -> io::Result<()> {
        self.change(Access::Read, |contents| contents.remove(keys))
    }

    /// Free space on its file system.
    pub fn free_bytes(&self) -> io::Result<u64> {
        Ok(folder::file_system(&self.folder)?.free_bytes)
    }

    /// Writes a small file and deletes it: shows whether a disk that failed works again.
    pub fn test(&self) -> io::Result<()> {
        self.change(Access::Write, |_| {
            folder::create(&self.folder)?;
            folder::test_write(&self.folder, &self.sync)
        })
    }

    /// Changes the contents, and publishes the depth while they are locked, so that depths are in
    /// order.
    fn change<T>(
        &self,
        access: Access,
        change: impl FnOnce(&mut Contents) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut contents);
        // Apart, because a disk that is full can be read.
        match access {
            Access::Read => contents.read_failed = result.is_err(),
            Access::Write => contents.write_failed = result.is_err(),
        }
        self.depth.send_replace(Depth {
            events: contents.webhooks.len() as u64,
            bytes: contents.bytes,
            oldest_at: contents.webhooks.values().next().map(|entry| entry.received_at),
            has_failed: contents.read_failed || contents.write_failed,
        });
        result
    }

    /// Writes records to the current segment, or to a new one, and syncs it.
    fn write(&self, contents: &mut Contents, batch: Batch) -> io::Result<()> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        // Taken: after a failed write or sync nobody knows what a segment contains, so it gets no
        // more records.
        let number = match contents.current.take() {
            Some(number) => {
                let segment = &contents.segments[&number];
                segment.file.write_all_at(&batch.bytes, segment.length)?;
                (self.sync)(&segment.file)?;
                number
            }
            None => self.create_segment(contents, &batch.bytes)?,
        };
        let segment = contents.segments.get_mut(&number).expect("written to just now");
        let start = segment.length;
        segment.length += batch.bytes.len() as u64;
        contents.current = (segment.length < SEGMENT_BYTES).then_some(number);
        for mut entry in batch.entries {
            entry.offset += start;
            contents.insert(number, entry);
        }
        Ok(())
    }

    /// Creates a segment with its first records. It gets its name when these are on the disk, so a
    /// segment is never empty.
    fn create_segment(&self, contents: &mut Contents, records: &[u8]) -> io::Result<u64> {
        folder::create(&self.folder)?;
        let number = contents.next;
        contents.next += 1;
        let path = self.folder.join(segment::name(number, self.marker));
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        // Readable by this user only: it contains bodies.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new)?;
        file.write_all_at(records, 0)?;
        (self.sync)(&file)?;
        fs::rename(&new, &path)?;
        // A new file survives a power failure only after an fsync of its folder.
        (self.sync)(&File::open(&self.folder)?)?;
        contents.segments.insert(number, Segment { path, marker: self.marker, file, length: 0 });
        Ok(number)
    }

    /// Copies webhooks of segments that were deleted, replaced or cut off under this process.
    fn rescue_missing(&self, contents: &mut Contents) -> io::Result<()> {
        let missing =
            |(&number, segment): (&u64, &Segment)| (!segment.is_in_place()).then_some(number);
        for number in contents.segments.iter().filter_map(missing).collect::<Vec<_>>() {
            let path = contents.segments[&number].path.clone();
            error!(file = %path.display(), "spool file deleted, replaced or cut off");
            counter!("qontak_receiver_spool_damaged_total").increment(1);
            self.rescue(contents, number)?;
            // What is left under its name would be read again at the next start.
            _ = fs::rename(&path, segment::path_of_damaged(&path));
            segment::delete(&path)?;
        }
        Ok(())
    }

    /// Copies what can be read of a segment to another one, and forgets the segment.
    fn rescue(&self, contents: &mut Contents, number: u64) -> io::Result<()> {
        contents.current = contents.current.filter(|current| *current != number);
        let segment = &contents.segments[&number];
        let (mut batch, mut lost) = (Batch::default(), 0);
        for entry in contents.of_segment(number) {
            let record = segment.read(entry).unwrap_or_default();
            if record::read(&record, segment.marker).is_none() {
                lost += 1;
                continue;
            }
            let offset = batch.bytes.len() as u64;
            batch.entries.push(Entry { offset, ..*entry });
            batch.bytes.extend(self.marker);
            batch.bytes.extend(&record[self.marker.len()..]);
        }
        report_lost(lost);
        self.write(contents, batch)?;
        contents.forget(number);
        Ok(())
    }

    /// Reads all segments. The webhooks of a damaged one are copied to a new segment, and the file is
    /// kept under another name. One that cannot be read at all stays as it is.
    fn load(&self, contents: &mut Contents) -> io::Result<()> {
        let mut damaged = Vec::new();
        for (path, number, marker) in segment::list(&self.folder)? {
            // Of this process, or loaded by an attempt that failed.
            if contents.segments.values().any(|segment| segment.path == path) {
                continue;
            }
            let is_free = number <= segment::MAX_NUMBER && !contents.segments.contains_key(&number);
            let number = if is_free { number } else { contents.next };
            let Some((file, bytes)) = read(&path) else { continue };
            let Scan { records, unreadable } = record::scan(&bytes, marker);
            if unreadable > 0 || bytes.is_empty() {
                damaged.push((number, records.len(), unreadable));
            }
            let committed = segment::committed(&path);
            let length = bytes.len() as u64;
            contents.next = contents.next.max(number + 1);
            contents.segments.insert(number, Segment { path, marker, file, length });
            for record in records {
                let entry = Entry::from(record);
                if !committed.contains(&entry.offset) {
                    contents.insert(number, entry);
                }
            }
        }
        for (number, readable, unreadable_bytes) in damaged {
            let path = contents.segments[&number].path.clone();
            let aside = segment::path_of_damaged(&path);
            error!(
                readable, unreadable_bytes, file = %aside.display(),
                "spool file damaged; to read it, run: qontak-receiver spool export FILE"
            );
            counter!("qontak_receiver_spool_damaged_total").increment(1);
            // On a disk that is full or read-only the damaged file stays in use.
            if self.rescue(contents, number).is_ok() {
                fs::rename(&path, &aside)?;
                // The list of its committed webhooks.
                segment::delete(&path)?;
            }
        }
        let loaded: Vec<u64> = contents.segments.keys().copied().collect();
        loaded.into_iter().try_for_each(|number| contents.delete_if_empty(number))
    }
}

/// Opens and reads a segment. Not an error of all others: those are to be committed.
fn read(path: &Path) -> Option<(File, Vec<u8>)> {
    let open = || {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((file, bytes))
    };
    let read: io::Result<_> = open();
    read.inspect_err(|error| {
        let file = path.display();
        error!(%error, %file, "spool file cannot be read, its webhooks wait for the next start");
        counter!("qontak_receiver_spool_damaged_total").increment(1);
    })
    .ok()
}

fn report_lost(webhooks: usize) {
    if webhooks > 0 {
        error!(webhooks, "spooled webhooks lost");
        counter!("qontak_receiver_spool_lost_total").increment(webhooks as u64);
    }
}
