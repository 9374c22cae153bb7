//! A bucket of copies, at Amazon S3 or a server that speaks its protocol.
//!
//! Three kinds of requests suffice: a copy is written in one piece, since its length and hash are known, and a
//! file may have 2 GiB where S3 allows 5 GiB. So there are no parts of uploads to clean up, and the crate
//! `object_store` with its own HTTP client would be more, not less.

mod error;
mod signature;

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue, RANGE, USER_AGENT};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use uuid::Uuid;

pub use self::error::BucketError;
use super::download::{Content, Download};
use crate::config::Media;
use crate::model::Timestamp;

/// Time for connecting to each address of the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time until the server responds, and between two parts of a body. Copies are removed within a transaction,
/// which may be idle for 10 s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of the body of an error.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Content of the object with which the bucket is tested.
const TEST: &[u8] = b"written by qontak-receiver to test the bucket; may be deleted";

/// A bucket.
pub struct Bucket {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    /// Up to the name of an object.
    address: Uri,
    host: String,
    region: String,
    key_id: String,
    secret: SecretString,
    upload_timeout: Duration,
    /// Name of the object with which it is tested: another one for each process, or replicas would remove
    /// each other's.
    test_name: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Bucket {
    /// The bucket of the settings; `None` without one.
    pub fn new(settings: &Media) -> Option<Self> {
        let address = settings.bucket_address()?;
        let host = address.authority()?.to_string();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(10))
            .build(tls.wrap_connector(tcp));
        Some(Self {
            client,
            address,
            host,
            region: settings.region.as_str().to_owned(),
            key_id: settings.access_key_id.as_str().to_owned(),
            secret: settings.secret_access_key.clone(),
            upload_timeout: settings.timeout,
            test_name: format!("test-{}", Uuid::new_v4()),
        })
    }

    /// Writes, reads and removes an object. Not to be called twice at once.
    pub async fn test(&self) -> Result<(), BucketError> {
        let tested = self.write_and_read().await;
        // Also after an error: the object may have been written.
        let removed = self.remove(&self.test_name).await;
        tested.and(removed)
    }

    async fn write_and_read(&self) -> Result<(), BucketError> {
        let sha256 = super::hex(Sha256::digest(TEST));
        let request = self.put(&self.test_name, &sha256, TEST.len() as u64, TEST.into());
        self.send(request, RESPONSE_TIMEOUT).await?;
        let mut content = self.read(&self.test_name, 0, TEST.len() as u64).await?;
        let mut read = Vec::new();
        while let Some(part) = content.next().await {
            read.extend(part.map_err(|_| BucketError::Lost { host: self.host.clone() })?);
        }
        if read != TEST {
            return Err(BucketError::Different { host: self.host.clone() });
        }
        Ok(())
    }

    /// Writes a complete download.
    pub async fn upload(&self, download: Download, sha256: &str) -> Result<(), BucketError> {
        let bytes = download.bytes();
        let body = Body::from_stream(download.into_stream());
        let request = self.put(&super::name(sha256), sha256, bytes, body);
        self.send(request, self.upload_timeout).await?;
        Ok(())
    }

    fn put(&self, name: &str, sha256: &str, bytes: u64, body: Body) -> Request<Body> {
        let mut request = self.request(Method::PUT, name, sha256, body);
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        request
    }

    /// Reads a part of an object.
    pub async fn read(&self, name: &str, first: u64, length: u64) -> Result<Content, BucketError> {
        let Some(last) = (first + length).checked_sub(1).filter(|_| length > 0) else {
            return Ok(stream::empty().boxed());
        };
        let mut request = self.request(Method::GET, name, &empty(), Body::empty());
        let range = HeaderValue::try_from(format!("bytes={first}-{last}")).expect("digits");
        request.headers_mut().insert(RANGE, range);
        let response = self.send(request, RESPONSE_TIMEOUT).await?;
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT || first == 0;
        let sent = response.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if !is_part || sent.and_then(|it| it.parse().ok()) != Some(length) {
            return Err(BucketError::Different { host: self.host.clone() });
        }
        let parts = stream::try_unfold(response.into_body().into_data_stream(), |mut body| async {
            let next = timeout(RESPONSE_TIMEOUT, body.next()).await?;
            let part = next.transpose().map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(part.map(|part| (part, body)))
        });
        Ok(parts.boxed())
    }

    /// Removes an object; one that does not exist is none.
    pub async fn remove(&self, name: &str) -> Result<(), BucketError> {
        let request = self.request(Method::DELETE, name, &empty(), Body::empty());
        match self.send(request, RESPONSE_TIMEOUT).await {
            Ok(_) | Err(BucketError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A signed request.
    fn request(&self, method: Method, name: &str, sha256: &str, body: Body) -> Request<Body> {
        let uri: Uri = format!("{}{name}", self.address).parse().expect("names need no encoding");
        let date = signature::date(Timestamp::now());
        let (host, method_name, path) = (self.host.as_str(), method.as_str(), uri.path());
        let signed = signature::Request { method: method_name, host, path, sha256, date: &date };
        let secret = self.secret.expose_secret();
        let authorization = signature::authorization(&signed, &self.region, &self.key_id, secret);
        let mut authorization = HeaderValue::try_from(authorization).expect("checked as settings");
        authorization.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, host)
            .header(USER_AGENT, concat!("qontak-receiver/", env!("CARGO_PKG_VERSION")))
            .header("x-amz-content-sha256", sha256)
            .header("x-amz-date", date)
            .header(AUTHORIZATION, authorization)
            .body(body)
            .expect("checked as settings")
    }

    /// Returns a response whose status is a success.
    async fn send(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Incoming>, BucketError> {
        let host = || self.host.clone();
        let method = request.method().clone();
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                let host = host();
                let is_connect = error.is_connect();
                if is_connect { BucketError::Connect { host } } else { BucketError::Lost { host } }
            })?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let body = Limited::new(response.into_body(), MAX_ERROR_BYTES).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let body = String::from_utf8_lossy(&body);
            Err(BucketError::new(host(), method.as_str(), status, &body))
        };
        let late = |_| Err(BucketError::Timeout { host: host(), limit });
        timeout(limit, exchange).await.unwrap_or_else(late)
    }
}

/// Hash of no bytes.
fn empty() -> String {
    super::hex(Sha256::digest(Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn bucket_stands_in_the_path_or_the_host() {
        for (changes, expected) in [
            (&[][..], "https://s3.ap-southeast-3.amazonaws.com/copies/ab/abc"),
            (&[("PATH_STYLE", "false")], "https://copies.s3.ap-southeast-3.amazonaws.com/ab/abc"),
            (&[("ENDPOINT", "http://minio:9000")], "http://minio:9000/copies/ab/abc"),
        ] {
            let common = [
                ("BUCKET", "copies"),
                ("REGION", "ap-southeast-3"),
                ("ACCESS_KEY_ID", "id"),
                ("SECRET_ACCESS_KEY", "secret"),
            ];
            let settings = common.iter().chain(changes);
            let mut environment: std::collections::BTreeMap<String, String> = settings
                .map(|(name, value)| (format!("RECEIVER__MEDIA__{name}"), (*value).to_owned()))
                .collect();
            environment.insert("DATABASE_URL".into(), "postgres://localhost/receiver".into());
            let config = Config::read(None, environment).unwrap();
            let bucket = Bucket::new(&config.media).unwrap();
            let request = bucket.request(Method::GET, "ab/abc", &empty(), Body::empty());
            assert_eq!(request.uri().to_string(), expected);
            assert_eq!(request.headers()[HOST], request.uri().authority().unwrap().as_str());
        }
    }
}
