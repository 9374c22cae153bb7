//! Signature of a request to S3: AWS Signature Version 4, with everything in headers.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::media::hex;
use crate::model::Timestamp;

/// What is signed. The path has only characters that need no percent-encoding, and there is no query.
pub struct Request<'a> {
    /// `GET`, `PUT` or `DELETE`.
    pub method: &'a str,
    /// Value of the header `Host`.
    pub host: &'a str,
    /// Path.
    pub path: &'a str,
    /// Value of the header `x-amz-content-sha256`: SHA-256 of the body in hex.
    pub sha256: &'a str,
    /// Value of the header `x-amz-date`, see [`date`].
    pub date: &'a str,
}

/// Value of the header `x-amz-date`.
pub fn date(now: Timestamp) -> String {
    now.0.format("%Y%m%dT%H%M%SZ").to_string()
}

/// Value of the header `Authorization`.
pub fn authorization(request: &Request<'_>, region: &str, key_id: &str, secret: &str) -> String {
    const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
    let Request { method, host, path, sha256, date } = request;
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{sha256}\nx-amz-date:{date}\n\n\
         {SIGNED}\n{sha256}"
    );
    let day = &date[..8];
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(Sha256::digest(canonical)));
    let parts = [day, region, "s3", "aws4_request", &text];
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in parts {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key may have any length");
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={SIGNED}, Signature={}",
        hex(key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_as_by_amazons_client() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let date = date(Timestamp::parse("2013-05-24T00:00:00Z").unwrap());
        // By botocore 1.43.
        for (method, host, path, sha256, expected) in [
            (
                "GET",
                "examplebucket.s3.amazonaws.com",
                "/test.txt",
                EMPTY,
                "df548e2ce037944d03f3e68682813b093763996d597cf890ca3d9037fd231eb4",
            ),
            (
                "PUT",
                "minio:9000",
                "/copies/ab/abcdef",
                HELLO,
                "ca3252f75ee4c6d31f2de19b2260915d8ce173542c0872850b0a74a5d8a9119e",
            ),
            (
                "DELETE",
                "minio:9000",
                "/copies/ab/abcdef",
                EMPTY,
                "9580fbd5686a3115e12518f647b5610b3a6cd5d00d68042cbf24ae5abd7a355c",
            ),
        ] {
            let request = Request { method, host, path, sha256, date: &date };
            let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential={id}/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={expected}"
            );
            assert_eq!(authorization(&request, "us-east-1", id, secret), expected);
        }
    }
}
