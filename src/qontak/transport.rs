//! HTTP client with TLS: timeouts, a size limit, no redirects.
//!
//! hyper with rustls, ring and Mozilla's root certificates, as sqlx has it: one TLS stack in the binary,
//! no C library, and no dependence on certificates of the container image.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::error::Error;

/// Time for a request until the end of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Time for connecting to each address of a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a response body. A page of Qontak's lists has 100 KB.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// HTTP client; cheap to clone.
#[derive(Clone)]
pub struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

/// Response with its complete body.
pub struct Answer {
    /// Host that sent it, for errors.
    pub host: String,
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Default for Transport {
    fn default() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // The settings allow http only on this machine.
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(tls.wrap_connector(tcp));
        Self { client, timeout: REQUEST_TIMEOUT }
    }
}

impl Transport {
    /// Changes the timeout of a request.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a request and reads the whole response, whatever its status. The URL was validated when
    /// the settings were read.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder().method(method).uri(url);
        let host = request.uri_ref().and_then(|uri| uri.authority()).map(ToString::to_string);
        let host = host.unwrap_or_default();
        if let Some(all) = request.headers_mut() {
            *all = headers;
            let agent = concat!("qontak-receiver/", env!("CARGO_PKG_VERSION"));
            all.insert(USER_AGENT, HeaderValue::from_static(agent));
            if body.is_some() {
                all.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            }
        }
        let Ok(request) = request.body(Full::from(body.unwrap_or_default())) else {
            return Err(Error::Connect { host });
        };
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                let host = host.clone();
                match error.is_connect() {
                    true if is_tls(&error) => Error::Tls { host },
                    true => Error::Connect { host },
                    false => Error::Lost { host },
                }
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| {
                let host = host.clone();
                if error.is::<LengthLimitError>() {
                    Error::TooLarge { host, limit: MAX_BODY_BYTES }
                } else {
                    Error::Lost { host }
                }
            })?;
            Ok(Answer {
                host: host.clone(),
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        let limit = self.timeout;
        let timed_out = |_| Err(Error::Timeout { host: host.clone(), limit });
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(timed_out)
    }
}

/// Whether a connection failed after TCP. rustls reports all its errors as invalid data.
fn is_tls(mut error: &(dyn StdError + 'static)) -> bool {
    loop {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            return true;
        }
        // The source of an I/O error is that of the error within it.
        let next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
        match next {
            Some(next) => error = next,
            None => return false,
        }
    }
}
