//! Filters of lists: a form whose values are the parameters of the page, so every view has a URL.

use maud::{Markup, html};

use super::format::text::cut;
use super::language::term::term;
use super::session::Visitor;

/// What the API shows to a masked key in place of a text.
const HIDDEN: &str = "•••";

/// A field of the form.
pub struct Field {
    name: &'static str,
    label: String,
    input: Input,
    /// Name of the choice without a value.
    nothing: Option<String>,
}

enum Input {
    Search,
    Text,
    Date,
    /// Values with their names.
    Choice(Vec<(String, String)>),
    /// Values that are words of the API.
    Terms(Vec<String>),
}

impl Field {
    /// A search field; `/` focuses it.
    pub fn search(name: &'static str, label: &str) -> Self {
        Self { name, label: label.to_owned(), input: Input::Search, nothing: None }
    }

    /// A line of text.
    pub fn text(name: &'static str, label: &str) -> Self {
        Self { name, label: label.to_owned(), input: Input::Text, nothing: None }
    }

    /// A day.
    pub fn date(name: &'static str, label: &str) -> Self {
        Self { name, label: label.to_owned(), input: Input::Date, nothing: None }
    }

    /// One of these values, each with its name.
    pub fn choice<'a>(
        name: &'static str,
        label: &str,
        values: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let values = values.map(|(value, name)| (value.to_owned(), cut(name, 100)));
        Self {
            name,
            label: label.to_owned(),
            input: Input::Choice(values.collect()),
            nothing: None,
        }
    }

    /// One of these words of the API.
    pub fn terms(name: &'static str, label: &str, values: &[String]) -> Self {
        Self { name, label: label.to_owned(), input: Input::Terms(values.to_vec()), nothing: None }
    }

    /// Names what the page shows without a choice.
    pub fn or_else(self, name: &str) -> Self {
        Self { nothing: Some(name.to_owned()), ..self }
    }

    fn draw(&self, visitor: &Visitor) -> Markup {
        let value = visitor.parameters.get(self.name);
        let language = visitor.preferences.language;
        let plain = |kind: &str| html! { input type=(kind) name=(self.name) value=(value); };
        html! {
            label.wide[matches!(self.input, Input::Search)] {
                span.visually-hidden[matches!(self.input, Input::Search)] { (self.label) }
                @match &self.input {
                    Input::Search => input type="search" name=(self.name) value=(value) placeholder=(self.label) enterkeyhint="search";,
                    Input::Text => (plain("text")),
                    // A link may name a time of day, which a field for days would drop.
                    Input::Date => (plain(if value.len() > 10 { "text" } else { "date" })),
                    Input::Choice(values) => (self.select(visitor, value, values.iter().map(|(value, name)| (value, name.clone())))),
                    Input::Terms(values) => (self.select(visitor, value, values.iter().map(|value| (value, term(language, value).into_owned())))),
                }
            }
        }
    }

    fn select<'a>(
        &self,
        visitor: &Visitor,
        chosen: &str,
        values: impl Iterator<Item = (&'a String, String)>,
    ) -> Markup {
        let values: Vec<_> = values.filter(|(value, _)| *value != HIDDEN).collect();
        let is_listed = values.iter().any(|(value, _)| *value == chosen);
        // A link may name several values.
        let language = visitor.preferences.language;
        let several: Vec<_> = chosen.split(',').map(|word| term(language, word)).collect();
        html! {
            select name=(self.name) {
                option value="" { (self.nothing.as_deref().unwrap_or(visitor.words().any)) }
                @if !chosen.is_empty() && !is_listed { option value=(chosen) selected { (several.join(", ")) } }
                @for (value, name) in &values { option value=(value) selected[*value == chosen] { (name) } }
            }
        }
    }
}

/// The form. With the script, a change loads the part `target` again; `more` is folded until one of it
/// is set.
pub fn form(visitor: &Visitor, target: &str, first: &[Field], more: &[Field]) -> Markup {
    let words = visitor.words();
    let path = visitor.uri.path();
    let set = more.iter().filter(|field| !visitor.parameters.get(field.name).is_empty()).count();
    html! {
        form.filters method="get" action=(path) role="search" hx-get=(path) hx-target=(target)
            hx-select={ (target) " > *" } hx-select-oob="#actions, #filters-set, #filters-reset" hx-push-url="true"
            hx-trigger="submit, change, input changed delay:350ms from:find input[type=search]" {
            @if !visitor.organization.is_empty() {
                input type="hidden" name="organization_id" value=(visitor.organization);
            }
            @for field in first { (field.draw(visitor)) }
            @if !more.is_empty() {
                details.filters-more open[set > 0] {
                    summary { (words.filters) span #filters-set { @if set > 0 { " (" (set) ")" } } }
                    div.more { @for field in more { (field.draw(visitor)) } }
                }
            }
            div.buttons #filters-reset {
                button.no-script { (words.apply) }
                @if has_any(visitor, first) || set > 0 {
                    a.button href=(visitor.link(path, &[])) { (words.reset) }
                }
            }
        }
    }
}

fn has_any(visitor: &Visitor, fields: &[Field]) -> bool {
    fields.iter().any(|field| !visitor.parameters.get(field.name).is_empty())
}
