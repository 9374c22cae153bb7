//! Why a request to the bucket failed: one sentence that says what to do, without credentials.

use std::time::Duration;

use axum::http::StatusCode;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    #[error(
        "cannot connect to {host}; check media.endpoint, its certificate, DNS and the firewall"
    )]
    Connect { host: String },
    #[error("connection to {host} was lost")]
    Lost { host: String },
    #[error("{host} did not respond within {limit:?}")]
    Timeout { host: String, limit: Duration },
    #[error("no such object in the bucket")]
    Missing,
    #[error("{host} has no such bucket; check media.bucket and media.path_style")]
    NoBucket { host: String },
    #[error("{host} does not know the key; check media.access_key_id")]
    UnknownKey { host: String },
    #[error("{host} rejected the signature; check media.secret_access_key")]
    Signature { host: String },
    #[error("{host} rejected the signature: the clock of this machine is wrong; synchronise it")]
    Clock { host: String },
    #[error("{host} has the bucket in another region; check media.region and media.endpoint")]
    Region { host: String },
    #[error("{host} forbids {method}; the key needs s3:GetObject, PutObject and DeleteObject")]
    Forbidden { host: String, method: String },
    #[error("{host} has no room left for the bucket; free some, or raise its quota")]
    Full { host: String },
    #[error("{host} answered {status} {code}; check media.endpoint")]
    Status { host: String, status: StatusCode, code: String },
    #[error("{host} sent other bytes than were stored")]
    Different { host: String },
}

impl BucketError {
    /// Reads a response that is no success.
    pub fn new(host: String, method: &str, status: StatusCode, body: &str) -> Self {
        let code = code(body).unwrap_or_default();
        match (code, status.as_u16()) {
            ("NoSuchKey", _) => Self::Missing,
            ("NoSuchBucket", _) => Self::NoBucket { host },
            ("InvalidAccessKeyId", _) => Self::UnknownKey { host },
            ("SignatureDoesNotMatch", _) => Self::Signature { host },
            ("RequestTimeTooSkewed", _) => Self::Clock { host },
            ("AuthorizationHeaderMalformed" | "PermanentRedirect", _) | (_, 301 | 307) => {
                Self::Region { host }
            }
            // MinIO's codes, and Ceph's.
            ("XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded", _)
            | (_, 507) => Self::Full { host },
            (_, 403) => Self::Forbidden { host, method: method.to_owned() },
            (code, _) => Self::Status { host, status, code: code.to_owned() },
        }
    }

    /// Whether a later request may succeed, without any change of settings.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Timeout { .. } | Self::Full { .. } => {
                true
            }
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// The element `Code` of an error, if it is one word.
fn code(body: &str) -> Option<&str> {
    let code = body.split_once("<Code>")?.1.split_once("</Code>")?.0;
    code.chars().all(|c| c.is_ascii_alphanumeric()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_servers_say_what_to_do() {
        for (status, body, expected) in [
            (404, "<Error><Code>NoSuchKey</Code></Error>", "no such object in the bucket"),
            (404, "<Error><Code>NoSuchBucket</Code>", "check media.bucket and media.path_style"),
            (403, "<Error><Code>InvalidAccessKeyId</Code>", "check media.access_key_id"),
            (403, "<Code>SignatureDoesNotMatch</Code>", "check media.secret_access_key"),
            (403, "<Code>RequestTimeTooSkewed</Code>", "the clock of this machine is wrong"),
            (403, "<Code>AccessDenied</Code>", "forbids PUT; the key needs s3:GetObject"),
            (301, "<Code>PermanentRedirect</Code>", "in another region; check media.region"),
            (400, "<Code>AuthorizationHeaderMalformed</Code>", "check media.region"),
            (507, "<Code>XMinioStorageFull</Code>", "no room left for the bucket; free some"),
            (400, "<Code>XMinioAdminBucketQuotaExceeded</Code>", "or raise its quota"),
            (403, "<Code>QuotaExceeded</Code>", "or raise its quota"),
            (503, "<Code>SlowDown</Code>", "answered 503 Service Unavailable SlowDown"),
            (404, "<html>", "answered 404 Not Found ; check media.endpoint"),
            (400, "<Code>a b: secret</Code>", "answered 400 Bad Request ; check"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = BucketError::new("s3.example".to_owned(), "PUT", status, body);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
