//! Tables of lists. On phones the style sheet makes a card of each row, with the names of the columns.

use maud::{Markup, html};

use super::api::{ApiError, List};
use super::document::{empty, problem};
use super::pages::pages;
use super::session::Visitor;

/// A column: its name, and whether it has numbers.
pub struct Column(pub &'static str, pub bool);

/// A list as a table: `row` draws the cells of a row, in the order of the columns.
pub fn list<T>(
    visitor: &Visitor,
    rows: &Result<List<T>, ApiError>,
    columns: &[Column],
    nothing: (&str, &str),
    row: impl Fn(&T) -> Vec<Markup>,
) -> Markup {
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return problem(visitor.words(), error),
    };
    if rows.data.is_empty() && visitor.parameters.get("cursor").is_empty() {
        return empty(nothing.0, nothing.1);
    }
    html! {
        (table(columns, rows.data.iter().map(row)))
        (pages(visitor, rows.cursors(), "cursor"))
    }
}

/// A table.
pub fn table(columns: &[Column], rows: impl Iterator<Item = Vec<Markup>>) -> Markup {
    html! {
        table.cards {
            thead { tr { @for Column(name, is_number) in columns {
                th.number[*is_number] scope="col" { (name) }
            } } }
            tbody { @for cells in rows { tr {
                @for (cell, Column(name, is_number)) in cells.iter().zip(columns) {
                    td.number[*is_number] data-label=[(!name.is_empty()).then_some(*name)] { (cell) }
                }
            } } }
        }
    }
}
