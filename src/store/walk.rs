//! Which rows of a list a query fetches.

/// Which rows of a list to fetch.
pub struct Walk<P> {
    /// Those after this row, or else from the first one on.
    pub from: Option<P>,
    /// Whether to walk towards the first one: those before that row, the nearest first.
    pub backward: bool,
    /// How many at most.
    pub rows: i64,
}
