//! HTTP/1.1 client with one keep-alive connection, which is reopened when it is lost.
//!
//! Uses hyper's connection directly, driven by the task that sends: the pool of a full client would
//! use CPU time of the machine that is measured.

use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Timeout of a request. Qontak's own timeout is not known.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// URL of a server: `http://host:port/path`.
#[derive(Clone, Debug)]
pub struct Address {
    host: String,
    port: u16,
    /// Value of the header `host`.
    authority: HeaderValue,
    /// Without a trailing slash.
    path: String,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().context("expected http://host:port/path")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!(
                "https is not supported; use the http:// address of the service behind the TLS proxy"
            ),
            _ => bail!("expected http://host:port/path"),
        }
        let authority = uri.authority().context("expected a host")?;
        ensure!(!authority.as_str().contains('@'), "expected a URL without user information");
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            // IPv6 addresses have brackets.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str())?,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// Reason why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection cannot be opened.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The connection was lost.
    #[error("connection lost")]
    Lost(#[from] hyper::Error),
    /// The response took too long.
    #[error("no response within {}s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

impl RequestError {
    /// Name in reports.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(..) => "cannot connect",
            Self::Lost(_) => "connection lost",
            Self::Timeout => "no response in time",
        }
    }
}

/// Client of one server.
pub struct Client {
    address: Address,
    connection: Option<Connection>,
}

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Client {
    /// Creates a client; it connects with the first request.
    pub const fn new(address: Address) -> Self {
        Self { address, connection: None }
    }

    /// Connects unless already connected.
    pub async fn connect(&mut self) -> Result<(), RequestError> {
        self.connection().await?;
        Ok(())
    }

    /// Posts a JSON body.
    pub async fn post(&mut self, body: Vec<u8>) -> Result<(StatusCode, Bytes), RequestError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(if self.address.path.is_empty() { "/" } else { &self.address.path })
            .header(HOST, self.address.authority.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::from(body))
            .expect("the address was validated");
        self.send(request).await
    }

    /// Sends a GET request for a path below the address.
    pub async fn get(
        &mut self,
        path: &str,
        bearer: &HeaderValue,
    ) -> Result<(StatusCode, Bytes), RequestError> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.address.path))
            .header(HOST, self.address.authority.clone())
            .header(AUTHORIZATION, bearer.clone())
            .body(Full::default())
            .expect("paths consist of ids and cursors");
        self.send(request).await
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), RequestError> {
        let response = tokio::time::timeout(REQUEST_TIMEOUT, async {
            Ok(self.connection().await?.exchange(request).await?)
        });
        let response = response.await.unwrap_or(Err(RequestError::Timeout));
        if response.is_err() {
            self.connection = None;
        }
        response
    }

    async fn connection(&mut self) -> Result<&mut Connection, RequestError> {
        let mut current = self.connection.take();
        if let Some(connection) = &mut current
            && !connection.is_alive().await
        {
            current = None;
        }
        let connection = match current {
            Some(connection) => connection,
            None => Connection::open(&self.address).await?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Connection {
    async fn open(address: &Address) -> Result<Self, RequestError> {
        let Address { host, port, .. } = address;
        let connect_error = |cause| RequestError::Connect(format!("{host}:{port}"), cause);
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(connect_error)?;
        stream.set_nodelay(true).map_err(connect_error)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { requests, connection: Box::pin(connection) })
    }

    /// Whether the connection is still open. A request sent over a closed one would be lost.
    async fn is_alive(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = &mut self.connection => false,
            () = std::future::ready(()) => !self.requests.is_closed(),
        }
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let requests = &mut self.requests;
        let exchange = async {
            let response = requests.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            response = &mut exchange => return response,
            _ = &mut self.connection => {}
        }
        // The connection was closed, possibly right after the response.
        exchange.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_accepted_and_https_is_explained() {
        let address: Address = "http://[::1]:8080/webhooks/qontak/t".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 8080));
        assert_eq!(address.path, "/webhooks/qontak/t");
        let error = "https://localhost".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("https is not supported"), "{error}");
        for text in ["localhost:8080", "/path", "ftp://host", "http://user@host"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
