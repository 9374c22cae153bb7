//! Texts of others: names, messages and links.

use maud::{Markup, PreEscaped, html};

/// Characters of a message that a page shows; the raw event has the rest.
pub const MAX_CHARACTERS: usize = 4000;

/// A name or another short text of somebody else. Long ones are cut.
pub fn name(text: &str) -> Markup {
    html! { bdi { (cut(text, 200)) } }
}

/// A name, or other text if there is none.
pub fn name_or(text: Option<&str>, other: &str) -> Markup {
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => name(text),
        None => html! { span.muted { (other) } },
    }
}

/// The beginning of a text, with `…` if there is more, and without [`is_override`].
pub fn cut(text: &str, max: usize) -> String {
    let (text, end) = match text.char_indices().nth(max) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    let mut cut: String = text.chars().filter(|c| !is_override(*c)).collect();
    cut.push_str(end);
    cut
}

/// Whether a character overrides or isolates the writing direction. An isolate that is left open takes the
/// end of the `bdi` around it, and then turns the rest of the line around.
pub const fn is_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a URL may be a link: only http and https.
pub fn is_web(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https")) && !url.contains(char::is_control)
}

/// A link to another site.
pub fn outside(url: &str, text: &Markup) -> Markup {
    html! {
        @if is_web(url) {
            a href=(url) target="_blank" rel="noopener noreferrer nofollow" { (text) }
        } @else { (text) }
    }
}

/// A message with WhatsApp's marks (`*bold*`, `_italic_`, `~struck~`, `` `code` ``) and links.
pub fn rich(text: &str) -> Markup {
    let cut = cut(text, MAX_CHARACTERS);
    html! {
        p.text dir="auto" {
            bdi { @for word in words(&cut) { (word) } }
        }
    }
}

/// Splits at white space, which is kept, and marks up links; the rest of each line is [`marked`].
fn words(text: &str) -> Vec<Markup> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        // Brackets and marks around a link are no part of it, nor the end of its sentence.
        let url = word.trim_start_matches(['(', '[', '<', '"', '\'', '*', '_', '~']);
        let start = word.len() - url.len();
        let url = without_end(url);
        if is_web(url) && url.len() < 2000 {
            plain.push_str(&word[..start]);
            parts.push(marked(&plain));
            plain.clear();
            parts.push(outside(url, &html! { (url) }));
            plain.push_str(&word[start + url.len()..]);
        } else {
            plain.push_str(word);
        }
    }
    parts.push(marked(&plain));
    parts
}

/// A link without the punctuation behind it. A closing bracket stays if the link has an opening one.
fn without_end(mut url: &str) -> &str {
    while let Some(last) = url.chars().next_back() {
        let is_end = match last {
            ')' => !url.contains('('),
            ']' => !url.contains('['),
            c => c.is_whitespace() || ".,;:!?\"'>*_~…".contains(c),
        };
        if !is_end {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    url
}

/// Replaces pairs of marks by elements. A mark opens before a character that is no space, and closes
/// after one, in the same line.
fn marked(text: &str) -> Markup {
    let mut html = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['*', '_', '~', '`']) {
        let mark = rest.as_bytes()[start] as char;
        let is_at_word = rest[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let inner = &rest[start + 1..];
        let line = &inner[..inner.find('\n').unwrap_or(inner.len())];
        let end = line.find(mark).filter(|&end| {
            let inside = &line[..end];
            let next = line[end + 1..].chars().next();
            is_at_word
                && !inside.is_empty()
                && !inside.starts_with(char::is_whitespace)
                && !inside.ends_with(char::is_whitespace)
                && next.is_none_or(|c| !c.is_alphanumeric())
        });
        html.push_str(&html! { (&rest[..start]) }.into_string());
        let Some(end) = end else {
            html.push(mark);
            rest = inner;
            continue;
        };
        let element = match mark {
            '*' => "strong",
            '_' => "em",
            '~' => "s",
            _ => "code",
        };
        let inside = html! { (&line[..end]) }.into_string();
        html.push_str(&format!("<{element}>{inside}</{element}>"));
        rest = &inner[end + 1..];
    }
    html.push_str(&html! { (rest) }.into_string());
    PreEscaped(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let html = rich(text).into_string();
        let inside = html.strip_prefix("<p class=\"text\" dir=\"auto\"><bdi>");
        inside.and_then(|html| html.strip_suffix("</bdi></p>")).expect("a paragraph").to_owned()
    }

    #[test]
    fn marks_of_whatsapp_become_elements() {
        assert_eq!(
            shown("*Halo* _kak_, ~10~ `x`"),
            "<strong>Halo</strong> <em>kak</em>, <s>10</s> <code>x</code>"
        );
        for plain in ["2*3*4", "* no *", "a_b_c", "**", "*open", "*a\nb*"] {
            assert_eq!(shown(plain), plain);
        }
    }

    #[test]
    fn markup_is_escaped_inside_and_outside_of_marks() {
        let image = "<img src=x onerror=alert(1)>";
        let escaped = "&lt;img src=x onerror=alert(1)&gt;";
        assert_eq!(shown(image), escaped);
        assert_eq!(shown(&format!("*{image}*")), format!("<strong>{escaped}</strong>"));
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert!(
            shown("see https://a.id/?x=1&y=2 ok").contains("href=\"https://a.id/?x=1&amp;y=2\"")
        );
        for plain in ["javascript://%0aalert(1)", "data://x", "ftp://x"] {
            assert!(!shown(plain).contains("<a"), "{plain}");
        }
        assert!(!shown("https://a\"onmouseover=\"x").contains("\"onmouseover"));
    }

    #[test]
    fn punctuation_around_a_web_address_is_no_part_of_it() {
        for text in [
            "https://a.id/x,",
            "(https://a.id/x)",
            "*https://a.id/x*",
            "https://a.id/x.",
            "<https://a.id/x>!",
            "https://a.id/x\n",
        ] {
            assert!(shown(text).contains("href=\"https://a.id/x\""), "{text}: {}", shown(text));
        }
        assert!(shown("https://a.id/x_(y)").contains("href=\"https://a.id/x_(y)\""));
    }

    #[test]
    fn overrides_of_the_writing_direction_are_dropped() {
        assert_eq!(name("\u{202e}abc\u{2066}").into_string(), "<bdi>abc</bdi>");
        assert_eq!(shown("a\u{202e}b\u{2067}c\u{200f}"), "abc\u{200f}");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shown(&"x".repeat(100_000)).chars().count(), MAX_CHARACTERS + 1);
    }
}
