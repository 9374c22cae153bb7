//! A value as the text of a cell, such that a spreadsheet neither evaluates nor changes it.

use serde_json::Value;

/// Maximum length of a cell in UTF-16 code units, as Excel counts characters.
pub const MAX_CHARACTERS: usize = 32_767;

/// End of a cell that is cut. In ASCII, because the header of the response contains it.
pub const CUT: &str = " ... [cut]";

/// Digits of a number that Excel keeps; it replaces further ones by zeros.
const EXACT_DIGITS: usize = 15;

/// The text of a cell.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if is_rounded(text) => format!("'{text}"),
        Value::String(text) => cut(escape_formulas(text)),
        Value::Array(_) | Value::Object(_) => cut(escape_formulas(&value.to_string())),
        other => other.to_string(),
    }
}

/// Whether this is a number of which a spreadsheet would lose digits.
fn is_rounded(text: &str) -> bool {
    let number = text.trim();
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_exact = digits.len() <= EXACT_DIGITS || digits.len() >= MAX_CHARACTERS;
    !is_exact && is_integer(digits)
}

fn is_integer(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cuts a text that is longer than a cell of Excel, which would drop the rest or spill it into the
/// next line.
fn cut(text: String) -> String {
    // Hardly any text is that long, so most are not counted.
    if text.len() <= MAX_CHARACTERS || text.encode_utf16().count() <= MAX_CHARACTERS {
        return text;
    }
    let mut left = MAX_CHARACTERS - CUT.len();
    let fits = |c: &char| {
        let units = c.len_utf16();
        let fits = units <= left;
        left = left.saturating_sub(units);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept + CUT
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
    match text.strip_prefix(['+', '-']) {
        Some(digits) => !is_integer(digits),
        None => text.starts_with(['=', '@', '＝', '＋', '－', '＠']),
    }
}
