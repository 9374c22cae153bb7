//! Rows as CSV (RFC 4180), for spreadsheets.
//!
//! Columns follow from the type, not from the rows, so every export of a list has the same ones.
//! Nested objects have a column per field (`sender.name`); arrays and free objects are JSON.

use std::collections::BTreeMap;

use csv::{Terminator, Writer, WriterBuilder};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Columns of a list: the path of each field.
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// Columns of a row type.
    pub fn of<R: ToSchema>() -> Self {
        let mut schemas = Vec::new();
        R::schemas(&mut schemas);
        let mut columns = Vec::new();
        collect(&R::schema(), &schemas.into_iter().collect(), &mut Vec::new(), &mut columns);
        Self(columns)
    }

    /// The header line.
    pub fn header(&self) -> Vec<u8> {
        lines([self.0.iter().map(|path| path.join("."))])
    }

    /// One line per row.
    pub fn lines<R: Serialize>(&self, rows: &[R]) -> Vec<u8> {
        lines(rows.iter().map(|row| {
            let row = serde_json::to_value(row).expect("rows are JSON");
            self.0.iter().map(move |path| {
                let field = path.iter().try_fold(&row, |value, name| value.get(name));
                field.map(cell).unwrap_or_default()
            })
        }))
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
        RefOr::T(Schema::Object(object)) => {
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

fn lines<L: IntoIterator<Item = String>>(lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut writer: Writer<Vec<u8>> =
        WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).expect("all lines have the same number of cells");
    }
    writer.into_inner().expect("a Vec cannot fail")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape_formulas(text),
        Value::Array(_) | Value::Object(_) => escape_formulas(&value.to_string()),
        other => other.to_string(),
    }
}

/// Characters at which a spreadsheet may start a new cell: its locale's separator is `;` in Indonesia
/// and much of Europe, and it then ignores quotes within a line.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// Prevents formula injection: puts `'` before every part that a spreadsheet would evaluate.
fn escape_formulas(text: &str) -> String {
    let cells = text.split_inclusive(SEPARATORS);
    cells.flat_map(|cell| [if is_formula(cell) { "'" } else { "" }, cell]).collect()
}

/// Whether a spreadsheet would evaluate this. A phone number, `+62…`, is a plain number.
fn is_formula(cell: &str) -> bool {
    let text = cell.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == ';');
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match text.strip_prefix(['+', '-']) {
        Some(digits) => !is_number(digits),
        None => text.starts_with(['=', '@', '＝', '＋', '－', '＠']),
    }
}
