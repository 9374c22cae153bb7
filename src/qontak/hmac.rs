//! Signatures of Mekari's API gateway.

use axum::http::Method;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::model::Timestamp;

/// Value of the header `Date`, to be sent exactly as it is signed.
pub fn date(now: Timestamp) -> String {
    now.0.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Value of the header `Authorization` for a request to `target`, a path with its query.
///
/// The query is signed as it is sent, and Mekari's SDK signs the decoded one: callers send queries that
/// need no percent-encoding.
pub fn authorization(
    client_id: &str,
    secret: &str,
    method: &Method,
    target: &str,
    date: &str,
) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    // The words HTTP/1.1, whatever version is spoken.
    mac.update(format!("date: {date}\n{method} {target} HTTP/1.1").as_bytes());
    let signature = BASE64.encode(mac.finalize().into_bytes());
    format!(
        "hmac username=\"{client_id}\", algorithm=\"hmac-sha256\", headers=\"date request-line\", \
         signature=\"{signature}\""
    )
}

/// Value of the header `Digest` for a body.
pub fn digest(body: &[u8]) -> String {
    format!("SHA-256={}", BASE64.encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_published_signatures() {
        let toko_maju = ("toko-maju-demo-id", "toko-maju-demo-secret", "2025-06-12T03:30:00Z");
        let guide = ("CLIENT_ID", "CLIENT_SECRET", "2021-08-24T02:18:19Z");
        for ((id, secret, at), method, target, signature) in [
            (
                toko_maju,
                Method::PUT,
                "/qontak/chat/v1/message_interactions",
                "1ohwwPNv1RXdhD0dQqGyCuExk53d7rGryH/X+XY/ZKc=",
            ),
            (
                toko_maju,
                Method::GET,
                "/qontak/chat/v1/rooms?status=resolved&limit=100",
                "m8y2ssWFBlgJ65TTey5H9hfExYeUnM1kc6IP0CiJPrc=",
            ),
            (
                guide,
                Method::POST,
                "/foo/bar?hello=world",
                "r70pUQMDXWaFUEWPybBbn9d+ae2naufbIckiT6wcAio=",
            ),
        ] {
            let date = date(Timestamp::parse(at).unwrap());
            let expected = format!(
                "hmac username=\"{id}\", algorithm=\"hmac-sha256\", \
                 headers=\"date request-line\", signature=\"{signature}\""
            );
            assert_eq!(authorization(id, secret, &method, target, &date), expected);
        }
    }

    #[test]
    fn dates_have_two_digits_and_english_names() {
        let date_of = |text| date(Timestamp::parse(text).unwrap());
        assert_eq!(date_of("2025-06-12T03:30:00Z"), "Thu, 12 Jun 2025 03:30:00 GMT");
        assert_eq!(date_of("2025-03-02T03:04:05.9Z"), "Sun, 02 Mar 2025 03:04:05 GMT");
    }

    #[test]
    fn bodies_have_the_published_digests() {
        let put = br#"{"receive_message_from_customer":true,"receive_message_from_agent":true,"status_message":true,"broadcast_log_status":true,"url":"https://hook.tokomaju.example/in/demo-token"}"#;
        for (body, expected) in [
            (&put[..], "SHA-256=meeyEm7hZ69SSxI55rkMWr5orTl6ZBau5CrLXQiA2AU="),
            (br#"{"hello": "world"}"#, "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
            (b"", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ] {
            assert_eq!(digest(body), expected);
        }
    }
}
