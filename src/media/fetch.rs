//! One download: redirects, limits of size and type, timeout.

use std::error::Error;
use std::time::Duration;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, USER_AGENT};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::address::{self, Refused, ResolveError, Resolver};
use super::download::Download;
use super::kind;
use super::storage::{Storage, StorageError};
use crate::config::Media;

/// Time for connecting to each address of a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Redirects that are followed, each checked like the link itself.
const MAX_REDIRECTS: u32 = 5;

/// Parts of a body that wait to be written.
const QUEUED_PARTS: usize = 8;

/// Characters of links as people write them that no URL has. `%` stays: most links are encoded already.
const NO_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a file was not fetched. `Display` is shown to readers: it contains nothing of the link or the storage.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The link, or one that it redirects to, may not be followed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There are too many redirects, or they lead nowhere.
    #[error("the link redirects more than {MAX_REDIRECTS} times, or to no URL")]
    Redirect,
    /// No connection.
    #[error("cannot connect to the host of the link")]
    Connect,
    /// The connection ended.
    #[error("the connection was lost")]
    Lost,
    /// Too slow.
    #[error("not complete within {0:?}")]
    Timeout(Duration),
    /// No file.
    #[error("the host of the link answered {0}")]
    Status(StatusCode),
    /// `media.max_bytes`.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// `media.types`.
    #[error("its type {0} is not in media.types")]
    Type(String),
    /// The storage, or the disk of temporary files, cannot be written.
    #[error("the copy cannot be written")]
    Storage(#[from] StorageError),
}

impl FetchError {
    /// Whether another attempt would end in the same way.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Redirect | Self::TooLarge(_) | Self::Type(_))
    }
}

/// A complete download.
pub struct Fetched {
    /// The file.
    pub download: Download,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// Its media type.
    pub content_type: String,
}

/// Downloads files.
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>,
    settings: Media,
    storage: Storage,
}

impl Fetcher {
    /// Downloads for this storage.
    pub fn new(settings: &Media, storage: Storage) -> Self {
        let resolver = Resolver { allow_loopback: settings.allow_loopback };
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // `address::check` refuses http.
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(tls.wrap_connector(tcp));
        Self { client, settings: settings.clone(), storage }
    }

    /// Downloads the file of a link.
    pub async fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        let limit = self.settings.timeout;
        let fetched = tokio::time::timeout(limit, self.follow(url)).await;
        fetched.unwrap_or(Err(FetchError::Timeout(limit)))
    }

    async fn follow(&self, url: &str) -> Result<Fetched, FetchError> {
        let mut uri = parse(url).ok_or(Refused::Url)?;
        for _ in 0..=MAX_REDIRECTS {
            address::check(&self.settings, &uri)?;
            let response = self.get(&uri).await?;
            if response.status().is_redirection() {
                let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
                uri = location.and_then(|it| join(&uri, it)).ok_or(FetchError::Redirect)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            return self.save(response).await;
        }
        Err(FetchError::Redirect)
    }

    async fn get(&self, uri: &Uri) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        let agent = concat!("qontak-receiver/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        self.client.request(request).await.map_err(|error| match refusal(&error) {
            Some(refused) => refused.into(),
            None if error.is_connect() => FetchError::Connect,
            None => FetchError::Lost,
        })
    }

    async fn save(&self, response: Response<Incoming>) -> Result<Fetched, FetchError> {
        let text =
            |name| response.headers().get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        let named = text(CONTENT_TYPE).and_then(kind::parse);
        if let Some(media_type) = &named {
            self.check_type(media_type)?;
        }
        let max_bytes = self.settings.max_bytes;
        let announced: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if announced.is_some_and(|bytes| bytes > max_bytes) {
            return Err(FetchError::TooLarge(max_bytes));
        }
        let download = self.write(response.into_body()).await?;
        let media_type = named.or_else(|| kind::guess(download.start()).map(str::to_owned));
        let content_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        self.check_type(&content_type)?;
        Ok(Fetched { sha256: download.sha256(), download, content_type })
    }

    /// Writes a body to a new file.
    async fn write(&self, mut body: Incoming) -> Result<Download, FetchError> {
        let (parts, mut queue) = mpsc::channel::<Bytes>(QUEUED_PARTS);
        let storage = self.storage.clone();
        let writer = spawn_blocking(move || {
            let mut download = storage.begin()?;
            while let Some(part) = queue.blocking_recv() {
                download.write(&part)?;
            }
            Ok::<_, std::io::Error>(download)
        });
        let max_bytes = self.settings.max_bytes;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(part) = frame.map_err(|_| FetchError::Lost)?.into_data() else { continue };
            bytes += part.len() as u64;
            if bytes > max_bytes {
                return Err(FetchError::TooLarge(max_bytes));
            }
            if parts.send(part).await.is_err() {
                // The writer has failed, and says why below.
                break;
            }
        }
        drop(parts);
        let written = writer.await.map_err(StorageError::from)?;
        Ok(written.map_err(StorageError::from)?)
    }

    fn check_type(&self, media_type: &str) -> Result<(), FetchError> {
        let is_allowed = self.settings.types.iter().any(|pattern| pattern.matches(media_type));
        if is_allowed { Ok(()) } else { Err(FetchError::Type(media_type.to_owned())) }
    }
}

/// The refusal that a failed connection is due to.
fn refusal(error: &(dyn Error + 'static)) -> Option<Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ResolveError::Refused(refused)) = error.downcast_ref() {
            return Some(*refused);
        }
        cause = error.source();
    }
    None
}

fn parse(url: &str) -> Option<Uri> {
    utf8_percent_encode(url.trim(), NO_URL).to_string().parse().ok()
}

/// The URL of a redirect.
fn join(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let location = location.trim();
    if location.starts_with("//") {
        parse(&format!("{scheme}:{location}"))
    } else if location.starts_with('/') {
        parse(&format!("{scheme}://{authority}{location}"))
    } else {
        parse(location).filter(|uri| uri.scheme().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_as_people_write_them_are_parsed() {
        let parsed = parse(" https://cdn.example/a b/bukti%20\u{e9}.pdf?x={1} ").unwrap();
        assert_eq!(parsed.to_string(), "https://cdn.example/a%20b/bukti%20%C3%A9.pdf?x=%7B1%7D");
        assert_eq!(parse("https://"), None);
    }

    #[test]
    fn redirects_are_joined() {
        let base = parse("https://a.example/x/y").unwrap();
        let joined = |location| join(&base, location).map(|uri| uri.to_string());
        assert_eq!(joined("/z").as_deref(), Some("https://a.example/z"));
        assert_eq!(joined("//b.example/z").as_deref(), Some("https://b.example/z"));
        assert_eq!(joined("http://b.example/").as_deref(), Some("http://b.example/"));
        assert_eq!(joined("z"), None);
    }
}
