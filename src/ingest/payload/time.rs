//! Reads times as senders print them.
//!
//! Qontak sends RFC 3339 and Unix times; Ruby on Rails and others print `2025-06-12 02:15:03 UTC`,
//! `2025-06-12 09:15:03 +0700` and more.

use crate::ingest::json::Value;
use crate::model::Timestamp;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// Result of [`parse`].
#[derive(Debug, PartialEq)]
pub struct ParsedTime {
    /// The time.
    pub time: Timestamp,
    /// False if the text had no zone and was read as UTC.
    pub has_zone: bool,
}

/// Parses a text or a number.
pub fn parse(value: Value<'_>) -> Option<ParsedTime> {
    let unix = |text: &str| Some(ParsedTime { time: parse_unix(text)?, has_zone: true });
    match value {
        Value::String(_) => {
            let text = value.text()?;
            unix(text.trim()).or_else(|| parse_date_time(text.trim()))
        }
        // `f64` prints all digits, never an exponent.
        Value::Number(_) => {
            let number = value.number()?;
            match number.as_i64() {
                Some(number) => unix(&number.to_string()),
                None => unix(&number.as_f64()?.to_string()),
            }
        }
        _ => None,
    }
}

/// Seconds since 1970; milliseconds if there are 12 digits or more, microseconds from 15 on. A
/// fraction is allowed.
fn parse_unix(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nanos_per_unit = match whole.len() {
        ..12 => 1_000_000_000,
        12..15 => 1_000_000,
        _ => 1_000,
    };
    let whole = whole.parse::<i64>().ok()?.checked_mul(nanos_per_unit)?;
    let fraction = i64::from(nanos(fraction)?) / (1_000_000_000 / nanos_per_unit);
    Some(Timestamp(DateTime::from_timestamp_nanos(whole.checked_add(fraction)?)))
}

/// A date, `T` or a blank, hours and minutes, perhaps seconds with a fraction, perhaps a zone.
fn parse_date_time(text: &str) -> Option<ParsedTime> {
    let (date, rest) = text.split_at_checked("2025-06-12".len())?;
    let clock = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    let end = clock.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'));
    let (clock, zone) = clock.split_at(end.unwrap_or(clock.len()));
    let date = parse_date(date)?;
    let clock = parse_clock(clock)?;
    let zone = zone.trim_start();
    let offset = if zone.is_empty() { TimeDelta::zero() } else { parse_offset(zone)? };
    let time = NaiveDateTime::new(date, clock).checked_sub_signed(offset)?;
    Some(ParsedTime { time: Timestamp(time.and_utc()), has_zone: !zone.is_empty() })
}

/// `2025-06-12`. chrono's formats would take a tenth of the time that parsing a body takes.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let (year, month_day) = text.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let year = number(year, 4)?.try_into().ok()?;
    NaiveDate::from_ymd_opt(year, number(month, 2)?, number(day, 2)?)
}

/// `02:15`, `02:15:03` or `02:15:03.123`, with any number of decimals. A leap second is 60.
fn parse_clock(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = parts.next();
    if parts.next().is_some() || second.is_none() && text.len() > clock.len() {
        return None;
    }
    let second = second.map_or(Some(0), |second| number(second, 2))?;
    let nanos = nanos(fraction)?;
    match second {
        60 => NaiveTime::from_hms_nano_opt(hour, minute, 59, 1_000_000_000 + nanos),
        _ => NaiveTime::from_hms_nano_opt(hour, minute, second, nanos),
    }
}

/// Nanoseconds of the decimals of a second. Digits beyond nanoseconds do not matter.
fn nanos(decimals: &str) -> Option<u32> {
    if decimals.is_empty() {
        return Some(0);
    }
    let digits = decimals.get(..9).unwrap_or(decimals);
    Some(number(digits, 9)? * 10_u32.pow(9 - digits.len() as u32))
}

/// A number of at most this many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Offset from UTC: `Z`, `UTC`, `GMT`, `+07:00`, `+0700` or `+07`.
fn parse_offset(zone: &str) -> Option<TimeDelta> {
    if ["Z", "UTC", "GMT"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Some(TimeDelta::zero());
    }
    let (sign, digits) = match zone.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        _ => (digits.get(..2)?, digits.get(2..)?.trim_start_matches(':')),
    };
    let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
    let offset = TimeDelta::minutes(sign * i64::from(minutes));
    Some(offset).filter(|offset| offset.abs() <= TimeDelta::hours(24))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(form: &serde_json::Value) -> Option<ParsedTime> {
        super::parse(Value::new(&form.to_string()))
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse().unwrap())
    }

    #[test]
    fn all_forms_of_a_time_are_parsed() {
        let forms = [
            json!("2025-06-12T02:15:03Z"),
            json!("2025-06-12t02:15:03.000z"),
            json!("2025-06-12T09:15:03+07:00"),
            json!("2025-06-12T09:15:03+0700"),
            json!("2025-06-12T09:15:03+07"),
            json!(" 2025-06-12 02:15:03 UTC "),
            json!("2025-06-12 02:15:03 utc"),
            json!("2025-06-12 02:15:03 GMT"),
            json!("2025-06-12 09:15:03 +0700"),
            json!("2025-06-12 09:15:03 +07:00"),
            json!("2025-06-12 09:15:03+07"),
            json!("2025-06-11 21:45:03.000000 -04:30"),
            json!("2025-06-12T02:15:03.000000000Z"),
            json!("1749694503"),
            json!(1_749_694_503),
            json!(1_749_694_503.0),
            json!("1749694503.0"),
            json!("1749694503000"),
            json!(1_749_694_503_000_i64),
            json!("1749694503000000"),
            json!(1_749_694_503_000_000_i64),
        ];
        let expected = ParsedTime { time: at("2025-06-12T02:15:03Z"), has_zone: true };
        for form in forms {
            assert_eq!(parse(&form).as_ref(), Some(&expected), "{form}");
        }
    }

    #[test]
    fn fractions_are_kept() {
        for (form, expected) in [
            (json!("2025-06-12 02:15:03.123456 UTC"), "2025-06-12T02:15:03.123456Z"),
            (json!("1749694503.25"), "2025-06-12T02:15:03.250Z"),
            (json!(1_749_694_503.25), "2025-06-12T02:15:03.250Z"),
            (json!("1749694503.123456789123"), "2025-06-12T02:15:03.123456789Z"),
            (json!("1749694503123.5"), "2025-06-12T02:15:03.1235Z"),
            (json!("1749694503123456"), "2025-06-12T02:15:03.123456Z"),
        ] {
            assert_eq!(parse(&form).map(|parsed| parsed.time), Some(at(expected)), "{form}");
        }
    }

    #[test]
    fn seconds_may_be_missing_and_a_missing_zone_is_utc() {
        for (form, expected, has_zone) in [
            ("2025-06-12T02:15Z", "2025-06-12T02:15:00Z", true),
            ("2025-06-12 09:15 +0700", "2025-06-12T02:15:00Z", true),
            ("2025-06-12 02:15", "2025-06-12T02:15:00Z", false),
            ("2025-06-12 02:15:03", "2025-06-12T02:15:03Z", false),
            ("2025-06-12T02:15:03.5", "2025-06-12T02:15:03.500Z", false),
            ("2025-06-12 2:15:03", "2025-06-12T02:15:03Z", false),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60Z", true),
        ] {
            let expected = Some(ParsedTime { time: at(expected), has_zone });
            assert_eq!(parse(&json!(form)), expected, "{form}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for form in [
            json!("kemarin sore"),
            json!("2025-06-12"),
            json!("2025-06-12T"),
            json!("2025-06-12T25:15:03Z"),
            json!("2025-13-12T02:15:03Z"),
            json!("2025-02-30T02:15:03Z"),
            json!("2025-06-12T02:15:03:04Z"),
            json!("2025-06-12T02:60:03Z"),
            json!("2025-06-12T02:15:61Z"),
            json!("2025-06-12T02:15.5Z"),
            json!("2025-06-12T02Z"),
            json!("2025-06-12 02:15:03 WIB"),
            json!("2025-06-12 02:15:03 +"),
            json!("2025-06-12 02:15:03 +7"),
            json!("2025-06-12 02:15:03 +07:00 extra"),
            json!("2025-06-1\u{e9}T02:15:03Z"),
            json!("2025-06-12 02:15:03 \u{e9}0700"),
            json!("99999999999999999999"),
            json!("."),
            json!(""),
            json!("-5"),
            json!("1749694503.x"),
            json!(1e300),
            json!(-1.5),
            json!([]),
            json!(true),
        ] {
            assert_eq!(parse(&form), None, "{form}");
        }
    }
}
