//! Texts that the API has in both languages.

use serde::Deserialize;

use super::preferences::Language;
use super::session::Visitor;

/// A text of the API in both languages.
#[derive(Clone, Deserialize)]
pub struct Translated {
    en: String,
    id: String,
}

impl Translated {
    /// The text in the visitor's language.
    pub fn of(&self, visitor: &Visitor) -> &str {
        match visitor.preferences.language {
            Language::En => &self.en,
            Language::Id => &self.id,
        }
    }
}
