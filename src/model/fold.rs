//! The fold: how the changes of many events become one row.
//!
//! A folded field has the value of the newest event that contains it, and an absent value never
//! overwrites a known one. So the row does not depend on the order of the events. Which event is the
//! newest is decided by its [`FoldKey`]. A row stores the key of its newest event, and for each
//! field that this event lacks the key of the event that the field is from.
//!
//! The rule stands twice: here, for the events of one batch, and in the SQL procedure `create_merge`,
//! for a batch and the stored row.

use serde::Serialize;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;

use super::attribute::Attribute;
use super::time::{FoldKey, Timestamp};

/// Keys of the fields that are older than their row, in the order of the folded fields; empty if
/// there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OlderKeys(pub Vec<Option<FoldKey>>);

impl OlderKeys {
    /// Keeps the keys of the known `fields` that differ from the key of the row.
    pub fn of(fields: &[Option<FoldKey>], row: FoldKey) -> Self {
        if fields.iter().flatten().all(|key| *key == row) {
            return Self::default();
        }
        let known = fields.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        Self(fields[..known].iter().map(|key| key.filter(|key| *key != row)).collect())
    }

    /// The key of a field of a row with this key.
    pub fn get(&self, field: usize, row: FoldKey) -> FoldKey {
        self.0.get(field).copied().flatten().unwrap_or(row)
    }
}

impl Attribute for OlderKeys {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        let keys = || self.0.iter().map(|key| key.map(|key| key.0)).collect::<Vec<_>>();
        row.encode((!self.0.is_empty()).then(keys)).map(drop)
    }
}

/// Implements the fold for a type with the fields `key` and `older_keys`. The order of the fields is
/// that of the bits of `fields` and of the array `keys` of the table, and of the SQL function
/// `merged_columns`.
macro_rules! folded {
    ($type:ident: $($field:ident)*) => {
        impl $type {
            /// Bit mask of the folded fields that are present, from the first (lowest bit).
            pub fn fields(&self) -> i64 {
                $crate::model::fold::bit_mask(&[$(self.$field.is_some()),*])
            }

            /// Appends the key, the fields and the folded columns to a row.
            pub fn append_folded(
                &self,
                row: &mut sqlx::postgres::types::PgRecordEncoder<'_>,
            ) -> Result<(), sqlx::error::BoxDynError> {
                use $crate::model::attribute::Attribute;
                self.key.append(row)?;
                self.fields().append(row)?;
                self.older_keys.append(row)?;
                $(self.$field.append(row)?;)*
                Ok(())
            }

            /// Folds another change of the same row into this one; the order does not matter. Of two
            /// changes with the same key, which come from the same body, `other` wins.
            fn fold_fields(&mut self, other: &Self) {
                let key = self.key.max(other.key);
                let mut keys = Vec::with_capacity([$(stringify!($field)),*].len());
                $(
                    let field = keys.len();
                    let own = self.$field.as_ref().map(|_| self.older_keys.get(field, self.key));
                    let new = other.$field.as_ref().map(|_| other.older_keys.get(field, other.key));
                    if new.is_some() && new >= own {
                        self.$field.clone_from(&other.$field);
                    }
                    keys.push(own.max(new));
                )*
                self.older_keys = $crate::model::fold::OlderKeys::of(&keys, key);
                self.key = key;
            }
        }
    };
}

pub(super) use folded;

/// Bit mask whose lowest bit is the first element.
pub fn bit_mask(present: &[bool]) -> i64 {
    present.iter().rev().fold(0, |mask, present| mask << 1 | i64::from(*present))
}

/// Keeps the greater of two values; `None` is the least.
pub fn greatest<T: Ord + Clone>(one: &mut Option<T>, other: &Option<T>) {
    if *one < *other {
        one.clone_from(other);
    }
}

/// Keeps the earlier of two times; `None` if both are absent.
pub fn least(one: &mut Option<Timestamp>, other: Option<Timestamp>) {
    *one = match (*one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}
