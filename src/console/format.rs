//! Times, numbers and texts as people read them.
//!
//! Texts of others are hostile: maud escapes them, and here they are isolated (`bdi`), because an
//! override of the writing direction would otherwise turn what follows around.

pub mod text;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use maud::{Markup, html};

use super::preferences::{Language, Preferences};

/// A time; its title has the whole of it, with seconds and time zone.
pub fn time(preferences: &Preferences, at: DateTime<Utc>) -> Markup {
    let local = at.with_timezone(&preferences.zone);
    let today = Utc::now().with_timezone(&preferences.zone).date_naive();
    let clock = local.format("%H:%M");
    let short = if local.date_naive() == today {
        clock.to_string()
    } else {
        format!("{} {clock}", date(preferences, local.date_naive()))
    };
    stamp(preferences, at, &short)
}

/// The hour and minute of a time.
pub fn clock(preferences: &Preferences, at: DateTime<Utc>) -> Markup {
    let text = at.with_timezone(&preferences.zone).format("%H:%M").to_string();
    stamp(preferences, at, &text)
}

/// A time with seconds.
pub fn exact(preferences: &Preferences, at: DateTime<Utc>) -> Markup {
    let local = at.with_timezone(&preferences.zone);
    let text = format!("{} {}", date(preferences, local.date_naive()), local.format("%H:%M:%S"));
    stamp(preferences, at, &text)
}

fn stamp(preferences: &Preferences, at: DateTime<Utc>, text: &str) -> Markup {
    let title = at.with_timezone(&preferences.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    html! { time datetime=(at.to_rfc3339()) title=(title) { (text) } }
}

/// How long ago a time was, as `3 min`; its title has the time.
pub fn ago(preferences: &Preferences, at: DateTime<Utc>) -> Markup {
    let seconds = (Utc::now() - at).num_seconds().max(0);
    stamp(preferences, at, &duration(preferences, seconds as f64))
}

/// A day without the current year.
pub fn date(preferences: &Preferences, day: NaiveDate) -> String {
    const EN: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const ID: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"];
    let names = match preferences.language {
        Language::En => EN,
        Language::Id => ID,
    };
    let month = names[day.month0() as usize];
    if day.year() == Utc::now().with_timezone(&preferences.zone).year() {
        format!("{} {month}", day.day())
    } else {
        format!("{} {month} {}", day.day(), day.year())
    }
}

/// A duration in its two largest units.
pub fn duration(preferences: &Preferences, seconds: f64) -> String {
    let (day, hour, minute, second) = match preferences.language {
        Language::En => ("d", "h", "min", "s"),
        Language::Id => ("hari", "jam", "mnt", "dtk"),
    };
    let seconds = seconds.round().max(0.0) as u64;
    let two = |large: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{large} {}", names[0]),
        _ => format!("{large} {} {small} {}", names[0], names[1]),
    };
    match seconds {
        0..60 => format!("{seconds} {second}"),
        60..600 => two(seconds / 60, seconds % 60, [minute, second]),
        600..3600 => format!("{} {minute}", seconds / 60),
        3600..86_400 => two(seconds / 3600, seconds % 3600 / 60, [hour, minute]),
        _ => two(seconds / 86_400, seconds % 86_400 / 3600, [day, hour]),
    }
}

/// A duration, or a dash.
pub fn duration_or_dash(preferences: &Preferences, seconds: Option<f64>) -> String {
    seconds.map_or("–".to_owned(), |seconds| duration(preferences, seconds))
}

/// A number with separators of thousands.
pub fn number(preferences: &Preferences, number: i64) -> String {
    let separator = match preferences.language {
        Language::En => ',',
        Language::Id => '.',
    };
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "−" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

/// A share of a total in per cent; a dash without a total.
pub fn percent(preferences: &Preferences, part: i64, total: i64) -> String {
    if total == 0 {
        return "–".to_owned();
    }
    let percent = part as f64 * 100.0 / total as f64;
    let text = if percent >= 10.0 || percent == 0.0 {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    };
    match preferences.language {
        Language::En => text,
        Language::Id => text.replace('.', ","),
    }
}

/// A size in bytes, for people.
pub fn bytes(preferences: &Preferences, bytes: i64) -> String {
    match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} KB", number(preferences, bytes / 1000)),
        _ => format!("{} MB", number(preferences, bytes / 1_000_000)),
    }
}
