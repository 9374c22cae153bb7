//! Phone numbers: the one form in which all spellings of a number are compared.
//!
//! Contact lists are spreadsheets, and numbers are pasted from chats: with separators, quotes,
//! invisible characters, with and without a country code. Nothing compares numbers as they are
//! written.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Indonesia's country code, that of numbers without one.
const COUNTRY_CODE: &str = "62";

/// Number of digits, without the `00` of an international call. E.164 allows 15.
const DIGITS: RangeInclusive<usize> = 8..=15;

/// Regular expression of the usual spellings. [`normalize`] accepts more.
pub const PATTERN: &str = concat!(
    "^[ .()/-]{0,2}(",
    r"(\+[ .()/-]{0,2}|0[ .()/-]{0,2}0[ .()/-]{0,2})?[1-9]([ .()/-]{0,2}[0-9]){7,14}",
    "|0[ .()/-]{0,2}[1-9]([ .()/-]{0,2}[0-9]){6,12}",
    ")[ .()/-]{0,2}$",
);

/// Returns the digits of a number with its country code: `6281234567890` for `0812-3456-7890`.
/// `None` if the text is no phone number: an e-mail address, a masked number, an id of WhatsApp that
/// hides the number.
///
/// Ignores separators, invisible characters, quotes, `tel:`, decimals that are zero and the domain of
/// a WhatsApp address.
pub fn normalize(text: &str) -> Option<String> {
    let written = Written::parse(text)?;
    written.with_country_code(written.is_international)
}

/// Returns all numbers that the text can stand for, in the form of [`normalize`]; empty if it is no
/// phone number.
///
/// `8…` is read as an Indonesian number without its 0, although it may be one of Japan (81), Hong
/// Kong (852) or China (86) without its `+`. A query looks for both.
pub fn readings(text: &str) -> Vec<String> {
    let Some(written) = Written::parse(text) else { return Vec::new() };
    let readings =
        [true, false].map(|is_international| written.with_country_code(is_international));
    let mut readings: Vec<String> = readings.into_iter().flatten().collect();
    readings.dedup();
    readings
}

/// Returns the form in which ids of contacts are compared: that of [`normalize`] for a phone number,
/// else the visible text.
pub fn normalize_account(text: &str) -> String {
    normalize(text).unwrap_or_else(|| visible(text))
}

/// Returns all forms of [`normalize_account`] that the text can stand for.
pub fn account_readings(text: &str) -> Vec<String> {
    let readings = readings(text);
    if readings.is_empty() { vec![visible(text)] } else { readings }
}

/// Hides the middle of a phone number or another identifier: `6281••••••001`. Of less than ten characters
/// nothing is shown.
pub fn mask(text: &str) -> String {
    let length = text.chars().count();
    let is_shown = |place: usize| length >= 10 && (place < 4 || place + 3 >= length);
    let masked = text.chars().enumerate();
    masked.map(|(place, c)| if is_shown(place) { c } else { '•' }).collect()
}

/// Returns the text without characters that nobody sees and everybody pastes, and without surrounding
/// white space.
pub fn visible(text: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control() && !c.is_whitespace()
            || matches!(
                c,
                '\u{ad}'
                    | '\u{34f}'
                    | '\u{61c}'
                    | '\u{180e}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{202a}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{fe00}'..='\u{fe0f}'
                    | '\u{feff}'
            )
    };
    let visible: String = text.chars().filter(|&c| !is_invisible(c)).collect();
    visible.trim().to_owned()
}

/// A number as it is written.
struct Written {
    /// Whether it starts with `+` or `00`.
    is_international: bool,
    digits: String,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let text: String = visible(text).chars().map(half_width).collect();
        let text = text.to_ascii_lowercase();
        // A spreadsheet keeps digits as text by `'0812…` or `="0812…"`.
        let text = text.trim_matches(|c: char| c.is_whitespace() || "'\"`‘’“”=".contains(c));
        let text =
            ["tel:", "whatsapp:"].iter().find_map(|it| text.strip_prefix(it)).unwrap_or(text);
        let text = match text.split_once('@') {
            // WhatsApp appends the number of a device: `62812…:4@s.whatsapp.net`.
            Some((user, "c.us" | "s.whatsapp.net")) => user.split(':').next().unwrap_or(user),
            Some(_) => return None,
            None => text,
        };
        // A spreadsheet shows a number with decimals: `.0`, in Indonesia `,0`.
        let text = match text.split_once(['.', ',']) {
            Some((whole, "0" | "00")) if is_long_enough(whole) => whole,
            _ => text,
        };
        // `+44 (0)20 7946 0018`: the 0 is for calls within the country.
        let text = match text.split_once("(0)") {
            Some((code, rest)) if code.contains(|c: char| c.is_ascii_digit()) => {
                Cow::from(format!("{code}{rest}"))
            }
            _ => Cow::from(text),
        };
        let (mut digits, mut is_international) = (String::new(), false);
        let (mut last, mut repeated) = (' ', 0);
        for c in text.chars() {
            match c {
                '0'..='9' => digits.push(c),
                '+' if digits.is_empty() && !is_international => is_international = true,
                c if is_separator(c) => {}
                _ => return None,
            }
            repeated = if c == last { repeated + 1 } else { 0 };
            // `62812-----0001` hides digits.
            if repeated == 2 && is_separator(c) && !c.is_whitespace() {
                return None;
            }
            last = c;
        }
        if let Some(rest) = digits.strip_prefix("00") {
            (is_international, digits) = (true, rest.to_owned());
        }
        DIGITS.contains(&digits.len()).then_some(Self { is_international, digits })
    }

    /// The digits with a country code; `None` if these are too many.
    fn with_country_code(&self, is_international: bool) -> Option<String> {
        let Self { digits, .. } = self;
        let national = match digits.strip_prefix('0') {
            // A 0 in front of a whole mobile number. Landlines of the area code 0628 are shorter.
            Some(rest) if rest.starts_with("628") && rest.len() >= 11 => None,
            Some(rest) => Some(rest),
            // With 13 digits it is a Chinese number with its country code.
            None => Some(digits.as_str())
                .filter(|digits| !is_international && digits.starts_with('8') && digits.len() < 13),
        };
        let number = match national {
            Some(national) => format!("{COUNTRY_CODE}{national}"),
            None => digits.trim_start_matches('0').to_owned(),
        };
        // `+62 0812…`
        let number = match number.strip_prefix("620") {
            Some(national) => format!("{COUNTRY_CODE}{national}"),
            None => number,
        };
        (number.len() <= *DIGITS.end()).then_some(number)
    }
}

/// Whether the text has enough digits for a number, apart from leading zeros.
fn is_long_enough(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit);
    digits.skip_while(|&c| c == '0').count() >= *DIGITS.start()
}

/// Whether people write this between the digits of a number.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || "-.()[]/".contains(c)
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}')
}

/// Converts full-width characters, `０` to `0`.
fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_number_have_one_form() {
        for text in [
            "6281277770007",
            "+6281277770007",
            "081277770007",
            "81277770007",
            "006281277770007",
            "6208127777 0007",
            "06281277770007",
            "+62 812-7777-0007",
            "+62 (0)812 7777 0007",
            "(+62) 812.7777.0007",
            "(0812) 7777-0007",
            "0812/7777/0007",
            "[62] 812 7777 0007",
            " 0812 7777 0007 ",
            "'081277770007",
            "=\"081277770007\"",
            "6281277770007.0",
            "6281277770007,00",
            "tel:+62-812-7777-0007",
            "whatsapp:+6281277770007",
            "6281277770007@c.us",
            "6281277770007@S.WhatsApp.net",
            "6281277770007:12@s.whatsapp.net",
            "\u{202a}+62 812\u{2011}7777\u{2011}0007\u{202c}",
            "\u{feff}0812\u{a0}7777\u{200b}0007",
            "+62\u{2009}812\u{2013}7777\u{2212}0007\u{200e}",
            "\t0812 7777\n0007\r\n",
            "０８１２－７７７７－０００７",
            "＋６２ 812 7777 0007",
        ] {
            assert_eq!(normalize(text).as_deref(), Some("6281277770007"), "{text}");
            assert_eq!(readings(text).len(), if text == "81277770007" { 2 } else { 1 }, "{text}");
        }
        for (text, expected) in [
            ("+6591234567", "6591234567"),
            ("0361/222387", "62361222387"),
            ("(021) 500-1234", "62215001234"),
            ("062820123", "6262820123"),
            ("+1 (202) 555-0143", "12025550143"),
            ("+44 (0)20 7946 0018", "442079460018"),
            ("8613812345678", "8613812345678"),
            ("1234567.0", "12345670"),
        ] {
            assert_eq!(normalize(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_phone_numbers() {
        for text in [
            "",
            "12",
            "1234567",
            "+",
            "ID.13491208655302741918",
            "13491208655302741918",
            "123456789012345@lid",
            "120363041234567890@g.us",
            "6281277770007-1612345678@g.us",
            "081277770007@example.com",
            "siti@example.com",
            "siti.rahma",
            "62812****0001",
            "62812xxxx0001",
            "62812-----0001",
            "62812....0001",
            "62812••••0001",
            "6.28128E+12",
            "0812-7777-0007, 0813-7777-0008",
            "081277770007 / 081377770008",
            "+62 812+7777",
            "wamid.HBgN",
            "24a60fba-3bc1-4694-9f51-66c4b74d1978",
            "n/a",
        ] {
            assert_eq!(normalize(text), None, "{text}");
            assert_eq!(account_readings(text), [text], "{text}");
        }
    }

    #[test]
    fn number_of_another_country_is_found_with_and_without_its_plus() {
        for number in ["819012345678", "85291234567"] {
            for stored in [number.to_owned(), format!("+{number}"), format!("00{number}")] {
                let stored = normalize(&stored).unwrap();
                for query in [number.to_owned(), format!("+ {number}")] {
                    assert!(readings(&query).contains(&stored), "{query}, {stored}");
                }
            }
        }
    }
}
