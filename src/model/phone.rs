//! Phone numbers in the forms that people write and Qontak sends.

/// Indonesia's country code.
const COUNTRY_CODE: &str = "62";

/// Regular expression of the texts that [`spellings`] accepts.
pub const PATTERN: &str = r"^\+?([ .()-]*[0-9]){7,17}[ .()-]*$";

/// All forms in which a number may be stored: `62812…`, `+62812…`, `0812…` and as given. Empty if
/// the text is no phone number.
///
/// Ignores spaces, hyphens, dots and parentheses. A number without a country code is Indonesian.
pub fn spellings(text: &str) -> Vec<String> {
    let text = text.trim();
    let is_allowed = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')');
    let rest = text.strip_prefix('+').unwrap_or(text);
    if !rest.chars().all(is_allowed) {
        return Vec::new();
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    // E.164 allows 15 digits; `00` may precede them. No WhatsApp number has fewer than 7.
    if !(7..=17).contains(&digits.len()) {
        return Vec::new();
    }
    let international = if text.starts_with('+') {
        digits.clone()
    } else if let Some(rest) = digits.strip_prefix("00") {
        rest.to_owned()
    } else if let Some(rest) = digits.strip_prefix('0') {
        format!("{COUNTRY_CODE}{rest}")
    } else if digits.starts_with('8') && digits.len() < 13 {
        // An Indonesian mobile number without its 0. Numbers of Japan (81) and China (86) can start
        // with 8 too, but have 13 digits with the country code.
        format!("{COUNTRY_CODE}{digits}")
    } else {
        digits.clone()
    };
    let national = international.strip_prefix(COUNTRY_CODE).map(|rest| format!("0{rest}"));
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
    fn all_forms_of_a_number_have_the_same_spellings() {
        let expected = ["+6281200010001", "081200010001", "6281200010001"];
        for text in ["6281200010001", "+62 812-0001-0001", "0812 0001 0001", "006281200010001"] {
            let spellings = spellings(text);
            assert!(expected.iter().all(|one| spellings.contains(&(*one).to_owned())), "{text}");
        }
        assert!(spellings("81200010001").contains(&"6281200010001".to_owned()));
        assert!(spellings("+6591234567").contains(&"6591234567".to_owned()));
    }

    #[test]
    fn other_texts_have_no_spellings() {
        for text in ["", "12", "siti@example.com", "wamid.HBgN", "62812000100016281200010001"] {
            assert!(spellings(text).is_empty(), "{text}");
        }
    }
}
