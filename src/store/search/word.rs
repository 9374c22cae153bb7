//! Words of a text, as the SQL function `message_words` splits them.

use sqlx::PgExecutor;

/// Maximum number of characters of a word. The index has no more of a longer one.
const MAX_CHARACTERS: usize = 100;

/// The characters that separate words. Must agree with the SQL function `message_words`.
macro_rules! separators {
    () => {
        concat!(
            r"\u0001-/:-@\[-`{-\u00a9\u00ab-\u00b1\u00b6\u00b7\u00bb\u00bf\u2000-\u206f\u20a0-\u20ff",
            r"\u2e00-\u2e7f\u3000-\u3004\u3008-\u303f\ufe00-\ufe6f\ufeff-\uff0f\uff1a-\uff20",
            r"\uff3b-\uff40\uff5b-\uff65\uffdd-\uffff",
        )
    };
}

/// Regular expression for a text with 1 to 8 words. It takes emoji as parts of words, because not
/// every engine can name characters beyond the Basic Multilingual Plane.
pub const PATTERN: &str = concat!(
    "^[",
    separators!(),
    r"]*[^",
    separators!(),
    "]+(?:[",
    separators!(),
    r"]+[^",
    separators!(),
    "]+){0,7}[",
    separators!(),
    "]*$",
);

/// Splits a text into words, which spaces and punctuation separate, and `rp` before digits. Each
/// emoji or other symbol is a word; repeats of it are left out.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars().map(|c| c.to_ascii_lowercase()).peekable();
    while let Some(c) = characters.next() {
        let mut symbol = String::new();
        if is_flag_letter(c) && characters.peek().copied().is_some_and(is_flag_letter) {
            symbol.push(c);
            symbol.extend(characters.next());
        } else if is_symbol(c) {
            symbol.push(c);
        } else if !is_separator(c) {
            word.push(c);
            continue;
        }
        end_word(&mut words, &mut word);
        if !symbol.is_empty() && !words.contains(&symbol) {
            words.push(symbol);
        }
    }
    end_word(&mut words, &mut word);
    words
}

fn end_word(words: &mut Vec<String>, word: &mut String) {
    let is_amount = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    let rest = word.strip_prefix("rp").filter(is_amount).unwrap_or(word);
    // The index has `rp` as a word only of a message with a space between it and the amount.
    if is_amount(&rest) && words.last().is_some_and(|last| last == "rp") {
        words.pop();
    }
    if !rest.is_empty() {
        words.push(rest.chars().take(MAX_CHARACTERS).collect());
    }
    word.clear();
}

/// Folds a text with the SQL function that the indexes use.
pub async fn fold(db: impl PgExecutor<'_>, text: &str) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"select search_fold($1) as "folded!""#, text).fetch_one(db).await
}

/// Whether a character is half of a flag.
const fn is_flag_letter(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Whether a character is a word of its own: emoji, arrows and other symbols.
const fn is_symbol(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{245f}' | '\u{2500}'..='\u{2bff}' | '\u{1f000}'..='\u{1f1e5}'
        | '\u{1f200}'..='\u{1faff}')
}

/// Whether a character separates words, as in `separators`.
const fn is_separator(c: char) -> bool {
    matches!(c,
        '\0'..='/' | ':'..='@' | '['..='`' | '{'..='\u{a9}' | '\u{ab}'..='\u{b1}'
        | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2000}'..='\u{206f}'
        | '\u{20a0}'..='\u{20ff}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{3004}'
        | '\u{3008}'..='\u{303f}' | '\u{fe00}'..='\u{fe6f}' | '\u{feff}'..='\u{ff0f}'
        | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}'
        | '\u{ffdd}'..='\u{ffff}')
}
