//! Rows as CSV (RFC 4180), for spreadsheets.
//!
//! The columns are those of the type, not of the rows at hand, so each export of a list has the
//! same. What is nested has a column for each of its fields, `sender.name`; what is a list, or has
//! no fields that are known, is JSON.

use std::collections::BTreeMap;

use csv::{Terminator, Writer, WriterBuilder};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// The columns of a list: the path to each field.
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// Those of a type of rows.
    pub fn of<R: ToSchema>() -> Self {
        let mut schemas = Vec::new();
        R::schemas(&mut schemas);
        let mut columns = Vec::new();
        collect(&R::schema(), &schemas.into_iter().collect(), &mut Vec::new(), &mut columns);
        Self(columns)
    }

    /// The line with their names.
    pub fn head(&self) -> Vec<u8> {
        lines([self.0.iter().map(|path| path.join("."))])
    }

    /// A line for each row.
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

/// Adds a column for each field of a type, and of the types within.
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
        // What is flattened into one.
        RefOr::T(Schema::AllOf(all)) => {
            all.items.iter().for_each(|part| collect(part, schemas, path, columns));
        }
        // What may be null.
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
        writer.write_record(line).expect("lines are equally long, and memory takes them");
    }
    writer.into_inner().expect("memory takes it")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => inert(text),
        Value::Array(_) | Value::Object(_) => inert(&value.to_string()),
        other => other.to_string(),
    }
}

/// Where a spreadsheet begins another cell that was told, or believes, that this is what stands
/// between cells: in Indonesia and much of Europe it is `;`. It then sees no quotes within a line.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// The text, which a stranger may have sent, with a `'` before all that a spreadsheet would run.
fn inert(text: &str) -> String {
    let cells = text.split_inclusive(SEPARATORS);
    cells.flat_map(|cell| [if is_formula(cell) { "'" } else { "" }, cell]).collect()
}

/// Whether a spreadsheet would run this. A phone number, `+62…`, is only a number, and stays what
/// it is.
fn is_formula(cell: &str) -> bool {
    let text = cell.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == ';');
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match text.strip_prefix(['+', '-']) {
        Some(digits) => !is_number(digits),
        None => text.starts_with(['=', '@', '＝', '＋', '－', '＠']),
    }
}
