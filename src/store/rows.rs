//! Prepares rows for bulk statements: one `insert … on conflict` cannot touch a row twice.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde_json::value::RawValue;
use sqlx::types::Json;

use crate::model::FoldKey;

/// Splits rows into rounds with unique keys, sorted by key so that writers do not deadlock.
///
/// `merge` merges a row into another one with the same key. If it returns `false`, the row goes into
/// the next round.
pub fn rounds_of_unique_keys<'a, T: Clone, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    merge: impl Fn(&mut T, &T) -> bool,
) -> Vec<Vec<Cow<'a, T>>> {
    let mut rows: Vec<&T> = rows.collect();
    // A stable sort: rows with the same key stay in order of arrival.
    rows.sort_by_key(|row| key(row));
    let mut rounds: Vec<Vec<Cow<'a, T>>> = Vec::new();
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let mut used = 0_usize;
        for row in group {
            let last = used.checked_sub(1).and_then(|last| rounds[last].last_mut());
            if last.is_some_and(|last| merge(last.to_mut(), row)) {
                continue;
            }
            if used == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[used].push(Cow::Borrowed(row));
            used += 1;
        }
    }
    rounds
}

/// Drops rows superseded within the batch: a newer row with the same key sets at least the same
/// fields. Otherwise a busy sender would need a round for each of its messages.
///
/// `version` returns the fold key and the bit set of fields of a row.
pub fn drop_superseded<'a, T, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    version: impl Fn(&T) -> (FoldKey, i32),
) -> Vec<&'a T> {
    let mut rows: Vec<&T> = rows.collect();
    // Newest first: a row can only be superseded by an earlier one.
    rows.sort_by_key(|row| (key(row), Reverse(version(row).0)));
    let mut kept: Vec<&T> = Vec::with_capacity(rows.len());
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let first = kept.len();
        for row in group {
            let (fold_key, fields) = version(row);
            let supersedes = |newer: &&T| {
                let (newer_key, newer_fields) = version(newer);
                fields == 0 || newer_key > fold_key && fields & !newer_fields == 0
            };
            if !kept[first..].iter().any(supersedes) {
                kept.push(row);
            }
        }
    }
    kept
}

/// Collects one column of `rows` for `unnest`.
pub fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// Value of a `jsonb` column.
pub fn json(value: &Option<Box<RawValue>>) -> Option<Json<&RawValue>> {
    value.as_deref().map(Json)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn rounds_have_unique_sorted_keys() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
        let rounds = rounds_of_unique_keys(
            rows.iter(),
            |row| row.0,
            |one, other| {
                let can = other.1 % 2 == 0;
                one.1 += if can { other.1 } else { 0 };
                can
            },
        );
        let expected = [vec![("a", 2), ("b", 1)], vec![("b", 7)]];
        assert_eq!(
            rounds,
            expected.map(|round| round.into_iter().map(Cow::Owned).collect::<Vec<_>>())
        );
    }

    #[test]
    fn rows_superseded_by_a_newer_row_with_the_same_fields_are_dropped() {
        let rows = [
            ("a", 1, 0b01),
            ("a", 3, 0b01),
            ("a", 2, 0b11),
            ("b", 1, 0b11),
            ("a", 3, 0b01),
            ("a", 1, 0b10),
            ("c", 0, 0),
            ("c", 0, 0),
        ];
        let version = |row: &(&str, u128, i32)| (FoldKey(Uuid::from_u128(row.1)), row.2);
        let kept = drop_superseded(rows.iter(), |row| row.0, version);
        // Rows with equal fold keys are all kept: the database decides.
        let expected =
            [&("a", 3, 0b01), &("a", 3, 0b01), &("a", 2, 0b11), &("b", 1, 0b11), &("c", 0, 0)];
        assert_eq!(kept, expected);
    }
}
