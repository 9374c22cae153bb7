//! A WhatsApp template to create, by the rules of Qontak's API: it cannot be edited after it is submitted.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::fields::Fields;
use crate::qontak::client::Body;

/// Categories of WhatsApp.
const CATEGORIES: [&str; 3] = ["AUTHENTICATION", "MARKETING", "UTILITY"];

/// Types of components, each at most once.
const TYPES: [&str; 4] = ["HEADER", "BODY", "FOOTER", "BUTTONS"];

const MAX_NAME: usize = 512;
const MAX_BODY: usize = 1024;

/// A WhatsApp template to create.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTemplate {
    /// Lower-case letters, digits and `_`.
    #[schema(max_length = 512, pattern = "^[a-z0-9_]+$")]
    pub name: String,
    /// `AUTHENTICATION`, `MARKETING` or `UTILITY`.
    #[schema(pattern = "^(AUTHENTICATION|MARKETING|UTILITY)$")]
    category: String,
    /// Language, such as `id` or `en_US`.
    #[schema(pattern = "^[a-z]{2,3}(_[A-Z]{2,3})?$")]
    language: String,
    /// Its parts: one of type `BODY`, at most one of each other type.
    #[schema(min_items = 1, max_items = 4)]
    components: Vec<NewComponent>,
}

/// A part of a template.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewComponent {
    /// `HEADER`, `BODY`, `FOOTER` or `BUTTONS`.
    #[schema(pattern = "^(HEADER|BODY|FOOTER|BUTTONS)$")]
    r#type: String,
    /// Format of a header: `TEXT`, `IMAGE`, `VIDEO` or `DOCUMENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    format: Option<String>,
    /// Text with parameters `{{1}}`, …; of a body needed, at most 1024 characters, without line breaks,
    /// tabs or more than 4 spaces in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1024)]
    text: Option<String>,
    /// Examples of the parameters, as WhatsApp wants them; passed on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<std::collections::BTreeMap<String, Value>>)]
    example: Option<Value>,
    /// Buttons, as WhatsApp wants them; passed on as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<std::collections::BTreeMap<String, Value>>>)]
    buttons: Option<Value>,
}

impl NewTemplate {
    /// Reads a request. Fails with everything that is wrong with it.
    pub fn parse(request: &Value) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let Some(mut fields) = Fields::new("", request, &mut problems) else {
            return Err(problems);
        };
        let name = fields.text("name", MAX_NAME);
        if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_') {
            fields.reject("name", "must consist of lower-case letters, digits and _");
        }
        let category = fields.text("category", 64);
        if !category.is_empty() && !CATEGORIES.contains(&category.as_str()) {
            fields.reject("category", &format!("must be one of {}", CATEGORIES.join(", ")));
        }
        let language = fields.text("language", 16);
        if !language.is_empty() && !is_language(&language) {
            fields.reject("language", "must be a language such as id or en_US");
        }
        let rows = match fields.value("components") {
            Some(Value::Array(rows)) => rows.as_slice(),
            Some(_) => {
                fields.reject("components", "must be an array");
                &[]
            }
            None => {
                fields.reject("components", "is missing");
                &[]
            }
        };
        let is_given = !rows.is_empty();
        fields.finish();
        let mut components: Vec<NewComponent> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let component =
                NewComponent::parse(&format!("components[{place}]"), row, &mut problems);
            let Some(component) = component else { continue };
            let is_repeated = components.iter().any(|other| other.r#type == component.r#type);
            if is_repeated && !component.r#type.is_empty() {
                problems.push(format!("components[{place}].type: must not occur twice"));
            }
            components.push(component);
        }
        if is_given && !components.iter().any(|component| component.r#type == "BODY") {
            problems.push("components: must contain one of type BODY".to_owned());
        }
        let template = Self { name, category, language, components };
        if problems.is_empty() { Ok(template) } else { Err(problems) }
    }

    /// Fields as Qontak's row has them.
    pub fn fields(&self) -> Map<String, Value> {
        let fields = [("category", &self.category), ("language", &self.language)];
        fields.map(|(name, value)| (name.to_owned(), value.as_str().into())).into_iter().collect()
    }

    /// The call's body, in the form that Qontak's API was recorded with.
    pub fn body(&self) -> Body {
        Body::Json(json!({
            "name": self.name,
            "category": self.category,
            "attributes": [{ "language": self.language, "components": self.components }],
            "hsm": false,
        }))
    }
}

impl NewComponent {
    fn parse(name: &str, row: &Value, problems: &mut Vec<String>) -> Option<Self> {
        let mut fields = Fields::new(name, row, problems)?;
        let mut r#type = fields.text("type", 64);
        if !r#type.is_empty() && !TYPES.contains(&r#type.as_str()) {
            fields.reject("type", &format!("must be one of {}", TYPES.join(", ")));
            r#type.clear();
        }
        let is_body = r#type == "BODY";
        let format = fields.optional_text("format", 64);
        let text = if is_body {
            Some(fields.text("text", MAX_BODY))
        } else {
            fields.optional_text("text", MAX_BODY)
        };
        if is_body && text.as_ref().is_some_and(|text| text.contains(['\n', '\r', '\t'])) {
            fields.reject("text", "must not contain line breaks or tabs");
        }
        if is_body && text.as_ref().is_some_and(|text| text.contains("     ")) {
            fields.reject("text", "must not contain more than 4 spaces in a row");
        }
        let example = fields.value("example").cloned();
        if example.as_ref().is_some_and(|example| !example.is_object()) {
            fields.reject("example", "must be a JSON object");
        }
        let buttons = fields.value("buttons").cloned();
        let is_list = |value: &Value| {
            value.as_array().is_some_and(|rows| {
                (1..=10).contains(&rows.len()) && rows.iter().all(Value::is_object)
            })
        };
        if buttons.as_ref().is_some_and(|buttons| !is_list(buttons)) {
            fields.reject("buttons", "must be an array of 1 to 10 JSON objects");
        }
        if r#type == "BUTTONS" && buttons.is_none() {
            fields.reject("buttons", "is missing");
        }
        fields.finish();
        Some(Self { r#type, format, text, example, buttons })
    }
}

/// Whether it has the form of one of WhatsApp's languages. Their list grows, so Qontak decides.
fn is_language(text: &str) -> bool {
    let (language, country) = text.split_once('_').map_or((text, None), |(a, b)| (a, Some(b)));
    let is_word =
        |word: &str, lengths: std::ops::RangeInclusive<usize>, is_fine: fn(&u8) -> bool| {
            lengths.contains(&word.len()) && word.bytes().all(|c| is_fine(&c))
        };
    is_word(language, 2..=3, u8::is_ascii_lowercase)
        && country.is_none_or(|country| is_word(country, 2..=3, u8::is_ascii_uppercase))
}
