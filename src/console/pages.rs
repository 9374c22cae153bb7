//! Links between the pages of a list.

use maud::{Markup, html};

use super::api::Cursors;
use super::session::Visitor;

/// Links to the adjacent pages; `name` is the parameter of the cursor.
pub fn pages(visitor: &Visitor, cursors: &Cursors, name: &str) -> Markup {
    let words = visitor.words();
    let link = |cursor: &str| {
        let pairs = visitor.parameters.pairs().filter(|(one, _)| *one != name);
        let mut pairs: Vec<(&str, &str)> = pairs.collect();
        pairs.push((name, cursor));
        super::parameters::link(visitor.uri.path(), &pairs)
    };
    html! {
        @if cursors.prev.is_some() || cursors.next.is_some() {
            nav.pages aria-label=(words.pages) {
                @if let Some(cursor) = &cursors.prev { a.button href=(link(cursor)) { "← " (words.newer) } }
                @if let Some(cursor) = &cursors.next { a.button href=(link(cursor)) { (words.older) " →" } }
            }
        }
    }
}
