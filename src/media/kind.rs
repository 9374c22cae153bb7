//! Media types of files.

/// Whether a browser may show it in a page. Scripts run in SVG, and HTML is nobody's attachment.
pub fn is_inline(media_type: &str) -> bool {
    let group = media_type.split('/').next().unwrap_or_default();
    let is_shown = ["image", "audio", "video"].contains(&group) || media_type == "application/pdf";
    is_shown && !media_type.contains("xml") && !media_type.contains("svg")
}

/// The type in a header `content-type`, in lower case and without parameters. `None` if it says nothing.
pub fn parse(header: &str) -> Option<String> {
    let media_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+/".contains(c);
    let is_type = media_type.len() <= 127
        && media_type.split('/').filter(|part| !part.is_empty()).count() == 2
        && media_type.chars().all(is_allowed);
    let says_nothing = ["application/octet-stream", "binary/octet-stream"];
    (is_type && !says_nothing.contains(&media_type.as_str())).then_some(media_type)
}

/// The type of a file by its first bytes, for servers that do not name it.
pub fn guess(start: &[u8]) -> Option<&'static str> {
    const TYPES: [(usize, &[u8], &str); 10] = [
        (0, b"\xff\xd8\xff", "image/jpeg"),
        (0, b"\x89PNG\r\n\x1a\n", "image/png"),
        (0, b"GIF8", "image/gif"),
        (8, b"WEBP", "image/webp"),
        (0, b"%PDF-", "application/pdf"),
        (4, b"ftyp", "video/mp4"),
        (0, b"OggS", "audio/ogg"),
        (0, b"ID3", "audio/mpeg"),
        (0, b"\xff\xfb", "audio/mpeg"),
        (0, b"#!AMR", "audio/amr"),
    ];
    let found = TYPES
        .iter()
        .find(|(at, magic, _)| start.get(*at..).is_some_and(|it| it.starts_with(magic)));
    found.map(|(_, _, media_type)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_show_media_and_nothing_that_can_have_a_script() {
        assert!(is_inline("image/png") && is_inline("audio/ogg") && is_inline("application/pdf"));
        for other in ["image/svg+xml", "text/html", "text/plain", "application/xhtml+xml"] {
            assert!(!is_inline(other), "{other}");
        }
    }

    #[test]
    fn types_are_read_without_parameters() {
        assert_eq!(parse("Image/PNG; charset=x").as_deref(), Some("image/png"));
        for nothing in ["", "image", "a/b/c", "application/octet-stream", "image/p\u{e9}g", "/"] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn types_are_guessed_from_the_first_bytes() {
        assert_eq!(guess(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(guess(b"<html>"), None);
        assert_eq!(guess(b""), None);
    }
}
