//! Search queries and the optional GIN indexes that serve them.
//!
//! The indexes are over expressions, so no column is written for search. They are not created by a
//! migration, because search can be switched off.

mod word;

use sqlx::{Connection, PgExecutor, PgPool};

use super::lock;
use crate::model::{Timestamp, phone};

/// Indexes by name. GIN collects new entries in a pending list that every search scans: a longer list
/// makes writes cheaper and searches slower.
const INDEXES: [(&str, &str); 2] = [
    (
        "message_by_word",
        "create index concurrently if not exists message_by_word on message
            using gin (message_words(organization, at, text, file, buttons, raw_message))
            with (gin_pending_list_limit = 1024)",
    ),
    (
        "room_by_word",
        "create index concurrently if not exists room_by_word on room
            using gin (room_words(name, account_normalized, channel_uniq_id) gin_trgm_ops)
            with (gin_pending_list_limit = 512)",
    ),
];

/// Creates the search indexes if search is `enabled`, or else drops them, without blocking writes.
/// With many messages this takes minutes. It does nothing while another replica does the same.
pub async fn sync_indexes(pool: &PgPool, enabled: bool) -> sqlx::Result<()> {
    let mut db = pool.acquire().await?.detach();
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(&mut db).await?;
    // `try`, because `concurrently` waits for all other statements, also for one that waits for this
    // lock.
    let lock = sqlx::query_scalar!(
        r#"select pg_try_advisory_lock($1) as "is_ours!""#,
        lock::SEARCH_INDEXES
    );
    if lock.fetch_one(&mut db).await? {
        if enabled {
            let extend = "create extension if not exists pg_trgm;
                create or replace function resembles(q text, words text) returns boolean
                    language sql stable parallel safe as 'select q <% words'";
            if !is_ready(&mut db).await? {
                sqlx::raw_sql(extend).execute(&mut db).await?;
            }
        }
        for (name, create) in INDEXES {
            let valid = sqlx::query_scalar!(
                r#"select indisvalid from pg_index where indexrelid = to_regclass($1)"#,
                name
            );
            let valid = valid.fetch_optional(&mut db).await?;
            // An invalid index is left over from an interrupted build.
            if valid == Some(false) || valid.is_some() && !enabled {
                let drop = format!("drop index concurrently if exists {name}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut db).await?;
            }
            if enabled && valid != Some(true) {
                sqlx::raw_sql(create).execute(&mut db).await?;
            }
        }
    }
    db.close().await
}

/// Whether all search indexes exist and are valid: without them a search would scan whole tables.
pub async fn is_ready(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
            select count(*) = 2 as "is_ready!"
            from pg_index
            where indisvalid
                and indexrelid in (to_regclass('message_by_word'), to_regclass('room_by_word'))
        "#
    )
    .fetch_one(db)
    .await
}

/// Prefixes of an Indonesian mobile number: people also write it without any.
const MOBILE: &[&str] = &["0", "62", ""];
/// Prefixes of another Indonesian phone number.
const LANDLINE: &[&str] = &["0", "62"];
/// Prefixes of other numbers, of which no digit is a country code or may be absent.
const OTHER: &[&str] = &[""];

/// A parsed search query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Words as entered.
    Words(Vec<String>),
    /// A phone number in any spelling, or six or more digits, which may be a part of one, or as entered
    /// an order number, a date or an amount.
    Number {
        /// All digits, without the 0 or 62 of an Indonesian phone number.
        phone: String,
        /// What may stand in front of them: see [`MOBILE`], [`LANDLINE`] and [`OTHER`].
        prefixes: &'static [&'static str],
        /// The groups of digits as entered.
        words: Vec<String>,
        /// The text as entered.
        text: String,
    },
}

impl Query {
    /// Maximum number of characters.
    pub const MAX_CHARACTERS: usize = 256;
    /// Maximum number of words.
    const MAX_WORDS: usize = 8;
    /// Error message for an invalid query.
    pub const ALLOWED: &'static str =
        "must have 1 to 8 words of letters, digits or emoji, and at most 256 characters";

    /// Regular expression for a valid query, except for the number of characters.
    pub const PATTERN: &str = word::PATTERN;

    /// Parses the text of a user. Words are in lower case as far as they are ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().count() > Self::MAX_CHARACTERS {
            return None;
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if let Some(number) = phone::normalize(text) {
            return Some(Self::phone(text, &digits, &number));
        }
        let words = word::split(text);
        if !(1..=Self::MAX_WORDS).contains(&words.len()) {
            return None;
        }
        let is_number = text.chars().all(|c| c.is_ascii_digit() || " +-.,/:()".contains(c));
        if is_number && digits.len() >= 6 {
            let national = digits.strip_prefix("62").or(digits.strip_prefix('0'));
            // With more digits it is too long for a phone number.
            let is_part = |national: &&str| digits.len() < 8 && national.starts_with('8');
            let (phone, prefixes) = match national.filter(is_part) {
                // The beginning of a mobile number.
                Some(national) => (national.to_owned(), MOBILE),
                None => (digits, OTHER),
            };
            let text = text.trim().to_owned();
            return Some(Self::Number { phone, prefixes, words, text });
        }
        Some(Self::Words(words))
    }

    /// Folds the words as the indexes are folded; `None` if that leaves no word, or more than allowed.
    pub async fn fold(self, db: impl PgExecutor<'_>) -> sqlx::Result<Option<Self>> {
        match self {
            Self::Words(words) if !words.iter().all(|word| word.is_ascii()) => {
                Ok(Self::parse(&word::fold(db, &words.join(" ")).await?))
            }
            is_folded => Ok(Some(is_folded)),
        }
    }

    /// The query for a text with these digits, which is a phone number in this normal form.
    fn phone(text: &str, digits: &str, number: &str) -> Self {
        let (phone, prefixes) = match number.strip_prefix("62") {
            Some(national) if national.starts_with('8') => (national, MOBILE),
            // Without a sign of a country code it may be any number that starts with 62.
            Some(national) if text.contains('+') || !digits.starts_with("62") => {
                (national, LANDLINE)
            }
            _ => (number, OTHER),
        };
        let mut words = split(&phone::visible(text), |c| c.is_ascii_digit());
        // Full-width digits, or single ones.
        if !(1..=Self::MAX_WORDS).contains(&words.len()) {
            words = vec![number.to_owned()];
        }
        let text = phone::visible(text).to_ascii_lowercase();
        Self::Number { phone: phone.to_owned(), prefixes, words, text }
    }

    /// Returns the `tsquery` over `message_words` for these days and, if given, these organisations
    /// (by number). Words of three or more characters match as prefixes, shorter ones as a whole.
    pub fn message_tsquery(
        &self,
        days: std::ops::RangeInclusive<i64>,
        organizations: Option<&[i32]>,
    ) -> String {
        let any = |terms: &[String]| {
            let each = days.clone().flat_map(|day| terms.iter().map(move |term| (day, term)));
            let each: Vec<String> = each.map(|(day, term)| format!("'{day:x}{term}")).collect();
            format!("({})", each.join("|"))
        };
        let all = |words: &[String]| {
            let each: Vec<String> = words.iter().map(|word| any(&[prefix_term(word)])).collect();
            each.join("&")
        };
        let words = match self {
            Self::Words(words) => all(words),
            Self::Number { phone, prefixes, words, .. } => {
                let exact = |word: &str| any(&[format!("{word}'")]);
                let formats = |digits: &str, suffix| {
                    let formats = prefixes.iter().map(|it| format!("{it}{digits}'{suffix}"));
                    any(&formats.collect::<Vec<_>>())
                };
                let mut either = vec![formats(phone, ":*"), all(words)];
                // A whole mobile number is usually written as `0812-7777-0007` or `0812-777-0007`.
                if *prefixes == MOBILE && (9..=12).contains(&phone.len()) {
                    let (head, rest) = phone.split_at(3);
                    let rest = [4, 3].map(|length| {
                        let (middle, end) = rest.split_at(length);
                        format!("{}&{}", exact(middle), exact(end))
                    });
                    either.push(format!("{}&({})", formats(head, ""), rest.join("|")));
                }
                format!("({})", either.join("|"))
            }
        };
        let organizations = organizations.map(|numbers| {
            let terms: Vec<String> = numbers.iter().map(|it| format!("~{it:x}'")).collect();
            any(&terms)
        });
        organizations.map_or_else(|| words.clone(), |numbers| format!("{words}&{numbers}"))
    }

    /// Returns `like` patterns that `message_text` must match.
    pub fn text_patterns(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.iter().map(|word| format!("%{word}%")).collect(),
            // Either form may match, so no pattern has to.
            Self::Number { .. } => Vec::new(),
        }
    }

    /// Returns what rooms must match.
    pub fn room_patterns(&self) -> RoomPatterns {
        match self {
            // A name contains the number as people write it, an account its digits.
            Self::Number { phone, text, .. } => RoomPatterns {
                pattern: format!("%{phone}%"),
                as_written: text
                    .contains(|c: char| !c.is_ascii_digit())
                    .then(|| format!("%{text}%")),
                resembled: None,
            },
            // `room_words` has several characters for each of theirs, so all look alike.
            Self::Words(words) if !words.iter().all(|word| word.is_ascii()) => {
                RoomPatterns { pattern: format!("%{}%", words.join("%")), ..Default::default() }
            }
            Self::Words(words) => {
                let text = words.join(" ");
                // Too short for trigrams: match the beginning of words only.
                if text.len() < 3 {
                    RoomPatterns { pattern: format!("% {text}%"), ..Default::default() }
                } else {
                    let resembled = Some(text.clone());
                    RoomPatterns { pattern: format!("%{text}%"), as_written: None, resembled }
                }
            }
        }
    }
}

/// What the `room_words` of a room must match, at least one of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RoomPatterns {
    /// A `like` pattern.
    pub pattern: String,
    /// Pattern of a number as written in a name.
    pub as_written: Option<String>,
    /// Text for a trigram similarity search.
    pub resembled: Option<String>,
}

/// The parts of a text that consist of such characters.
fn split(text: &str, is_part: fn(char) -> bool) -> Vec<String> {
    let words = text.split(|c| !is_part(c)).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The term of a word in a `tsquery`, without its day. Words of three or more characters match as
/// prefixes.
fn prefix_term(word: &str) -> String {
    let suffix = if word.chars().count() < 3 { "" } else { ":*" };
    format!("{word}'{suffix}")
}

/// Returns the day number of a time. Must agree with the SQL function `message_day`.
pub fn day(at: Timestamp) -> i64 {
    at.0.timestamp().div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_parsed_as_words_or_a_number() {
        let words = |words: &[&str]| {
            Some(Query::Words(words.iter().map(|&word| word.to_owned()).collect()))
        };
        let number = |phone: &str, prefixes: &'static [&'static str], words: &[&str]| {
            let words = words.iter().map(|&word| word.to_owned()).collect();
            Some(Query::Number { phone: phone.to_owned(), prefixes, words, text: String::new() })
        };
        for (text, expected) in [
            ("Halo, KAK!", words(&["halo", "kak"])),
            ("it's ok 😊😊", words(&["it", "s", "ok", "😊"])),
            ("a🇮🇩🇸🇬b", words(&["a", "🇮🇩", "🇸🇬", "b"])),
            ("Rp1.500, rp 2, rpm", words(&["1", "500", "2", "rpm"])),
            ("Rp 1.500.000 rp", words(&["1", "500", "000", "rp"])),
            ("rp", words(&["rp"])),
            ("12345", words(&["12345"])),
            ("0812-3456-7890", number("81234567890", MOBILE, &["0812", "3456", "7890"])),
            ("+62 812 3456 7890", number("81234567890", MOBILE, &["62", "812", "3456", "7890"])),
            ("(62)81234567890", number("81234567890", MOBILE, &["62", "81234567890"])),
            ("2025-06-0012", number("2025060012", OTHER, &["2025", "06", "0012"])),
            ("12/06/2025", number("12062025", OTHER, &["12", "06", "2025"])),
            ("tel:0812\u{2011}345678@c.us", number("812345678", MOBILE, &["0812", "345678"])),
            ("62812-34", number("81234", MOBILE, &["62812", "34"])),
            ("0361 222387", number("361222387", LANDLINE, &["0361", "222387"])),
            ("+62361222387", number("361222387", LANDLINE, &["62361222387"])),
            ("62361222387", number("62361222387", OTHER, &["62361222387"])),
            ("0123456", number("0123456", OTHER, &["0123456"])),
            ("+6591234567", number("6591234567", OTHER, &["6591234567"])),
            ("０８１２３４５６７８９", number("8123456789", MOBILE, &["628123456789"])),
            ("0812345678901234567", number("0812345678901234567", OTHER, &["0812345678901234567"])),
            ("'&|!:*\\", None),
            ("a b c d e f g h i", None),
        ] {
            let mut query = Query::parse(text);
            if let Some(Query::Number { text, .. }) = &mut query {
                text.clear();
            }
            assert_eq!(query, expected, "{text}");
        }
        assert_eq!(Query::parse(&"a".repeat(257)), None);
    }

    #[test]
    fn tsquery_contains_each_word_for_each_day() {
        let query = Query::Words(vec!["ok".to_owned(), "batik".to_owned()]);
        assert_eq!(
            query.message_tsquery(255..=256, Some(&[-1])),
            "('ffok'|'100ok')&('ffbatik':*|'100batik':*)&('ff~ffffffff'|'100~ffffffff')"
        );
    }

    #[test]
    fn tsquery_of_a_number_matches_a_phone_number_or_all_groups() {
        let query = Query::parse("0812-345").unwrap();
        assert_eq!(
            query.message_tsquery(255..=255, None),
            "(('ff0812345':*|'ff62812345':*|'ff812345':*)|('ff0812':*)&('ff345':*))"
        );
    }
}
