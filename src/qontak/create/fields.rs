//! Reads the fields of a request and notes everything that is wrong with it, so that one response names
//! all of it.

use serde_json::{Map, Value};

/// Fields of an object of a request.
pub struct Fields<'a, 'p> {
    /// Prefix of names in problems: `components[0].`; empty at the top.
    prefix: String,
    object: &'a Map<String, Value>,
    problems: &'p mut Vec<String>,
    known: Vec<&'static str>,
}

impl<'a, 'p> Fields<'a, 'p> {
    /// Fields of the object that is called `name`; empty for the whole request. `None` if it is no object.
    pub fn new(name: &str, value: &'a Value, problems: &'p mut Vec<String>) -> Option<Self> {
        let Some(object) = value.as_object() else {
            let name = if name.is_empty() { "body" } else { name };
            problems.push(format!("{name}: must be a JSON object"));
            return None;
        };
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        Some(Self { prefix, object, problems, known: Vec::new() })
    }

    /// Notes what is wrong with a field.
    pub fn reject(&mut self, name: &str, expected: &str) {
        self.problems.push(format!("{}{name}: {expected}", self.prefix));
    }

    /// A field of any type; `None` if it is absent or null.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A text of at most so many characters; `None` if it is absent.
    pub fn optional_text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let value = self.value(name)?;
        let is_fine = |text: &&str| {
            !text.trim().is_empty() && text.chars().count() <= max && !text.contains('\0')
        };
        let text = value.as_str().filter(is_fine);
        if text.is_none() {
            self.reject(name, &format!("must be a text of 1 to {max} characters"));
        }
        text.map(str::to_owned)
    }

    /// A text that must be there; empty if it is not, which is noted.
    pub fn text(&mut self, name: &'static str, max: usize) -> String {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.reject(name, "is missing");
        }
        self.optional_text(name, max).unwrap_or_default()
    }

    /// Notes the fields that nothing has read.
    pub fn finish(mut self) {
        let known = self.known.join(", ");
        let unknown: Vec<&String> =
            self.object.keys().filter(|name| !self.known.contains(&name.as_str())).collect();
        for name in unknown {
            // The name may be anything: no more of it than helps.
            let name: String = name.chars().take(64).collect();
            self.reject(&name, &format!("unknown field; known are {known}"));
        }
    }
}
