//! Columns of bulk queries.

/// Collects one column of `rows` for `unnest`.
pub fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}
