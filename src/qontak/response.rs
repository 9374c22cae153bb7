//! What a response means, and how long to wait after a 429.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::HeaderName;
use axum::http::header::{DATE, HeaderMap, RETRY_AFTER};
use chrono::DateTime;
use serde_json::Value;

use super::error::Error;
use super::transport::Answer;
use crate::model::Timestamp;

/// Added to the time that Qontak names: its numbers are whole seconds.
const MARGIN: Duration = Duration::from_secs(2);

/// Wait after a 429 that names no time; doubled with each further one.
const UNKNOWN_WAIT: Duration = Duration::from_secs(60);

/// The longest wait that is believed.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Skew of the clock that Mekari's gateway accepts.
const MAX_SKEW_SECONDS: i64 = 300;

/// Digits of the shortest number that may be a phone number. Dates have as many, and are left out as well.
const MIN_PHONE_DIGITS: usize = 7;

/// Maximum length of Qontak's messages in an error.
const MAX_MESSAGE: usize = 200;

/// The JSON of a successful response, or what is wrong.
pub fn read(answer: &Answer, route: &'static str, attempt: u32) -> Result<Value, Error> {
    let (status, host) = (answer.status, answer.host.clone());
    let json = serde_json::from_slice::<Value>(&answer.body).ok().map(without_nul);
    let messages = || json.as_ref().map_or_else(String::new, messages);
    match status.as_u16() {
        200..=299 => json.ok_or(Error::NotJson { host, status }),
        300..=399 => Err(Error::Redirected { host }),
        401 => Err(match skew_seconds(&answer.headers, Timestamp::now()) {
            Some(seconds) if seconds > MAX_SKEW_SECONDS => Error::Clock { host, seconds },
            _ => Error::Unauthorized { host },
        }),
        403 => Err(Error::Forbidden { host, messages: messages() }),
        404 => Err(Error::NotFound { host, route }),
        429 => {
            let wait = wait(&answer.headers, &messages(), attempt, Timestamp::now());
            Err(Error::RateLimited { host, wait })
        }
        500.. => Err(Error::Unavailable { host, status }),
        _ => {
            let fields = json.as_ref().map_or_else(String::new, fields);
            Err(Error::Rejected { host, status, messages: messages(), fields })
        }
    }
}

/// Removes NUL from all texts: Postgres stores none.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => text.replace('\0', "").into(),
        Value::Array(values) => values.into_iter().map(without_nul).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(name, value)| (name.replace('\0', ""), without_nul(value))).collect()
        }
        other => other,
    }
}

/// How far the server's clock differs from `now`.
fn skew_seconds(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.signed_duration_since(now.0).num_seconds().abs())
}

/// How long to wait after a 429: the longest of the times that its headers and messages name.
fn wait(headers: &HeaderMap, messages: &str, attempt: u32, now: Timestamp) -> Duration {
    const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
    let header = |name: &HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    // Documents do not say whether it is a time or a duration.
    let unix = now.0.timestamp().unsigned_abs();
    let reset = header(&RESET)
        .map(|reset| if reset > unix / 2 { reset.saturating_sub(unix) } else { reset });
    let message = messages.split_once("rate_limit_reset:").and_then(|(_, rest)| {
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    let named = [header(&RETRY_AFTER), reset, message].into_iter().flatten().max();
    let wait = match named {
        Some(seconds) => Duration::from_secs(seconds).saturating_add(MARGIN),
        None => UNKNOWN_WAIT * 2_u32.pow(attempt.min(4)),
    };
    wait.min(MAX_WAIT)
}

/// Texts of `error.messages` in any of their forms, or of the gateway's `message`.
fn messages(body: &Value) -> String {
    let mut texts = Vec::new();
    collect(&body["error"]["messages"], &mut texts);
    collect(&body["message"], &mut texts);
    let texts: Vec<String> = texts.into_iter().map(without_secrets).collect();
    let text = texts.join("; ");
    if text.is_empty() { "no message".to_owned() } else { text.chars().take(MAX_MESSAGE).collect() }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// Names of the fields that Rails' form of an error is about.
fn fields(body: &Value) -> String {
    let messages = body["error"]["messages"].as_array().into_iter().flatten();
    let errors = messages.filter_map(|message| message["active_model_errors"].as_object());
    let is_name = |name: &&str| {
        name.len() < 40 && name.bytes().all(|c| c.is_ascii_lowercase() || b"_.".contains(&c))
    };
    let names: BTreeSet<&str> =
        errors.flat_map(|errors| errors.keys().map(String::as_str)).filter(is_name).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Qontak's messages may repeat what was sent: leaves out URLs, long words, since tokens are long, and
/// phone numbers, which may be written in groups.
fn without_secrets(text: &str) -> String {
    let is_secret = |word: &str| word.contains("://") || word.len() >= 20;
    let is_part = |word: &str| word.bytes().all(|c| c.is_ascii_digit() || b"+-().,;:".contains(&c));
    let digits = |words: &[&str]| {
        words.iter().flat_map(|word| word.bytes()).filter(u8::is_ascii_digit).count()
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let groups = words.chunk_by(|a, b| is_part(a) && is_part(b));
    let shown = groups.map(|group| {
        let is_number = digits(group) >= MIN_PHONE_DIGITS;
        if is_number || group.iter().any(|word| is_secret(word)) {
            "…".to_owned()
        } else {
            group.join(" ")
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            host: "api.example".into(),
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn waits_are_the_longest_of_all_that_are_named() {
        let now = Timestamp::parse("2025-06-12T03:30:00Z").unwrap();
        let in_30 = (now.0.timestamp() + 30).to_string();
        for (retry_after, reset, message, seconds) in [
            (Some("5"), None, "", 7),
            (None, Some("9"), "", 11),
            (None, Some(in_30.as_str()), "", 32),
            (None, None, "Too many requests; rate_limit_reset: 66", 68),
            (Some("5"), Some("9"), "rate_limit_reset: 3", 11),
            (Some("99999999"), None, "", 3600),
            (Some("soon"), None, "rate_limit_reset: x", 60),
            (None, None, "", 60),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("retry-after", retry_after), ("x-ratelimit-reset", reset)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
            let wait = wait(&headers, message, 0, now);
            assert_eq!(wait.as_secs(), seconds, "{retry_after:?} {reset:?} {message}");
        }
        assert_eq!(super::wait(&HeaderMap::new(), "", 2, now).as_secs(), 240);
    }

    #[test]
    fn messages_are_read_in_every_form_and_without_secrets() {
        for (body, expected) in [
            (json!({"error": {"messages": ["Too many", "again"]}}), "Too many; again"),
            (json!({"error": {"messages": "Invalid token"}}), "Invalid token"),
            (
                json!({"error": {"messages": [{"active_model_errors": {"offset": ["must be an integer"]}, "type": "expectation_failed"}]}}),
                "must be an integer; expectation_failed",
            ),
            (json!({"message": "Unauthorized"}), "Unauthorized"),
            (json!({"error": 1}), "no message"),
            (
                json!({"error": {"messages": ["url https://a.example/b is taken by 0123456789abcdef0123"]}}),
                "url … is taken by …",
            ),
            (
                json!({"error": {"messages": ["+6281200010001 is invalid since 2025-06-12"]}}),
                "… is invalid since …",
            ),
            (
                json!({"error": {"messages": ["call +62 812 0001 0001 or 81200010, code 1015"]}}),
                "call … or … code 1015",
            ),
        ] {
            assert_eq!(messages(&body), expected, "{body}");
        }
    }

    #[test]
    fn every_status_has_its_error() {
        let show = |status, body| match read(&answer(status, body), "rooms", 0) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        };
        for (status, body, expected) in [
            (200, "{}", "{}"),
            (200, r#"{"a\u0000":["b\u0000c"]}"#, r#"{"a":["bc"]}"#),
            (200, "<html>", "api.example answered 200 OK without JSON; check base_url"),
            (302, "", "api.example redirects; set the address that it redirects to"),
            (404, "", "api.example does not know rooms"),
            (502, "<html>", "api.example is unavailable (502 Bad Gateway); retry later"),
            (
                422,
                r#"{"error":{"messages":["bad"]}}"#,
                "api.example rejected the request with 422 Unprocessable Entity: bad",
            ),
        ] {
            assert_eq!(show(status, body), expected);
        }
        let body = r#"{"error":{"messages":[{"active_model_errors":{"name":["Siti is taken"],"62 8":[]}}]}}"#;
        let error = read(&answer(422, body), "rooms", 0).unwrap_err().without_messages();
        assert_eq!(
            error,
            "api.example rejected the request with 422 Unprocessable Entity; fields: name"
        );
        assert!(show(401, "").contains("rejected the credentials"));
        let mut late = answer(401, "");
        let date = HeaderValue::from_static("Tue, 24 Aug 2021 02:18:19 GMT");
        late.headers.insert(DATE, date);
        let error = read(&late, "rooms", 0).unwrap_err().to_string();
        assert!(error.contains("the clock differs by "), "{error}");
    }
}
