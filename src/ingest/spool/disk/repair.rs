//! Loads segments, and copies the webhooks of those that are damaged or missing.

use std::fs;
use std::io;

use metrics::counter;
use tracing::error;

use super::{Batch, Disk, report_lost};
use crate::ingest::spool::contents::{Contents, Entry, Segment};
use crate::ingest::spool::record::{self, Scan};
use crate::ingest::spool::segment;

impl Disk {
    /// Copies webhooks of segments that were deleted, replaced or cut off under this process.
    pub(super) fn rescue_missing(&self, contents: &mut Contents) -> io::Result<()> {
        let missing =
            |(&number, segment): (&u64, &Segment)| (!segment.is_in_place()).then_some(number);
        for number in contents.segments.iter().filter_map(missing).collect::<Vec<_>>() {
            let segment = contents.segments.get_mut(&number).expect("listed just now");
            let path = segment.path.clone();
            let is_reported = std::mem::replace(&mut segment.is_loss_reported, true);
            let copied = self.copy(contents, number);
            // Until it can be copied, every write tries to.
            if !is_reported {
                error!(file = %path.display(), "spool file deleted, replaced or cut off");
                counter!("qontak_receiver_spool_damaged_total").increment(1);
            }
            copied?;
            // What is left under its name would be read again at the next start.
            _ = fs::rename(&path, segment::path_of_damaged(&path));
            segment::delete(&path)?;
        }
        Ok(())
    }

    /// Copies what can be read of a segment to another one, and forgets the segment.
    fn copy(&self, contents: &mut Contents, number: u64) -> io::Result<()> {
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

    /// Reads all segments that are not loaded. The webhooks of a damaged one are copied to a new segment, and
    /// the file is kept under another name. One that cannot be read at all stays as it is. Returns the number of
    /// those that other processes use.
    pub(super) fn load(&self, contents: &mut Contents) -> io::Result<usize> {
        segment::delete_unfinished(&self.folder)?;
        let (mut damaged, mut loaded, mut others) = (Vec::new(), Vec::new(), 0);
        for (path, number, marker) in segment::list(&self.folder)? {
            let is_loaded = contents.segments.values().any(|segment| segment.path == path);
            if is_loaded {
                continue;
            }
            let is_free = number <= segment::MAX_NUMBER && !contents.segments.contains_key(&number);
            let number = if is_free { number } else { contents.next };
            let (file, bytes) = match segment::open(&path) {
                Ok(Some(opened)) => opened,
                Ok(None) => {
                    others += 1;
                    continue;
                }
                // Another process has committed its webhooks meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Not an error of all others: those are to be committed. The next test tries it again.
                Err(error) => {
                    if contents.unreadable.insert(path.clone()) {
                        let file = path.display();
                        error!(%error, %file, "spool file cannot be read, its webhooks wait");
                        counter!("qontak_receiver_spool_damaged_total").increment(1);
                    }
                    continue;
                }
            };
            let Scan { records, unreadable } = record::scan(&bytes, marker);
            if unreadable > 0 || bytes.is_empty() {
                damaged.push((number, records.len(), unreadable));
            }
            let committed = segment::committed(&path);
            let length = bytes.len() as u64;
            contents.next = contents.next.max(number + 1);
            contents.segments.insert(number, Segment::new(path, marker, file, length));
            loaded.push(number);
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
            if self.copy(contents, number).is_ok() {
                fs::rename(&path, &aside)?;
                // The list of its committed webhooks.
                segment::delete(&path)?;
            }
        }
        let loaded = loaded.into_iter().filter(|number| contents.segments.contains_key(number));
        loaded.collect::<Vec<_>>().into_iter().try_for_each(|it| contents.delete_if_empty(it))?;
        Ok(others)
    }
}
