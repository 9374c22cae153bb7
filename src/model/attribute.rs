//! Values of rows that are sent to the database.

use chrono::NaiveDate;
use serde_json::value::RawValue;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::types::Json;
use uuid::Uuid;

use super::author::{Author, Direction};
use super::packed_list::PackedList;
use super::time::{FoldKey, Timestamp};

/// An attribute of a composite value.
pub trait Attribute {
    /// Appends the value to a row.
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError>;
}

macro_rules! plain_attributes {
    ($($type:ty),* $(,)?) => {
        $(impl Attribute for $type {
            fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
                row.encode(self).map(drop)
            }
        })*
    };
}

plain_attributes!(
    bool,
    i16,
    i32,
    i64,
    str,
    String,
    Uuid,
    FoldKey,
    NaiveDate,
    Timestamp,
    [u8],
    [String],
    Option<bool>,
    Option<i64>,
    Option<&str>,
    Option<String>,
    Option<Uuid>,
    Option<Timestamp>,
    Option<NaiveDate>,
);

impl Attribute for Option<PackedList> {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(self.as_ref().map(|list| list.iter().collect::<Vec<_>>())).map(drop)
    }
}

impl Attribute for Option<Box<RawValue>> {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(self.as_deref().map(Json)).map(drop)
    }
}

impl Attribute for Box<RawValue> {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(Json(&**self)).map(drop)
    }
}

impl Attribute for Option<Author> {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(self.map(Author::as_str)).map(drop)
    }
}

impl Attribute for Option<Direction> {
    fn append(&self, row: &mut PgRecordEncoder<'_>) -> Result<(), BoxDynError> {
        row.encode(self.map(Direction::as_str)).map(drop)
    }
}
