//! A contact list to create: a spreadsheet that is uploaded, or a source that Qontak knows.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::fields::Fields;
use crate::qontak::client::Body;

const MAX_NAME: usize = 255;

/// Maximum size of a spreadsheet, in bytes.
pub const MAX_CSV: usize = 4 << 20;

/// The source of a list that comes as a file.
const SPREADSHEET: &str = "spreadsheet";

/// A contact list to create.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewContactList {
    /// Name.
    #[schema(max_length = 255)]
    pub name: String,
    /// `spreadsheet` for a list in `csv`, or a source that Qontak knows, such as `crm_dynamic`.
    #[schema(max_length = 64, pattern = "^[a-z0-9_]+$")]
    source_type: String,
    /// Qontak's id of the source; needed unless it is a spreadsheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 255)]
    source_id: Option<String>,
    /// The spreadsheet as CSV, for `spreadsheet`: a header with the names of the columns, and a row per
    /// contact. At most 4 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    csv: Option<String>,
}

impl NewContactList {
    /// Reads a request. Fails with everything that is wrong with it.
    pub fn parse(request: &Value) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let Some(mut fields) = Fields::new("", request, &mut problems) else {
            return Err(problems);
        };
        let name = fields.text("name", MAX_NAME);
        // It becomes a part of a form.
        if name.chars().any(char::is_control) {
            fields.reject("name", "must not contain control characters");
        }
        let source_type = fields.text("source_type", 64);
        if !source_type.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_') {
            fields.reject("source_type", "must consist of lower-case letters, digits and _");
        }
        let source_id = fields.optional_text("source_id", 255);
        if source_id.as_ref().is_some_and(|id| id.chars().any(char::is_control)) {
            fields.reject("source_id", "must not contain control characters");
        }
        let csv = fields.optional_text("csv", MAX_CSV);
        let is_spreadsheet = source_type == SPREADSHEET;
        if is_spreadsheet {
            match (fields.value("csv"), &csv) {
                (None, _) => fields.reject("csv", "is missing"),
                (_, Some(csv)) if csv.len() > MAX_CSV => {
                    fields.reject("csv", &format!("must have at most {MAX_CSV} bytes"));
                }
                (_, Some(csv)) => {
                    if let Err(expected) = check_csv(csv) {
                        fields.reject("csv", &expected);
                    }
                }
                _ => {}
            }
        } else if !source_type.is_empty() {
            if fields.value("source_id").is_none() {
                fields.reject("source_id", "is missing; only a spreadsheet has none");
            }
            if csv.is_some() {
                fields.reject("csv", "must be absent unless source_type is spreadsheet");
            }
        }
        fields.finish();
        let list = Self { name, source_type, source_id, csv };
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    /// Fields as Qontak's row has them.
    pub fn fields(&self) -> Map<String, Value> {
        let source_id =
            self.source_id.iter().map(|id| ("source_id".to_owned(), id.as_str().into()));
        let fields = [("name", &self.name), ("source_type", &self.source_type)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_str().into()));
        fields.into_iter().chain(source_id).collect()
    }

    /// The call's body: a form.
    pub fn body(&self) -> Body {
        // Random, so that no text contains it.
        let boundary = Uuid::new_v4().simple().to_string();
        let mut form = Vec::new();
        let mut part = |head: &str, value: &str| {
            form.extend_from_slice(
                format!(
                    "--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"
                )
                .as_bytes(),
            );
        };
        part("name=\"name\"", &self.name);
        part("name=\"source_type\"", &self.source_type);
        if let Some(source_id) = &self.source_id {
            part("name=\"source_id\"", source_id);
        }
        if let Some(csv) = &self.csv {
            let head = "name=\"file\"; filename=\"contacts.csv\"\r\nContent-Type: text/csv";
            part(head, csv);
        }
        form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Body::Form(format!("multipart/form-data; boundary={boundary}"), form)
    }
}

/// Checks that a spreadsheet has a header, a contact, and rows that fit the header. Its texts are not
/// quoted: they are about people.
fn check_csv(text: &str) -> Result<(), String> {
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header = rows.headers().map_err(|_| "must be CSV".to_owned())?;
    if header.iter().any(|name| name.trim().is_empty()) {
        return Err("must have a name for each column".to_owned());
    }
    let mut count = 0_u64;
    for row in rows.records() {
        if row.is_err() {
            let expected = "must have as many cells as the header";
            return Err(format!("contact {} {expected}", count + 1));
        }
        count += 1;
    }
    if count == 0 { Err("must have a header and at least one contact".to_owned()) } else { Ok(()) }
}
