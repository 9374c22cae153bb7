//! Prepares rows for bulk statements.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde_json::value::RawValue;
use sqlx::types::Json;

use crate::model::FoldKey;

/// Deals rows into rounds_of_unique_keys in which each key occurs once, in the order of the keys. Rows with the
/// same key are one row, unless `merge` says that it cannot.
///
/// One statement cannot touch a row twice; and writers that take rows in the same order do not
/// deadlock.
pub fn rounds_of_unique_keys<'a, T: Clone, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    merge: impl Fn(&mut T, &T) -> bool,
) -> Vec<Vec<Cow<'a, T>>> {
    let mut rows: Vec<&T> = rows.collect();
    // Stable: rows with one key stay in the order of arrival.
    rows.sort_by_key(|row| key(row));
    let mut rounds_of_unique_keys: Vec<Vec<Cow<'a, T>>> = Vec::new();
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let mut used = 0_usize;
        for row in group {
            let last = used.checked_sub(1).and_then(|last| rounds_of_unique_keys[last].last_mut());
            if last.is_some_and(|last| merge(last.to_mut(), row)) {
                continue;
            }
            if used == rounds_of_unique_keys.len() {
                rounds_of_unique_keys.push(Vec::new());
            }
            rounds_of_unique_keys[used].push(Cow::Borrowed(row));
            used += 1;
        }
    }
    rounds_of_unique_keys
}

/// Leaves out rows that another one with the same key outdoes: one that is newer and has every
/// field that they have. A busy room or bot would else need a round for each of its messages.
pub fn drop_superseded<'a, T, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    says: impl Fn(&T) -> (FoldKey, i32),
) -> Vec<&'a T> {
    let mut rows: Vec<&T> = rows.collect();
    // The newest of each key first: nothing that comes later outdoes it.
    rows.sort_by_key(|row| (key(row), Reverse(says(row).0)));
    let mut kept: Vec<&T> = Vec::with_capacity(rows.len());
    for group in rows.chunk_by(|a, b| key(a) == key(b)) {
        let first = kept.len();
        for row in group {
            let (fold_key, fields) = says(row);
            let outdoes = |newer: &&T| {
                let (newer_key, newer_fields) = says(newer);
                fields == 0 || newer_key > fold_key && fields & !newer_fields == 0
            };
            if !kept[first..].iter().any(outdoes) {
                kept.push(row);
            }
        }
    }
    kept
}

/// One column of many rows, to be bound as an array.
pub fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// A column of JSON.
pub fn json(value: &Option<Box<RawValue>>) -> Option<Json<&RawValue>> {
    value.as_deref().map(Json)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_in_order() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
        let rounds_of_unique_keys = rounds_of_unique_keys(
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
            rounds_of_unique_keys,
            expected.map(|round| round.into_iter().map(Cow::Owned).collect::<Vec<_>>())
        );
    }

    #[test]
    fn a_row_is_outdone_by_a_newer_one_with_all_of_its_fields() {
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
        let says = |row: &(&str, u128, i32)| (FoldKey(Uuid::from_u128(row.1)), row.2);
        let kept = drop_superseded(rows.iter(), |row| row.0, says);
        // Equal keys outdo nobody: the database decides.
        let expected =
            [&("a", 3, 0b01), &("a", 3, 0b01), &("a", 2, 0b11), &("b", 1, 0b11), &("c", 0, 0)];
        assert_eq!(kept, expected);
    }
}
