//! Phone numbers, as people write them and as Qontak sends them.

/// Indonesia's country code.
const HOME: &str = "62";

/// What [`spellings`] takes for a number, as a regular expression.
pub const PATTERN: &str = r"^\+?([ .()-]*[0-9]){7,17}[ .()-]*$";

/// The ways in which the same number may be stored: `62812…`, `+62812…`, `0812…` and as given.
/// Empty if the text is no phone number.
///
/// Blanks, dashes, dots and brackets do not matter. A number without a country code is an
/// Indonesian one.
pub fn spellings(text: &str) -> Vec<String> {
    let text = text.trim();
    let is_usual = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')');
    let rest = text.strip_prefix('+').unwrap_or(text);
    if !rest.chars().all(is_usual) {
        return Vec::new();
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    // E.164 has 15 at most, and none that can be sent a message has fewer than 7.
    if !(7..=17).contains(&digits.len()) {
        return Vec::new();
    }
    let international = if text.starts_with('+') {
        digits.clone()
    } else if let Some(rest) = digits.strip_prefix("00") {
        rest.to_owned()
    } else if let Some(rest) = digits.strip_prefix('0') {
        format!("{HOME}{rest}")
    } else if digits.starts_with('8') && digits.len() < 13 {
        // So are mobile numbers told without the 0. One of Japan or China has 13 with its code.
        format!("{HOME}{digits}")
    } else {
        digits.clone()
    };
    let national = international.strip_prefix(HOME).map(|rest| format!("0{rest}"));
    let mut spellings = vec![format!("+{international}"), international, digits];
    spellings.extend(national);
    spellings.sort();
    spellings.dedup();
    spellings
}

#[cfg(test)]
mod tests {
    use super::spellings;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let expected = ["+6281200010001", "081200010001", "6281200010001"];
        for text in ["6281200010001", "+62 812-0001-0001", "0812 0001 0001", "006281200010001"] {
            let spellings = spellings(text);
            assert!(expected.iter().all(|one| spellings.contains(&(*one).to_owned())), "{text}");
        }
        assert!(spellings("81200010001").contains(&"6281200010001".to_owned()));
        assert!(spellings("+6591234567").contains(&"6591234567".to_owned()));
    }

    #[test]
    fn what_is_no_number_has_no_spellings() {
        for text in ["", "12", "siti@example.com", "wamid.HBgN", "62812000100016281200010001"] {
            assert!(spellings(text).is_empty(), "{text}");
        }
    }
}
