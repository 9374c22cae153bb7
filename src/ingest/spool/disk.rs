//! The folder of the spool: append-only segments of [records](super::record), deleted when all their
//! webhooks are committed.
//!
//! A second process may use the folder while the first one stops. It appends to segments of its own,
//! and takes over what the first one leaves behind once that has ended. A process locks its segments, so that
//! no other one loads and deletes them while it appends to them, however many there are.
//!
//! A file of records and no database: what is readable must be found in a damaged file too, and a
//! damaged file must not stop the service. Webhooks that are committed are listed beside their
//! segment, without an fsync: after a power cut they are committed again, which has no effect.

mod repair;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tracing::error;

use super::contents::{Contents, Entry, Segment, number_of, size};
use super::depth::Depth;
use super::folder;
use super::record::{self, Marker};
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
        let mut others = self.load_locked(folder::wait_for_lock(&self.folder)?)?;
        // A process that ends closes its files one after the other. Those of others are loaded by a later test.
        for _ in 0..10 {
            if others == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            others = self.change(Access::Read, |contents| self.load(contents)).unwrap_or(0);
        }
        Ok(())
    }

    fn load_locked(&self, lock: File) -> io::Result<usize> {
        let others = self.change(Access::Read, |contents| self.load(contents))?;
        _ = self.lock.set(lock);
        Ok(others)
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
            let mut damaged = BTreeSet::new();
            for (&key, entry) in contents.webhooks.iter().take(limit) {
                let segment = &contents.segments[&number_of(key)];
                let record = match segment.read(entry) {
                    Ok(record) => record::read(&record, segment.marker),
                    // The file was cut off under this process.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                    Err(error) => return Err(error),
                };
                if record.as_ref().is_none_or(|webhook| webhook.is_damaged) {
                    damaged.insert(number_of(key));
                }
                match record {
                    Some(webhook) => found.push((key, webhook)),
                    None => lost.push(key),
                }
                bytes += size(entry.body_length);
                if bytes >= max_bytes {
                    break;
                }
            }
            for number in damaged {
                let segment = contents.segments.get_mut(&number).expect("of a webhook");
                if !segment.has_damage_reported
                    && let Some(copy) = segment::keep_copy(&segment.path)
                {
                    segment.has_damage_reported = true;
                    report_damaged(&copy);
                }
            }
            report_lost(lost.len());
            contents.remove(&lost)?;
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

    /// Writes a small file and deletes it: shows whether a disk that failed works again. Copies webhooks of
    /// segments that are missing, and loads segments of processes that have ended.
    pub fn test(&self) -> io::Result<()> {
        self.change(Access::Write, |contents| {
            folder::create(&self.folder)?;
            self.rescue_missing(contents)?;
            folder::test_write(&self.folder, &self.sync)
        })?;
        if self.is_shared() {
            return Ok(());
        }
        self.change(Access::Read, |contents| self.load(contents)).map(drop)
    }

    /// Copies webhooks of segments that are missing.
    pub fn rescue(&self) -> io::Result<()> {
        self.change(Access::Write, |contents| self.rescue_missing(contents))
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
        let new = path.with_extension(segment::UNFINISHED);
        let mut options = OpenOptions::new();
        // Readable by this user only: it contains bodies.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new)?;
        let written = file
            .lock()
            .and_then(|()| file.write_all_at(records, 0))
            .and_then(|()| (self.sync)(&file))
            .and_then(|()| fs::rename(&new, &path));
        written.inspect_err(|_| _ = fs::remove_file(&new))?;
        // A new file survives a power failure only after an fsync of its folder.
        (self.sync)(&File::open(&self.folder)?)?;
        contents.segments.insert(number, Segment::new(path, self.marker, file, 0));
        Ok(number)
    }
}

/// Reports a damaged segment, which is kept at this path.
fn report_damaged(path: &Path) {
    let file = path.display();
    error!(%file, "spool file damaged; to read it, run: qontak-receiver spool export FILE");
    counter!("qontak_receiver_spool_damaged_total").increment(1);
}

fn report_lost(webhooks: usize) {
    if webhooks > 0 {
        error!(webhooks, "spooled webhooks lost");
        counter!("qontak_receiver_spool_lost_total").increment(webhooks as u64);
    }
}
