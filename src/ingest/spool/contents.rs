//! What is in the spool: its open segments, and the places of the webhooks in them.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::record::{Marker, Record};
use super::segment::{self, is_same};
use crate::ingest::queue::OVERHEAD_BYTES;
use crate::model::Timestamp;

/// Bits of a key for the place in the segment; the others are its number.
const OFFSET_BITS: u32 = 40;

/// Segments and webhooks of a spool.
#[derive(Default)]
pub struct Contents {
    pub segments: BTreeMap<u64, Segment>,
    /// Webhooks that are not committed, by segment and place: some 60 bytes each.
    pub webhooks: BTreeMap<u64, Entry>,
    pub bytes: u64,
    /// Number of the segment that webhooks are appended to.
    pub current: Option<u64>,
    /// Number of the next segment. Never used again: keys of a forgotten segment may still be in use.
    pub next: u64,
    /// Files that cannot be read, each reported once.
    pub unreadable: HashSet<PathBuf>,
    /// Whether the last write failed.
    pub write_failed: bool,
    /// Whether the last read failed.
    pub read_failed: bool,
}

/// An open segment.
pub struct Segment {
    pub path: PathBuf,
    pub marker: Marker,
    /// Kept open, so that a deleted file can still be read, and locked, so that no other process loads it.
    pub file: File,
    pub length: u64,
    /// Whether it was logged that it is damaged, and that it is missing.
    pub has_damage_reported: bool,
    pub is_loss_reported: bool,
}

/// Place of a webhook in its segment.
pub struct Entry {
    pub offset: u64,
    pub length: usize,
    pub body_length: usize,
    pub received_at: Timestamp,
}

impl Contents {
    /// Adds a webhook of a segment.
    pub fn insert(&mut self, number: u64, entry: Entry) {
        self.bytes += size(entry.body_length);
        self.webhooks.insert(number << OFFSET_BITS | entry.offset, entry);
    }

    /// Webhooks of a segment.
    pub fn of_segment(&self, number: u64) -> impl Iterator<Item = &Entry> {
        let keys = number << OFFSET_BITS..(number + 1) << OFFSET_BITS;
        self.webhooks.range(keys).map(|(_, entry)| entry)
    }

    /// Removes webhooks by key, and segments that are empty then.
    pub fn remove(&mut self, keys: &[u64]) -> io::Result<()> {
        let mut committed: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for key in keys {
            if let Some(entry) = self.webhooks.remove(key) {
                self.bytes -= size(entry.body_length);
                committed.entry(number_of(*key)).or_default().push(entry.offset);
            }
        }
        for (number, offsets) in committed {
            if self.of_segment(number).next().is_some() {
                segment::add_committed(&self.segments[&number].path, &offsets)?;
            } else {
                self.delete_if_empty(number)?;
            }
        }
        Ok(())
    }

    /// Deletes a segment without webhooks.
    pub fn delete_if_empty(&mut self, number: u64) -> io::Result<()> {
        if self.of_segment(number).next().is_none() {
            segment::delete(&self.segments[&number].path)?;
            self.forget(number);
        }
        Ok(())
    }

    /// Removes a segment and its webhooks, but not the file.
    pub fn forget(&mut self, number: u64) {
        let forgotten: Vec<u64> = self.of_segment(number).map(|entry| entry.offset).collect();
        for offset in forgotten {
            if let Some(entry) = self.webhooks.remove(&(number << OFFSET_BITS | offset)) {
                self.bytes -= size(entry.body_length);
            }
        }
        self.segments.remove(&number);
        self.current = self.current.filter(|current| *current != number);
    }
}

impl Segment {
    /// An open segment.
    pub const fn new(path: PathBuf, marker: Marker, file: File, length: u64) -> Self {
        let (has_damage_reported, is_loss_reported) = (false, false);
        Self { path, marker, file, length, has_damage_reported, is_loss_reported }
    }

    /// Reads a record.
    pub fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut record = vec![0; entry.length];
        self.file.read_exact_at(&mut record, entry.offset)?;
        Ok(record)
    }

    /// Whether the open file is the one in the folder, and has everything that was written to it.
    pub fn is_in_place(&self) -> bool {
        let (Ok(open), Ok(named)) = (self.file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        is_same(&open, &named) && named.len() >= self.length
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        Self {
            offset: record.range.start as u64,
            length: record.range.len(),
            body_length: record.body_length,
            received_at: record.received_at,
        }
    }
}

/// Number of the segment in a key.
pub const fn number_of(key: u64) -> u64 {
    key >> OFFSET_BITS
}

/// Size of a webhook as it counts towards the limit.
pub const fn size(body: usize) -> u64 {
    (body + OVERHEAD_BYTES) as u64
}
