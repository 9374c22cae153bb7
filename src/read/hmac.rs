//! Mekari's HMAC authentication: a signature over the date and the request line, instead of a key.
//!
//! The signed text repeats the path and the query of the request. Clients disagree on the query: the
//! documented sample signs it as sent, the official SDK signs it decoded. Both are accepted.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::request::Parts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use chrono::{DateTime, TimeDelta};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::key::PREFIX;
use crate::model::Timestamp;

/// Maximum difference between the header `Date` and our clock.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(300);

/// A request with a signature that is not checked yet.
pub struct SignedRequest {
    /// Id of the key, as the client calls itself.
    pub key_id: Uuid,
    signature: Vec<u8>,
    date: DateTime<chrono::FixedOffset>,
    /// What the client may have signed.
    texts: Vec<String>,
}

impl SignedRequest {
    /// Reads the headers `Authorization: hmac username="…", algorithm="hmac-sha256",
    /// headers="date request-line", signature="…"` and `Date`. `None` if they are incomplete.
    pub fn parse(parts: &Parts) -> Option<Self> {
        let (_, pairs) = text(&parts.headers, AUTHORIZATION.as_str())?.split_once(' ')?;
        let value = |name: &str| {
            let pair = pairs.split(',').find_map(|pair| pair.trim().strip_prefix(name));
            Some(pair?.trim_start().strip_prefix('=')?.trim().trim_matches('"'))
        };
        let names: Vec<String> =
            value("headers")?.split_whitespace().map(str::to_ascii_lowercase).collect();
        let is_complete =
            ["date", "request-line"].iter().all(|name| names.iter().any(|n| n == name));
        if !is_complete || !value("algorithm")?.eq_ignore_ascii_case("hmac-sha256") {
            return None;
        }
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        let (path, query) = (uri.path(), uri.query());
        let text_of = |query: Option<&str>| {
            let target = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
            let lines = names.iter().map(|name| match name.as_str() {
                "request-line" => Some(format!("{} {target} HTTP/1.1", parts.method)),
                header => Some(format!("{header}: {}", text(&parts.headers, header)?)),
            });
            Some(lines.collect::<Option<Vec<_>>>()?.join("\n"))
        };
        // In a form, a `+` is a space.
        let decoded = query.map(|query| [decode(query), decode(&query.replace('+', " "))]);
        let decoded = decoded.into_iter().flatten().flatten();
        let texts = std::iter::once(text_of(query))
            .chain(decoded.map(|query| text_of(Some(&query))))
            .collect::<Option<_>>()?;
        Some(Self {
            key_id: value("username")?.parse().ok()?,
            signature: BASE64.decode(value("signature")?).ok()?,
            date: DateTime::parse_from_rfc2822(text(&parts.headers, DATE.as_str())?).ok()?,
            texts,
        })
    }

    /// Whether this secret signed it, at most [`MAX_SKEW`] before or after `now`. The comparison takes
    /// constant time.
    pub fn is_signed_with(&self, secret: &str, now: Timestamp) -> bool {
        let skew = self.date.signed_duration_since(now.0).abs();
        let is_signature = |text: &String| sign(secret, text).verify_slice(&self.signature).is_ok();
        skew <= MAX_SKEW && self.texts.iter().any(is_signature)
    }
}

/// The secret of a key: derived, so that it is stored nowhere.
pub fn secret(hmac_secret: &SecretString, key_id: Uuid) -> String {
    let derived = sign(hmac_secret.expose_secret(), &format!("secret of api key {key_id}"));
    let digits = derived.finalize().into_bytes();
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{digits}")
}

/// Whether the header `Digest: SHA-256=…` is that of the body. Other algorithms are not known.
pub fn is_digest_of(digest: &str, body: &[u8]) -> bool {
    let hash = digest.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("sha-256"));
    hash.is_some_and(|(_, hash)| hash.trim() == BASE64.encode(Sha256::digest(body)))
}

fn sign(secret: &str, text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(text.as_bytes());
    mac
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn decode(query: &str) -> Option<String> {
    percent_decode_str(query).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const DATE_SENT: &str = "Thu, 12 Jun 2025 03:30:00 GMT";

    fn now() -> Timestamp {
        Timestamp("2025-06-12T03:30:00Z".parse().unwrap())
    }

    fn base64_of(secret: &str, text: &str) -> String {
        BASE64.encode(sign(secret, text).finalize().into_bytes())
    }

    fn request(method: &str, uri: &str, date: &str, signature: &str) -> SignedRequest {
        let authorization = format!(
            "hmac username=\"{}\", algorithm=\"hmac-sha256\", headers=\"date request-line\", \
             signature=\"{signature}\"",
            Uuid::nil()
        );
        let request = Request::builder().method(method).uri(uri).header(DATE, date);
        let request = request.header(AUTHORIZATION, authorization).body(()).unwrap();
        SignedRequest::parse(&request.into_parts().0).unwrap()
    }

    #[test]
    fn published_signatures_are_accepted() {
        let secret = "toko-maju-demo-secret";
        for (method, uri, signature) in [
            (
                "PUT",
                "/qontak/chat/v1/message_interactions",
                "1ohwwPNv1RXdhD0dQqGyCuExk53d7rGryH/X+XY/ZKc=",
            ),
            (
                "GET",
                "/qontak/chat/v1/rooms?status=resolved&limit=100",
                "m8y2ssWFBlgJ65TTey5H9hfExYeUnM1kc6IP0CiJPrc=",
            ),
        ] {
            let request = request(method, uri, DATE_SENT, signature);
            assert!(request.is_signed_with(secret, now()), "{uri}");
            assert!(!request.is_signed_with("another secret", now()), "{uri}");
        }
        let date = "Tue, 24 Aug 2021 02:18:19 GMT";
        let signature = "r70pUQMDXWaFUEWPybBbn9d+ae2naufbIckiT6wcAio=";
        let request = request("POST", "/foo/bar?hello=world", date, signature);
        let at = |time: &str| Timestamp(time.parse().unwrap());
        assert!(request.is_signed_with("CLIENT_SECRET", at("2021-08-24T02:18:19Z")));
        for (time, is_valid) in [
            ("2021-08-24T02:23:19Z", true),
            ("2021-08-24T02:13:19Z", true),
            ("2021-08-24T02:23:20Z", false),
            ("2021-08-24T02:13:18Z", false),
        ] {
            assert_eq!(request.is_signed_with("CLIENT_SECRET", at(time)), is_valid, "{time}");
        }
    }

    #[test]
    fn query_may_be_signed_as_sent_or_decoded() {
        let line = |query| format!("date: {DATE_SENT}\nGET /rooms?{query} HTTP/1.1");
        for (sent, signed) in [
            ("tags%5B%5D=a", "tags%5B%5D=a"),
            ("tags%5B%5D=a", "tags[]=a"),
            ("query=siti+rahma", "query=siti rahma"),
            ("query=siti+rahma", "query=siti+rahma"),
            ("query=siti%20rahma", "query=siti rahma"),
            ("cursor=MTc0OQ%3D%3D", "cursor=MTc0OQ=="),
        ] {
            let signature = base64_of("secret", &line(signed));
            let request = request("GET", &format!("/rooms?{sent}"), DATE_SENT, &signature);
            assert!(request.is_signed_with("secret", now()), "{sent} {signed}");
        }
        let signature = base64_of("secret", &line("limit=1"));
        let request = request("GET", "/rooms?limit=2", DATE_SENT, &signature);
        assert!(!request.is_signed_with("secret", now()));
    }

    #[test]
    fn signature_must_cover_date_and_request_line() {
        let complete = "hmac username=\"00000000-0000-0000-0000-000000000000\", \
            algorithm=\"hmac-sha256\", headers=\"date request-line\", signature=\"AA==\"";
        let is_read = |authorization: &str, date: Option<&str>| {
            let mut request = Request::get("/rooms").header(AUTHORIZATION, authorization);
            if let Some(date) = date {
                request = request.header(DATE, date);
            }
            SignedRequest::parse(&request.body(()).unwrap().into_parts().0).is_some()
        };
        assert!(is_read(complete, Some(DATE_SENT)));
        assert!(is_read(
            &complete.replace("date request-line", "request-line date"),
            Some(DATE_SENT)
        ));
        assert!(!is_read(complete, None));
        assert!(!is_read(complete, Some("2025-06-12T03:30:00Z")));
        for (part, replacement) in [
            ("date request-line", "date"),
            ("date request-line", "request-line"),
            ("date request-line", "date request-line x-absent"),
            ("hmac-sha256", "hmac-sha1"),
            ("AA==", "not base64"),
            ("00000000-0000-0000-0000-000000000000", "somebody"),
            (", signature=\"AA==\"", ""),
        ] {
            let authorization = complete.replace(part, replacement);
            assert!(!is_read(&authorization, Some(DATE_SENT)), "{authorization}");
        }
    }

    #[test]
    fn published_digests_are_accepted() {
        let body = br#"{"receive_message_from_customer":true,"receive_message_from_agent":true,"status_message":true,"broadcast_log_status":true,"url":"https://hook.tokomaju.example/in/demo-token"}"#;
        for (digest, body) in [
            ("SHA-256=meeyEm7hZ69SSxI55rkMWr5orTl6ZBau5CrLXQiA2AU=", &body[..]),
            ("SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", br#"{"hello": "world"}"#),
            ("sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", b""),
        ] {
            assert!(is_digest_of(digest, body), "{digest}");
            assert!(!is_digest_of(digest, b"{}"), "{digest}");
        }
        assert!(!is_digest_of("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", b""));
    }
}
