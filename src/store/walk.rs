//! Which rows of a list a query fetches: a part of it in either direction.
//!
//! Lists are walked by key, never by offset. Each list names its key `Place`; a page's cursor holds
//! one, so page 10,000 costs what page 1 costs. A list's SQL is written once: its comparison and its
//! order are parameters of a macro, so each direction is a prepared statement of its own.

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Walk<P> {
    /// Starts after this row; `None` starts at the first row.
    pub from: Option<P>,
    /// Whether to walk towards the first row, nearest rows first.
    pub backward: bool,
    /// Maximum number of rows.
    pub rows: i64,
}

impl<P> Walk<P> {
    /// The first `rows` rows of the list.
    pub const fn first(rows: i64) -> Self {
        Self { from: None, backward: false, rows }
    }

    /// The same part with its place converted.
    pub fn map<Q>(self, convert: impl FnOnce(P) -> Q) -> Walk<Q> {
        Walk { from: self.from.map(convert), backward: self.backward, rows: self.rows }
    }
}
