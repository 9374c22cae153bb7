//! The body of an event, indented. What the parser read is marked, what it ignored, and what it could not use.
//!
//! It is laid out as text, not parsed: a body that is not JSON is shown as far as it goes, with numbers
//! and repeated keys as they were sent.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::console::format::text::is_override;
use crate::console::session::Visitor;
use crate::ingest::normalize::read_paths;
use crate::model::Timestamp;

/// Characters shown; the raw body has the rest.
const MAX_CHARACTERS: usize = 60_000;

/// A line with the path of its value, such as `room.tags[2]`.
#[derive(Debug, PartialEq)]
struct Line {
    depth: usize,
    text: String,
    path: String,
}

/// Draws a body; `reasons` begin with the paths of what could not be used. The time of receipt decides which
/// times are plausible.
pub fn draw(visitor: &Visitor, body: &[u8], reasons: &[String], at: DateTime<Utc>) -> Markup {
    let words = visitor.words();
    let read = read_paths(body, Timestamp(at));
    let text = String::from_utf8_lossy(body);
    let is_cut = text.chars().nth(MAX_CHARACTERS).is_some();
    let mut shown = String::new();
    for c in text.chars().take(MAX_CHARACTERS) {
        // As JSON would escape it: in the text it would turn what follows around.
        if is_override(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            shown.push(c)
        }
    }
    let is_doubtful = |path: &str| {
        !path.is_empty() && reasons.iter().any(|reason| names(reason).any(|named| named == path))
    };
    let class = |line: &Line| {
        let is_bracket = line.text.chars().all(|c| "{}[],".contains(c));
        match &read {
            _ if is_doubtful(&line.path) => Some("doubt"),
            Some(read) if !is_bracket && !line.path.is_empty() => {
                Some(if read.contains(&line.path) { "read" } else { "ignored" })
            }
            _ => None,
        }
    };
    html! {
        @if read.is_some() {
            p.legend.small {
                mark.read { (words.was_read) } " " span.ignored { (words.was_ignored) } " " mark.doubt { (words.not_usable) }
            }
        }
        pre.json tabindex="0" { code {
            @for line in lines(&shown) {
                ("  ".repeat(line.depth.min(40)))
                @match class(&line) {
                    Some("ignored") => span.ignored { (line.text) },
                    Some(class) => mark.(class) { (line.text) },
                    None => (line.text),
                }
                "\n"
            }
        } }
        @if is_cut { p.muted { (words.body_is_cut) } }
    }
}

/// What a reason may name as a path: `room.channel: expected text`, or after the word of a quarantine.
fn names(reason: &str) -> impl Iterator<Item = &str> {
    reason.splitn(3, ": ").take(2)
}

/// A place that is open: the key in an object, or the index in an array.
enum Open {
    Object(String),
    Array(usize),
}

/// Lays a text out as if it were JSON.
fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    let mut finish = |line: &mut String, open: &[Open], depth: usize| {
        if !line.is_empty() {
            lines.push(Line { depth, text: std::mem::take(line), path: path(open) });
        }
    };
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                let start = line.len();
                line.push(c);
                while let Some(c) = characters.next() {
                    line.push(c);
                    match c {
                        '\\' => line.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                // A key, if it is the first of its line in an object.
                if start == 0
                    && let Some(Open::Object(key)) = open.last_mut()
                {
                    *key = line.trim_matches('"').to_owned();
                }
            }
            '{' | '[' => {
                line.push(c);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                let close = if c == '{' { '}' } else { ']' };
                if characters.next_if_eq(&close).is_some() {
                    line.push(close);
                    continue;
                }
                finish(&mut line, &open, open.len());
                open.push(if c == '{' { Open::Object(String::new()) } else { Open::Array(0) });
            }
            '}' | ']' => {
                finish(&mut line, &open, open.len());
                open.pop();
                line.push(c);
            }
            ',' => {
                line.push(c);
                finish(&mut line, &open, open.len());
                if let Some(Open::Array(index)) = open.last_mut() {
                    *index += 1;
                }
            }
            ':' => line.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => line.push(c),
        }
    }
    finish(&mut line, &open, open.len());
    lines
}

fn path(open: &[Open]) -> String {
    let mut path = String::new();
    for one in open {
        match one {
            Open::Object(key) if path.is_empty() => path.push_str(key),
            Open::Object(key) => {
                path.push('.');
                path.push_str(key);
            }
            Open::Array(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let lines = lines(text);
        lines.iter().map(|line| format!("{}{}\n", "  ".repeat(line.depth), line.text)).collect()
    }

    #[test]
    fn json_is_indented_as_it_was_sent() {
        let text = r#"{"a":1.50,"b":{"c":[1,{"d":"x, \"y\": {"}],"e":{}},"a":null}"#;
        let expected = "{\n  \"a\": 1.50,\n  \"b\": {\n    \"c\": [\n      1,\n      {\n        \"d\": \
                        \"x, \\\"y\\\": {\"\n      }\n    ],\n    \"e\": {}\n  },\n  \"a\": null\n}\n";
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn values_have_the_paths_of_reasons() {
        let text = r#"{"room":{"tags":["a",{"x":1},3]},"id":1}"#;
        let lines = lines(text);
        let path_of =
            |text: &str| &lines.iter().find(|line| line.text == text).expect("a line").path;
        assert_eq!(path_of("3"), "room.tags[2]");
        assert_eq!(path_of("\"x\": 1"), "room.tags[1].x");
        assert_eq!(path_of("\"id\": 1"), "id");
    }

    #[test]
    fn what_is_not_json_is_shown_as_far_as_it_goes() {
        assert_eq!(shown(r#"{"a":"cut of"#), "{\n  \"a\": \"cut of\n");
        assert_eq!(shown("]]}} x"), "]\n]\n}\n}x\n");
        assert_eq!(shown(""), "");
    }
}
