//! What was measured, for people and for programs.

mod machine;
mod reach;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

pub use self::machine::machine;
pub use self::reach::Reach;
pub use self::table::{number, table};

/// Prints the results, and writes them: as JSON to this path, as Markdown beside it.
pub fn write(
    facts: &[(&'static str, String)],
    tables: &str,
    results: &impl Serialize,
    reach: &[Reach],
    json_path: &Path,
) -> anyhow::Result<()> {
    let lines: String = facts.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let text = format!("{lines}\n{tables}\n### Reach\n\n{}", reach::as_table(reach));
    println!("\n{text}");
    let facts: BTreeMap<_, _> = facts.iter().cloned().collect();
    let json = json!({ "facts": facts, "results": results, "reach": reach });
    for (path, text) in [
        (json_path.to_owned(), serde_json::to_string_pretty(&json)?),
        (json_path.with_extension("md"), text),
    ] {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
