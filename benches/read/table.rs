//! A Markdown table that can be read as it is, too.

/// Columns are as wide as what they hold; the first is flush left, the others flush right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let length = |text: &str| text.chars().count();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| length(&row[column]));
        cells.chain([length(header[column]), 3]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") }
        });
        format!("{}|\n", cells.collect::<String>())
    };
    let rules: Vec<String> = (0..header.len())
        .map(|column| {
            let dashes = "-".repeat(widths[column] - 1);
            if column == 0 { format!("{dashes}-") } else { format!("{dashes}:") }
        })
        .collect();
    let mut text = line(header.to_vec()) + &line(rules.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// A number with this many digits behind the point, and commas before it.
pub fn number(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let whole = plain.find('.').unwrap_or(plain.len());
    let mut text = String::new();
    for (at, c) in plain.char_indices() {
        if at > 0 && at < whole && (whole - at) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(c);
    }
    text
}
