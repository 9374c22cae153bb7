//! Index of the keys of one JSON object.

use super::Value;
use super::scan::Scanner;

/// Size of the shortest field of an object: `"":0,`.
const MIN_FIELD_BYTES: usize = 5;

/// A JSON object: its text, and where each key is in it.
///
/// A key takes 8 bytes, less than twice its size in the text, so any object is indexed in bounded
/// memory. Values are found behind their keys.
#[derive(Clone)]
pub struct Object<'a> {
    text: &'a str,
    keys: Vec<Key>,
}

#[derive(Clone, Copy)]
struct Key {
    /// Tells most keys apart without looking at the text.
    tag: u32,
    at: u32,
}

impl<'a> Object<'a> {
    /// Indexes the object at the start of the text.
    pub fn new(text: &'a str) -> Option<Self> {
        Self::scan(&mut Scanner::new(text, 0))
    }

    /// Indexes the object that the scanner is at, and skips it.
    pub(super) fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        let start = scanner.position();
        let text = scanner.rest();
        // Qontak's objects have up to 40 keys.
        let mut keys = Vec::with_capacity((text.len() / 16).min(48));
        let mut has_next = scanner.enter(b'}')?;
        while has_next {
            let at = scanner.position() - start;
            if keys.len() == keys.capacity() {
                // As many again, but no more than may follow.
                keys.reserve_exact(keys.len().clamp(8, (text.len() - at) / MIN_FIELD_BYTES + 9));
            }
            let at = u32::try_from(at).ok()?;
            keys.push(Key { tag: tag(&super::unquote(scanner.key()?)), at });
            scanner.value()?;
            has_next = scanner.next(b'}')?;
        }
        Some(Self { text, keys })
    }

    /// Whether this is the object at the start of the text.
    pub fn is_at(&self, text: &str) -> bool {
        std::ptr::eq(self.text.as_ptr(), text.as_ptr())
    }

    /// The value of a key. Of several equal keys the last counts.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let tag = tag(key);
        let candidates = self.keys.iter().rev().filter(|candidate| candidate.tag == tag);
        candidates.map(|candidate| candidate.at as usize).find_map(|at| {
            let mut scanner = Scanner::new(self.text, at);
            let quoted = scanner.key()?;
            // Nearly always without escapes.
            let is_equal =
                quoted[1..].strip_suffix('"') == Some(key) || super::unquote(quoted) == key;
            is_equal.then(|| Value::new(scanner.rest()))
        })
    }
}

/// Length, first, middle and last byte: all different for nearly all of Qontak's keys.
fn tag(key: &str) -> u32 {
    let key = key.as_bytes();
    let byte = |at: usize| key.get(at).copied().unwrap_or_default();
    let len = (key.len() & 0xff) as u8;
    u32::from_le_bytes([len, byte(0), byte(key.len() / 2), byte(key.len().wrapping_sub(1))])
}
