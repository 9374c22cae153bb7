//! What could not be understood of one body.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::value::describe;
use crate::ingest::json::Value;
use crate::model::Timestamp;

/// Fields of one body that could not be used, or not as they are.
pub struct ParseIssues {
    received_at: Timestamp,
    reasons: RefCell<Vec<String>>,
    ignored: RefCell<Vec<String>>,
    /// Records what is read; `None` while events are ingested, which would pay for it.
    read: Option<RefCell<ReadPaths>>,
}

/// Paths of the values that were read of a body, such as `room.tags[2]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPaths {
    single: BTreeSet<String>,
    /// Of these everything was read: they are stored as they are.
    whole: BTreeSet<String>,
}

impl ReadPaths {
    /// Whether the value at a path was read, alone or as a part of another.
    pub fn contains(&self, path: &str) -> bool {
        let starts = path.match_indices(['.', '[']).map(|(end, _)| &path[..end]);
        self.single.contains(path) || starts.chain([path]).any(|start| self.whole.contains(start))
    }
}

impl ParseIssues {
    /// No issues yet on a body received at `received_at`.
    pub fn new(received_at: Timestamp) -> Self {
        Self { received_at, reasons: RefCell::default(), ignored: RefCell::default(), read: None }
    }

    /// The same, and records which values are read.
    pub fn recording(received_at: Timestamp) -> Self {
        Self { read: Some(RefCell::default()), ..Self::new(received_at) }
    }

    /// Records that a value is read, if that is wanted.
    #[inline]
    pub fn note_read(&self, path: impl FnOnce() -> Option<String>) {
        if let Some(read) = &self.read
            && let Some(path) = path()
        {
            read.borrow_mut().single.insert(path);
        }
    }

    /// Records that a value is read with all that it contains.
    #[inline]
    pub fn note_read_whole(&self, path: impl FnOnce() -> String) {
        if let Some(read) = &self.read {
            let path = path();
            read.borrow_mut().whole.insert(path);
        }
    }

    /// What was read.
    pub fn into_read(self) -> ReadPaths {
        self.read.unwrap_or_default().into_inner()
    }

    /// Time of receipt.
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Records that the value at a path is ignored.
    pub fn ignore(&self, path: &str, expected: &str, value: Value<'_>) {
        if self.add(format!("{path}: expected {expected}, but it is {}", describe(value))) {
            self.ignored.borrow_mut().push(without_indexes(path));
        }
    }

    /// Records that the time at a path has no zone.
    pub fn note_missing_zone(&self, path: &str) {
        self.add(format!("{path}: expected a time with a zone, but it has none; read as UTC"));
    }

    /// Records something that concerns no single field.
    pub fn note(&self, reason: String) {
        self.add(reason);
    }

    /// Adds a reason; false if it is there already. Some fields are read twice, to classify the
    /// body and to parse it.
    fn add(&self, reason: String) -> bool {
        let mut reasons = self.reasons.borrow_mut();
        let is_new = !reasons.contains(&reason);
        if is_new {
            reasons.push(reason);
        }
        is_new
    }

    /// Paths of the ignored values, without the indexes of array elements.
    pub fn ignored(&self) -> Vec<String> {
        self.ignored.borrow().clone()
    }

    /// All reasons, without duplicates, in the order of reading.
    pub fn into_reasons(self) -> Vec<String> {
        self.reasons.into_inner()
    }
}

/// `statuses[0].errors[1].code` → `statuses.errors.code`.
fn without_indexes(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_alone_or_as_parts_of_others_and_only_recorded_on_request() {
        let read = |issues: ParseIssues| {
            issues.note_read(|| Some("room.name".to_owned()));
            issues.note_read_whole(|| "raw[0].file".to_owned());
            issues.into_read()
        };
        let paths = read(ParseIssues::recording(Timestamp::default()));
        for path in ["room.name", "raw[0].file", "raw[0].file.url", "raw[0].file[1].x"] {
            assert!(paths.contains(path), "{path}");
        }
        for path in ["room", "room.name.x", "raw[0]", "raw[0].filename", "raw[1].file"] {
            assert!(!paths.contains(path), "{path}");
        }
        assert_eq!(read(ParseIssues::new(Timestamp::default())), ReadPaths::default());
    }

    #[test]
    fn ignored_values_are_listed_once_by_their_path_without_indexes() {
        let issues = ParseIssues::new(Timestamp::default());
        for _ in 0..2 {
            issues.ignore("a[0].b[12].c", "text", Value::Number("1"));
            issues.note_missing_zone("a[0].at");
            issues.ignore("tags[1]", "text", Value::Array("[]"));
        }
        assert_eq!(issues.ignored(), ["a.b.c", "tags"]);
        let expected = [
            "a[0].b[12].c: expected text, but it is a number",
            "a[0].at: expected a time with a zone, but it has none; read as UTC",
            "tags[1]: expected text, but it is an array",
        ];
        assert_eq!(issues.into_reasons(), expected);
    }
}
