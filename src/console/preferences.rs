//! Preferences of a visitor: language, time zone and theme. Parameters of the page take precedence over
//! the cookie, so a link can name them.

use axum::body::Bytes;
use axum::http::header::{ACCEPT_LANGUAGE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::cookies;
use super::language::{ENGLISH, INDONESIAN, Words};
use super::parameters::Parameters;

const NAME: &str = "console_preferences";

/// Parameters of pages that take precedence over the cookie.
pub const NAMES: &[&str] = &["language", "time_zone", "theme"];

/// Time zones of the form: those of Indonesia first.
pub const ZONES: [Tz; 5] =
    [Tz::Asia__Jakarta, Tz::Asia__Makassar, Tz::Asia__Jayapura, Tz::Asia__Singapore, Tz::UTC];

/// Preferences of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Language of the pages.
    pub language: Language,
    /// Time zone of all times.
    pub zone: Tz,
    /// Colours.
    pub theme: Theme,
}

/// Language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Indonesian.
    Id,
}

/// Colours of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Theme {
    /// As the operating system.
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Preferences {
    /// Those of a request.
    pub fn of(parts: &Parts) -> Self {
        let query = Parameters::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let is_indonesian = accepted.is_some_and(|text| text.trim_start().starts_with("id"));
        let default = if is_indonesian { Language::Id } else { Language::En };
        let stored = cookies::value(&parts.headers, NAME).unwrap_or_default();
        let mut stored = stored.splitn(3, '.');
        let mut pick = |name| [query.get(name).to_owned(), stored.next().unwrap_or("").to_owned()];
        let [language, theme, zone] = [pick("language"), pick("theme"), pick("time_zone")];
        Self {
            language: first(&language).unwrap_or(default),
            theme: first(&theme).unwrap_or(Theme::Auto),
            zone: first(&zone).unwrap_or(Tz::Asia__Jakarta),
        }
    }

    /// The texts in the visitor's language.
    pub const fn words(self) -> &'static Words {
        match self.language {
            Language::En => &ENGLISH,
            Language::Id => &INDONESIAN,
        }
    }
}

/// The first text that can be parsed.
fn first<T: std::str::FromStr>(texts: &[String]) -> Option<T> {
    texts.iter().find_map(|text| text.parse().ok())
}

/// `POST /console/preferences`: stores them in a cookie. Holds nothing private, so it needs no session.
pub async fn save(headers: HeaderMap, body: Bytes) -> Response {
    if !cookies::is_same_origin(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let form = Parameters::parse(&body);
    let language: Language = form.get("language").parse().unwrap_or(Language::En);
    let theme: Theme = form.get("theme").parse().unwrap_or(Theme::Auto);
    let zone: Tz = form.get("time_zone").parse().unwrap_or(Tz::Asia__Jakarta);
    let (language, theme): (&str, &str) = (language.into(), theme.into());
    let cookie = Cookie::build((NAME, format!("{language}.{theme}.{zone}")))
        .path("/console")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::days(365));
    let target = cookies::own_page(form.get("next")).to_owned();
    (StatusCode::SEE_OTHER, [(LOCATION, target), (SET_COOKIE, cookie.to_string())]).into_response()
}
