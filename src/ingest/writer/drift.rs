//! Drift of Qontak's format: event names that this version does not know, and fields that it could
//! not use.
//!
//! Counted when an event is first written, so that duplicates, replays and the spool count nothing
//! twice.

use std::collections::BTreeSet;
use std::sync::Mutex;

use metrics::counter;
use tracing::warn;

use crate::event::{Event, Kind, Outcome};

/// Maximum number of names that are logged, so that a sender of random names fills neither the
/// memory nor the log.
const MAX_NAMES: usize = 100;

/// Maximum length of a logged name.
const MAX_NAME_CHARS: usize = 64;

/// Maximum number of values of the label `path`. Paths consist of field names in this program, so
/// there are not many more.
const MAX_PATHS: usize = 200;

/// Names logged since the start of the process.
static NAMES: Mutex<Seen> = Mutex::new(Seen(BTreeSet::new()));

/// Values of the label `path` since the start of the process.
static PATHS: Mutex<Seen> = Mutex::new(Seen(BTreeSet::new()));

/// Counts and logs what this version does not understand about an event.
pub fn observe(event: &Event) {
    if let Some(name) = event.unknown_name() {
        observe_name(name, event.kind);
    }
    if let (Some(kind), Outcome::Recorded) = (event.kind, event.outcome)
        && kind.is_of_inferred_shape()
    {
        counter!("qontak_receiver_unknown_shapes_total", "kind" => kind.as_str()).increment(1);
    }
    for path in &event.ignored_fields {
        let is_label = PATHS
            .lock()
            .is_ok_and(|mut paths| paths.insert(path, MAX_PATHS) || paths.0.contains(path));
        let label = if is_label { path.as_str() } else { "other" };
        counter!("qontak_receiver_fields_ignored_total", "path" => label.to_owned()).increment(1);
    }
}

fn observe_name(name: &str, kind: Option<Kind>) {
    counter!("qontak_receiver_unknown_names_total").increment(1);
    let name: String = name.trim().chars().take(MAX_NAME_CHARS).collect();
    let is_new = NAMES.lock().is_ok_and(|mut names| names.insert(&name, MAX_NAMES));
    if is_new {
        warn!(event.name = name, event.kind = kind.map(Kind::as_str), "unknown event name");
    }
}

/// Texts seen since the start of the process, up to a maximum.
struct Seen(BTreeSet<String>);

impl Seen {
    /// Whether a text is new. Beyond `max` texts, none is.
    fn insert(&mut self, text: &str, max: usize) -> bool {
        self.0.len() < max && !self.0.contains(text) && self.0.insert(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_new_once_and_up_to_a_maximum() {
        let mut seen = Seen(BTreeSet::new());
        assert!(seen.insert("a", 2));
        assert!(!seen.insert("a", 2));
        assert!(seen.insert("b", 2));
        assert!(!seen.insert("c", 2));
    }
}
