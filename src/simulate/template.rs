//! How is a body written for little more than the cost of copying it?
//!
//! JSON with gaps, read once: `<<name>>` stands where something is filled in, in a text or in
//! place of a value. The files are in `body/`, and look like the bodies they become.

use super::body::Body;

/// The text of a body, cut up at its gaps.
pub struct Template {
    head: String,
    /// The name of each gap, and the text behind it.
    tail: Vec<(&'static str, String)>,
}

impl Template {
    /// Reads a template. Blanks between the tokens are dropped: Qontak sends none.
    pub fn parse(text: &'static str) -> Self {
        let mut is_text = false;
        let mut pieces = text.split("<<");
        let head = dense(pieces.next().unwrap_or_default(), &mut is_text);
        let tail = pieces.map(|piece| {
            let (name, behind) = piece.split_once(">>").expect("a gap is closed");
            (name, dense(behind, &mut is_text))
        });
        Self { head, tail: tail.collect() }
    }

    /// Appends it to a body; `fill` appends what belongs into the gap of that name.
    pub fn write(&self, body: &mut Body<'_>, mut fill: impl FnMut(&'static str, &mut Body<'_>)) {
        body.put(&self.head);
        for (name, behind) in &self.tail {
            fill(name, body);
            body.put(behind);
        }
    }
}

/// JSON without the blanks between its tokens. `is_text` tells whether it begins, and ends,
/// inside a text.
fn dense(json: &str, is_text: &mut bool) -> String {
    let mut is_escaped = false;
    let keep = |&c: &char| {
        if c == '"' && !is_escaped {
            *is_text = !*is_text;
        }
        is_escaped = c == '\\' && !is_escaped;
        *is_text || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::world::World;

    #[test]
    fn gaps_are_filled_and_only_blanks_between_tokens_are_dropped() {
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
