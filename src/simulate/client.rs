//! One kept-alive HTTP/1.1 connection, made again when it is lost.
//!
//! hyper's connection as it is, driven by the task that uses it: a pool and redirects would cost
//! the CPU that is to be measured.

use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long an answer may take. Qontak's own limit is not known; one that takes longer is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to send requests: `http://host:port/path`.
#[derive(Clone, Debug)]
pub struct Address {
    host: String,
    port: u16,
    /// With the port, as the header says it.
    authority: HeaderValue,
    /// Without a slash at the end.
    path: String,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().context("expected http://host:port/path")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!(
                "https is not supported; name the service itself by http://, not what ends TLS \
                 before it"
            ),
            _ => bail!("expected http://host:port/path"),
        }
        let authority = uri.authority().context("expected a host")?;
        ensure!(!authority.as_str().contains('@'), "expected no user before the host");
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            // An address of IPv6 stands in brackets.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str())?,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Nobody listens there.
    #[error("cannot connect to {0}: {1}")]
    Unreached(String, std::io::Error),
    /// The connection broke.
    #[error("connection lost")]
    Lost(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer in {} s", ANSWER_TIMEOUT.as_secs())]
    TooSlow,
}

impl QueueError {
    /// In a word, for a count.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreached(..) => "cannot connect",
            Self::Lost(_) => "connection lost",
            Self::TooSlow => "no answer in time",
        }
    }
}

/// A client of one address.
pub struct Client {
    address: Address,
    link: Option<Link>,
}

struct Link {
    requests: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Client {
    /// A client that is not connected yet.
    pub const fn new(address: Address) -> Self {
        Self { address, link: None }
    }

    /// Connects, unless it is connected.
    pub async fn connect(&mut self) -> Result<(), QueueError> {
        self.link().await?;
        Ok(())
    }

    /// Posts a JSON body.
    pub async fn post(&mut self, body: Vec<u8>) -> Result<(StatusCode, Bytes), QueueError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(if self.address.path.is_empty() { "/" } else { &self.address.path })
            .header(HOST, self.address.authority.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::from(body))
            .expect("the address was looked at");
        self.send(request).await
    }

    /// Gets what is at a path below the address, for the holder of a key.
    pub async fn get(
        &mut self,
        path: &str,
        bearer: &HeaderValue,
    ) -> Result<(StatusCode, Bytes), QueueError> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.address.path))
            .header(HOST, self.address.authority.clone())
            .header(AUTHORIZATION, bearer.clone())
            .body(Full::default())
            .expect("paths are made of ids and cursors");
        self.send(request).await
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), QueueError> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
            Ok(self.link().await?.exchange(request).await?)
        });
        let answer = answer.await.unwrap_or(Err(QueueError::TooSlow));
        if answer.is_err() {
            self.link = None;
        }
        answer
    }

    async fn link(&mut self) -> Result<&mut Link, QueueError> {
        let mut kept = self.link.take();
        if let Some(link) = &mut kept
            && !link.is_alive().await
        {
            kept = None;
        }
        let link = match kept {
            Some(link) => link,
            None => Link::to(&self.address).await?,
        };
        Ok(self.link.insert(link))
    }
}

impl Link {
    async fn to(address: &Address) -> Result<Self, QueueError> {
        let Address { host, port, .. } = address;
        let unreached = |cause| QueueError::Unreached(format!("{host}:{port}"), cause);
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreached)?;
        stream.set_nodelay(true).map_err(unreached)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { requests, connection: Box::pin(connection) })
    }

    /// Whether the other end has not closed it meanwhile: then a request would be lost with it.
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
        let answer = async {
            let response = requests.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut self.connection => {}
        }
        // It was closed, perhaps right behind the answer.
        answer.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_what_else_is_not_supported_is_said() {
        let address: Address = "http://[::1]:8080/webhooks/qontak/t".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 8080));
        assert_eq!(address.path, "/webhooks/qontak/t");
        let refusal = "https://localhost".parse::<Address>().unwrap_err().to_string();
        assert!(refusal.contains("https is not supported"), "{refusal}");
        for text in ["localhost:8080", "/path", "ftp://host", "http://user@host"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
