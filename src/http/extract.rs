//! axum's extractors, failing our way: theirs answer in plain text.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use chrono::{Days, NaiveDate, TimeZone, Utc};

use super::Error;
use crate::event::BodyHash;
use crate::model::Timestamp;

/// The most values of a parameter that may have several.
pub const MAX_VALUES: usize = 100;

/// The most characters of a text. No id, name or word of Qontak's comes near it.
pub const MAX_CHARACTERS: usize = 512;

/// The one id in a path. Whatever it looks like, an unknown id is a 404 of the handler's.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| Error::NotFound)?;
        // Postgres takes no NUL, and no id has one.
        if id.contains('\0') { Err(Error::NotFound) } else { Ok(Self(id)) }
    }
}

/// The query string, read parameter by parameter; [`finish`](Self::finish) then refuses all that
/// is wrong with it at once, naming each parameter and what is allowed.
pub struct Parameters {
    path: String,
    accept: String,
    /// What was given, each name with its values.
    given: BTreeMap<String, Vec<String>>,
    known: Vec<&'static str>,
    /// Those of the known ones that may have several values.
    lists: Vec<&'static str>,
    problems: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        type Pairs = axum::extract::Query<Vec<(String, String)>>;
        let Ok(OriginalUri(uri)) = OriginalUri::from_request_parts(parts, state).await;
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let accept = accept.unwrap_or_default().to_owned();
        let pairs = Pairs::try_from_uri(&parts.uri)
            .map_err(|_| Error::Unprocessable(vec!["the query string cannot be read".into()]))?;
        let (mut given, mut problems) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for (name, value) in pairs.0 {
            if value.contains('\0') || name.contains('\0') {
                problems.push(format!("{}: must not contain NUL", name.replace('\0', "")));
            } else {
                given.entry(name).or_default().push(value);
            }
        }
        let path = uri.path().to_owned();
        Ok(Self { path, accept, given, known: Vec::new(), lists: Vec::new(), problems })
    }
}

impl Parameters {
    /// Text of 1 to [`MAX_CHARACTERS`].
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.value(name)?;
        if is_too_long(&value) {
            return self.refuse(name, &format!("must be at most {MAX_CHARACTERS} characters"));
        }
        Some(value)
    }

    /// Whatever was given, if it is not empty.
    pub fn value(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let [value] = self.given.get(name)?.as_slice() else {
            return self.refuse(name, "must be given once");
        };
        let value = value.clone();
        if value.is_empty() { self.refuse(name, "must not be empty") } else { Some(value) }
    }

    /// Several texts, given as `name=a`, `name[]=a&name[]=b` or `name[0]=a&name[1]=b`, as clients of
    /// Qontak's API do.
    pub fn several(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.known.push(name);
        self.lists.push(name);
        let given = self.given.iter().filter(|(given, _)| list_name(given) == name);
        let values: Vec<String> = given.flat_map(|(_, values)| values).cloned().collect();
        let is_wrong = |value: &String| value.is_empty() || is_too_long(value);
        if values.iter().any(is_wrong) || values.len() > MAX_VALUES {
            let allowed = format!("up to {MAX_VALUES} texts of 1 to {MAX_CHARACTERS} characters");
            return self.refuse(name, &format!("must be {allowed}"));
        }
        (!values.is_empty()).then_some(values)
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.one_of(name, &["true", "false"]).map(|word| word == "true")
    }

    /// An integer within a range.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(name)?;
        let number = value.parse().ok().filter(|number| range.contains(number));
        let allowed = || format!("must be between {} and {}", range.start(), range.end());
        number.or_else(|| self.refuse(name, &allowed()))
    }

    /// One of a closed list of words.
    pub fn one_of(&mut self, name: &'static str, words: &[&str]) -> Option<String> {
        let value = self.value(name)?;
        if words.contains(&value.as_str()) {
            return Some(value);
        }
        self.refuse(name, &format!("must be one of {}", words.join(", ")))
    }

    /// The parameters `start_date` and `end_date`: from when on, and before when. Both may be days,
    /// which are whole ones in UTC, or times.
    pub fn period(&mut self) -> (Option<Timestamp>, Option<Timestamp>) {
        self.period_in(&Utc)
    }

    /// The same with the days of a time zone.
    pub fn period_in(&mut self, zone: &impl TimeZone) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.time("start_date", 0, zone), self.time("end_date", 1, zone))
    }

    /// A time, or the beginning of the day so many days after the one given.
    fn time(&mut self, name: &'static str, days: u64, zone: &impl TimeZone) -> Option<Timestamp> {
        // The `+` of an offset is a space, where it was not escaped.
        let text = self.value(name)?.replace(' ', "+");
        let day =
            text.parse().ok().and_then(|day: NaiveDate| day.checked_add_days(Days::new(days)));
        let midnight = day.and_then(|day| Timestamp::beginning(day, zone));
        let time = midnight.or_else(|| text.parse().ok().map(Timestamp));
        time.filter(|time| time.is_storable()).or_else(|| {
            self.refuse(name, "must be a day (2025-06-12) or a time (2025-06-12T02:15:03Z)")
        })
    }

    /// Notes that a parameter cannot be used.
    pub fn refuse<T>(&mut self, name: &str, allowed: &str) -> Option<T> {
        self.problems.push(format!("{name}: {allowed}"));
        None
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.as_str(), value.as_str()))
        })
    }

    /// The path that was asked.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The header `Accept`.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    /// The same list, from a cursor on that is to be appended.
    pub fn base(&self) -> String {
        let mut pairs = form_urlencoded::Serializer::new(format!("{}?", self.path));
        pairs.extend_pairs(self.pairs().filter(|(name, _)| *name != "cursor"));
        pairs.append_pair("cursor", "").finish()
    }

    /// Tells one query from another, whatever its page and form.
    pub fn fingerprint(&self) -> String {
        let mut text = self.path.clone();
        for (name, value) in self.pairs() {
            if !["limit", "cursor", "format", "is_counted"].contains(&name) {
                text.push_str(&format!("\0{name}\0{value}"));
            }
        }
        BodyHash::of(text.as_bytes()).to_hex()[..12].to_owned()
    }

    /// Refuses the request if anything given is unknown or cannot be used.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.given.keys() {
            let is_list = self.lists.contains(&list_name(name));
            if !is_list && !self.known.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let known = match self.known.join(", ") {
                    none if none.is_empty() => "there are none".to_owned(),
                    some => format!("known are {some}"),
                };
                self.problems.push(format!("{shown}: unknown parameter; {known}"));
            }
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Error::Unprocessable(self.problems)) }
    }
}

fn is_too_long(value: &str) -> bool {
    value.chars().count() > MAX_CHARACTERS
}

/// A name without the brackets by which it is one of several.
fn list_name(name: &str) -> &str {
    match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((list, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => list,
        _ => name,
    }
}
