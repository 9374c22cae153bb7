//! Rows as CSV (RFC 4180), for spreadsheets.
//!
//! Columns follow from the type, not from the rows, so every export of a list has the same ones.
//! Nested objects have a column per field (`sender.name`); arrays and free objects are JSON.
//! [`mod@cell`] has the texts that a spreadsheet would change.

mod cell;

use std::collections::BTreeMap;

use csv::{Terminator, Writer, WriterBuilder};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use self::cell::cell;
pub use self::cell::{CUT, MAX_CHARACTERS};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Byte order mark, by which Excel recognises UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How to write a table.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Whether to begin with a byte order mark.
    pub bom: bool,
    /// Between two cells.
    pub delimiter: u8,
}

/// Columns of a list: the path of each field.
pub struct Columns {
    paths: Vec<Vec<String>>,
    dialect: Dialect,
}

impl Columns {
    /// Columns of a row type.
    pub fn of<R: ToSchema>(dialect: Dialect) -> Self {
        let mut schemas = Vec::new();
        R::schemas(&mut schemas);
        let mut columns = Vec::new();
        collect(&R::schema(), &schemas.into_iter().collect(), &mut Vec::new(), &mut columns);
        Self { paths: columns, dialect }
    }

    /// The header line.
    pub fn header(&self) -> Vec<u8> {
        let bom = if self.dialect.bom { BOM } else { &[] };
        let names = self.paths.iter().map(|path| path.join("."));
        [bom, &self.write([names])].concat()
    }

    /// One line per row.
    pub fn lines<R: Serialize>(&self, rows: &[R]) -> Vec<u8> {
        self.write(rows.iter().map(|row| {
            let row = serde_json::to_value(row).expect("rows are JSON");
            self.paths.iter().map(move |path| {
                let field = path.iter().try_fold(&row, |value, name| value.get(name));
                field.map(cell).unwrap_or_default()
            })
        }))
    }

    fn write<L: IntoIterator<Item = String>>(&self, lines: impl IntoIterator<Item = L>) -> Vec<u8> {
        let mut writer: Writer<Vec<u8>> = WriterBuilder::new()
            .delimiter(self.dialect.delimiter)
            .terminator(Terminator::CRLF)
            .from_writer(Vec::new());
        for line in lines {
            writer.write_record(line).expect("all lines have the same number of cells");
        }
        writer.into_inner().expect("a Vec cannot fail")
    }
}

/// Adds a column for each field of a type and of its nested types.
fn collect(
    schema: &RefOr<Schema>,
    schemas: &Schemas,
    path: &mut Vec<String>,
    columns: &mut Vec<Vec<String>>,
) {
    let known = columns.len();
    match schema {
        RefOr::Ref(named) => {
            let name = named.ref_location.rsplit('/').next().unwrap_or_default();
            if let Some(schema) = schemas.get(name) {
                collect(schema, schemas, path, columns);
            }
        }
        RefOr::T(Schema::Object(object)) if object.additional_properties.is_none() => {
            for (name, field) in &object.properties {
                path.push(name.clone());
                collect(field, schemas, path, columns);
                path.pop();
            }
        }
        // Flattened fields.
        RefOr::T(Schema::AllOf(all)) => {
            all.items.iter().for_each(|part| collect(part, schemas, path, columns));
        }
        // A nullable object.
        RefOr::T(Schema::OneOf(one)) => {
            let types = one.items.iter().filter(|item| matches!(item, RefOr::Ref(_)));
            types.for_each(|item| collect(item, schemas, path, columns));
        }
        RefOr::T(_) => {}
    }
    let is_field = !path.is_empty();
    if is_field && columns.len() == known {
        columns.push(path.clone());
    }
}
