//! Damages the files of a spool, as a disk or a careless person does.
//!
//! Which webhook is hit is read from the bytes before they are changed. So the test knows which
//! webhooks may be missing, and demands that no other one is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// Webhooks that the test itself has damaged, by id of the message.
#[derive(Default)]
pub struct Damaged {
    /// Their bodies were changed or cut off: they are to be quarantined.
    pub bodies: BTreeSet<String>,
    /// The data about them was changed: they cannot be read.
    pub records: BTreeSet<String>,
}

/// Text in the data about a webhook, and at the end of its body.
const DATA: &[u8] = b"\"endpoint\":\"";
const TEXT: &[u8] = b"\"text\":\"halo halo ";
/// Text before the id of the message, which is between the two.
const ID: &[u8] = b"\"id\":\"m";

/// Damages one segment of a spool that no process uses. Returns whether the service has to notice it
/// when it starts.
pub fn damage(folder: &Path, damaged: &mut Damaged, rng: &mut impl Rng) -> bool {
    let segments = files(folder, ".segment");
    let Some(segment) = segments.choose(rng) else { return false };
    let mut bytes = fs::read(segment).unwrap();
    let place = |text: &[u8], rng: &mut _| places(&bytes, text).choose(rng).copied();
    let (in_data, in_text) = (place(DATA, rng), place(TEXT, rng));
    let (Some(in_data), Some(in_text)) = (in_data, in_text) else { return false };
    let kind = rng.random_range(0..5);
    match kind {
        // A write that was torn by the kill: it was never acknowledged.
        0 => {
            let mut torn = vec![0; rng.random_range(1..3000)];
            rng.fill_bytes(&mut torn);
            bytes.extend(torn);
        }
        1 => {
            let beginning = bytes[..20].to_vec();
            bytes.extend(beginning);
        }
        // A flipped bit and zeroed bytes in a body.
        2 => {
            damaged.bodies.insert(id_before(&bytes, in_text));
            bytes[in_text + TEXT.len()] ^= 1;
        }
        3 => {
            damaged.bodies.insert(id_before(&bytes, in_text));
            bytes[in_text + TEXT.len()..in_text + TEXT.len() + 64].fill(0);
        }
        _ => {
            damaged.records.insert(id_after(&bytes, in_data));
            bytes[in_data + DATA.len()] ^= 1;
        }
    }
    fs::write(segment, bytes).unwrap();
    !matches!(kind, 2 | 3)
}

/// Deletes the segments of a spool. Returns the number of webhooks in them.
pub fn delete(folder: &Path) -> usize {
    let webhooks = count(folder);
    files(folder, ".segment").iter().for_each(|segment| fs::remove_file(segment).unwrap());
    webhooks
}

/// Number of webhooks in the segments of a spool.
pub fn count(folder: &Path) -> usize {
    // A segment may be deleted meanwhile.
    let segments = files(folder, ".segment").into_iter().filter_map(|path| fs::read(path).ok());
    segments.map(|bytes| places(&bytes, ID).len()).sum()
}

/// The files that a replica has kept aside because they were damaged.
pub fn kept_aside(folder: &Path) -> Vec<PathBuf> {
    files(folder, "spool.corrupt-")
}

fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(text)).collect()
}

fn places(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|&at| bytes[at..].starts_with(text)).collect()
}

fn id_before(bytes: &[u8], at: usize) -> String {
    id_at(bytes, (0..at).rev().find(|&at| bytes[at..].starts_with(ID)).unwrap())
}

fn id_after(bytes: &[u8], at: usize) -> String {
    id_at(bytes, (at..bytes.len()).find(|&at| bytes[at..].starts_with(ID)).unwrap())
}

fn id_at(bytes: &[u8], at: usize) -> String {
    let start = at + ID.len() - 1;
    let length = bytes[start..].iter().position(|byte| *byte == b'"').unwrap();
    String::from_utf8(bytes[start..start + length].to_vec()).unwrap()
}
