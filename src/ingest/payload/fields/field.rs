//! A field of an object: its value, and how to report it.

use std::borrow::Cow;

use super::node::Node;
use crate::ingest::json::Value;
use crate::ingest::payload::issues::ParseIssues;
use crate::ingest::payload::value::is_placeholder;

/// A field with a value other than null, and the object that it is in.
#[derive(Clone, Copy)]
pub struct Field<'f, 'a> {
    pub node: &'f Node<'a>,
    pub key: &'f str,
    pub value: Value<'a>,
    pub issues: &'a ParseIssues,
}

impl<'a> Field<'_, 'a> {
    /// Blank text, or an array or object without elements.
    pub fn is_empty(&self) -> bool {
        self.value.is_empty() || self.value.text().is_some_and(|text| is_placeholder(&text))
    }

    pub fn text(self) -> Option<Cow<'a, str>> {
        self.value.text().or_else(|| self.report("text"))
    }

    /// Its path in the body.
    pub fn path(&self) -> String {
        self.node.path_of(self.key)
    }

    /// Records that its value cannot be used.
    pub fn report<T>(&self, expected: &str) -> Option<T> {
        self.issues.ignore(&self.path(), expected, self.value);
        None
    }

    /// Records that an element of its array cannot be used.
    pub fn report_element<T>(&self, index: usize, expected: &str, element: Value<'_>) -> Option<T> {
        self.issues.ignore(&format!("{}[{index}]", self.path()), expected, element);
        None
    }

    /// Records that its value is read with all that it contains.
    pub fn note_read_whole(&self) {
        self.issues.note_read_whole(|| self.path());
    }
}
