//! Templates of bodies: JSON with placeholders, parsed once.
//!
//! `<<name>>` is a placeholder, inside a string or in place of a value. Rendering costs little more
//! than copying, because the load generator shares the machine with what it measures.

use super::body::Body;

/// A parsed template.
pub struct Template {
    head: String,
    /// Name of each placeholder, and the text after it.
    tail: Vec<(&'static str, String)>,
}

impl Template {
    /// Parses a template. White space between tokens is dropped: Qontak sends none.
    pub fn parse(text: &'static str) -> Self {
        let mut is_string = false;
        let mut pieces = text.split("<<");
        let head = minify(pieces.next().unwrap_or_default(), &mut is_string);
        let tail = pieces.map(|piece| {
            let (name, after) = piece.split_once(">>").expect("every placeholder is closed");
            (name, minify(after, &mut is_string))
        });
        Self { head, tail: tail.collect() }
    }

    /// Appends the template to a body; `fill` appends the value of each placeholder.
    pub fn write(&self, body: &mut Body<'_>, mut fill: impl FnMut(&'static str, &mut Body<'_>)) {
        body.put(&self.head);
        for (name, after) in &self.tail {
            fill(name, body);
            body.put(after);
        }
    }
}

/// Drops white space between the tokens of JSON. `is_string`: whether it begins, and then ends,
/// inside a string.
fn minify(json: &str, is_string: &mut bool) -> String {
    let mut is_escaped = false;
    let keep = |&c: &char| {
        if c == '"' && !is_escaped {
            *is_string = !*is_string;
        }
        is_escaped = c == '\\' && !is_escaped;
        *is_string || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::world::World;

    #[test]
    fn placeholders_are_filled_and_only_white_space_between_tokens_is_dropped() {
        let template = Template::parse(
            r#"{
                "text": "a \"b\"  <<text>> c",
                "n": <<n>>
            }"#,
        );
        let world = World::new(1, 0);
        let mut body = Body::new(&world);
        template.write(&mut body, |name, body| body.put(name));
        let expected = r#"{"text":"a \"b\"  text c","n":n}"#;
        assert_eq!(String::from_utf8(body.into_bytes()).unwrap(), expected);
    }
}
