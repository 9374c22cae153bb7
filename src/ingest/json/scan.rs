//! Scanner of JSON text: checks values and finds where they end.
//!
//! Accepts exactly the texts that serde_json can hold in a `Value`; the fuzz test compares both.
//! Allocates nothing, so a body costs no memory for what is not read.

use serde_json::Number;

/// Maximum levels of nesting, those of serde_json.
const MAX_DEPTH: u8 = 127;

/// Longest number that needs no further check: it is finite, and Postgres accepts it.
const MAX_NUMBER_BYTES: usize = 32;

/// A position in JSON text. Methods return `None` if the text is not JSON, or beyond the limits.
#[derive(Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
    /// Greatest number of arrays and objects around a value so far.
    pub deepest: u8,
    /// Whether Postgres accepts the text so far as it is: there is no NUL and no unusual number.
    pub is_plain: bool,
}

impl<'a> Scanner<'a> {
    /// Starts at a position of the text.
    pub const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0, deepest: 0, is_plain: true }
    }

    /// Position in the text.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The text from here on.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips blanks.
    pub fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Enters an array or object that ends with `close`. Returns whether it has an element.
    pub fn enter(&mut self, close: u8) -> Option<bool> {
        self.at += 1;
        self.skip_blanks();
        if self.depth == MAX_DEPTH {
            return None;
        }
        if self.eat(close) {
            return Some(false);
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Some(true)
    }

    /// Skips what follows an element. Returns whether it is another element.
    pub fn next(&mut self, close: u8) -> Option<bool> {
        self.skip_blanks();
        if self.eat(b',') {
            self.skip_blanks();
            return Some(true);
        }
        self.depth -= 1;
        self.eat(close).then_some(false)
    }

    /// Skips a key and its colon. Returns the key with its quotes.
    pub fn key(&mut self) -> Option<&'a str> {
        let key = self.string()?;
        self.skip_blanks();
        if !self.eat(b':') {
            return None;
        }
        self.skip_blanks();
        Some(key)
    }

    /// Skips a value.
    pub fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' => {
                let mut has_next = self.enter(b'}')?;
                while has_next {
                    self.key()?;
                    self.value()?;
                    has_next = self.next(b'}')?;
                }
            }
            b'[' => {
                let mut has_next = self.enter(b']')?;
                while has_next {
                    self.value()?;
                    has_next = self.next(b']')?;
                }
            }
            b'n' => self.word("null")?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            _ => {
                self.number()?;
            }
        }
        Some(())
    }

    /// Skips a string. Returns it with its quotes.
    pub fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        if !self.eat(b'"') {
            return None;
        }
        loop {
            self.at += plain_len(&self.text.as_bytes()[self.at..]);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[start..self.at]);
                }
                b'\\' => self.escape()?,
                // A control character.
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.text.as_bytes().get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => match self.code_unit()? {
                // Surrogates are valid in pairs only.
                0xd800..=0xdbff => {
                    let second = self.code_unit()?;
                    (0xdc00..=0xdfff).contains(&second).then_some(())?;
                }
                0xdc00..=0xdfff => return None,
                0 => self.is_plain = false,
                _ => {}
            },
            _ => return None,
        }
        Some(())
    }

    /// Skips a code unit of UTF-16: `\u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes()[self.at..].strip_prefix(br"\u")?.get(..4)?;
        self.at += 6;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    /// Skips a number and returns it.
    pub fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        let has_exponent = self.eat(b'e') || self.eat(b'E');
        if has_exponent {
            _ = self.eat(b'+') || self.eat(b'-');
            // More digits could be beyond the range of `f64` or of Postgres.
            self.is_plain &= self.digits()? <= 2;
        }
        let number = &self.text[start..self.at];
        self.is_plain &= number.len() <= MAX_NUMBER_BYTES;
        if (has_exponent || number.len() > MAX_NUMBER_BYTES)
            && serde_json::from_str::<Number>(number).is_err()
        {
            return None;
        }
        Some(number)
    }

    /// Skips digits and counts them; there must be at least one.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Some(self.at - start).filter(|digits| *digits > 0)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }
}

/// Number of bytes before the first quote, backslash or control character. Looks at eight bytes at a
/// time: most of a body is text.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    // Sets the highest bit of bytes that are less than `limit`; beyond the first of them perhaps
    // also of others.
    let less = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES * 0x80);
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
        let special = quote | backslash | less(word, 0x20);
        if special != 0 {
            return i * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    let end = rest.iter().position(is_special).unwrap_or(rest.len());
    words.len() * 8 + end
}
