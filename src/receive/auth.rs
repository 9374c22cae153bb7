//! Does the caller know a live token?
//!
//! The token in the path is all that Qontak offers: it signs nothing and sends no secret header.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::config;
use crate::event::{EventId, Webhook};
use crate::http::{Error, trace};
use crate::model::Timestamp;

/// A webhook whose sender knows a live token of an endpoint, with its whole body.
///
/// Only this extractor makes one, so a handler that takes an `Authentic` cannot forget to check.
#[derive(Debug)]
pub struct Authentic(pub Webhook);

impl FromRequest<App> for Authentic {
    type Rejection = Error;

    async fn from_request(mut request: Request, app: &App) -> Result<Self, Error> {
        // The token comes first: a stranger must not make us read a body, nor learn anything.
        let Path(token) =
            request.extract_parts::<Path<String>>().await.map_err(|_| Error::NotFound)?;
        let endpoint = app.doors.open(&token).ok_or(Error::NotFound)?;
        let received_at = Timestamp::now();
        if request.method() != Method::POST {
            return Err(Error::MethodNotAllowed("POST"));
        }
        let encoding = accepted_encoding(request.headers())?;
        let request_id = trace::request_id(&request);
        let sent = read_body(request.into_body(), &app.limits).await?;
        let body = match encoding {
            Encoding::Identity => sent,
            Encoding::Gzip => inflate(sent, app.limits.max_body_bytes)?,
        };
        Ok(Self(Webhook {
            id: EventId::next(received_at),
            received_at,
            endpoint: endpoint.name.clone(),
            organization_id: endpoint.organization_id.clone(),
            body,
            request_id,
        }))
    }
}

/// What a body may cost.
#[derive(Debug)]
pub struct Limits {
    /// The most bytes, as sent and after inflating.
    pub max_body_bytes: usize,
    /// The longest time from the first to the last byte.
    pub body_timeout: Duration,
    /// The bytes that all bodies being read may hold together.
    pub reading: Semaphore,
}

/// The endpoints and their tokens.
#[derive(Debug)]
pub struct Doors(Vec<Door>);

#[derive(Debug)]
struct Door {
    /// Of the token: hashes have one length, so comparing them tells nothing about it.
    digest: [u8; 32],
    endpoint: Arc<Endpoint>,
}

/// A door for one sender.
#[derive(Debug)]
pub struct Endpoint {
    name: Arc<str>,
    organization_id: Option<Arc<str>>,
}

impl Doors {
    /// One door per live token.
    pub fn new(endpoints: &config::Endpoints) -> Self {
        let doors = endpoints.iter().flat_map(|(name, settings)| {
            let endpoint = Arc::new(Endpoint {
                name: name.as_str().into(),
                organization_id: settings.organization_id.as_deref().map(Arc::from),
            });
            settings.tokens.iter().map(move |token| Door {
                digest: Sha256::digest(token.expose_secret()).into(),
                endpoint: endpoint.clone(),
            })
        });
        Self(doors.collect())
    }

    /// The endpoint whose live token this is. Takes the same time whichever it is, or none.
    fn open(&self, token: &str) -> Option<&Endpoint> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut index) = (Choice::from(0), 0_u64);
        for (door, i) in self.0.iter().zip(0_u64..) {
            let same = door.digest.ct_eq(&digest);
            index.conditional_assign(&i, same);
            found |= same;
        }
        let index = usize::try_from(index).expect("it was an index of a Vec");
        bool::from(found).then(|| &*self.0[index].endpoint)
    }
}

enum Encoding {
    Identity,
    Gzip,
}

/// Refuses what is clearly not JSON. A missing or a merely odd content type is no reason: curl
/// and some libraries call everything a form.
fn accepted_encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    const OTHER: [&str; 8] = [
        "image/",
        "audio/",
        "video/",
        "font/",
        "multipart/",
        "text/html",
        "application/pdf",
        "application/zip",
    ];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(CONTENT_TYPE).trim().to_ascii_lowercase();
    if OTHER.iter().any(|other| content_type.starts_with(other)) || content_type.contains("xml") {
        return Err(Error::UnsupportedMediaType("content-type: expected application/json"));
    }
    match text(CONTENT_ENCODING).trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(Error::UnsupportedMediaType("content-encoding: expected gzip, or none")),
    }
}

async fn read_body(body: Body, limits: &Limits) -> Result<Bytes, Error> {
    let read = tokio::time::timeout(limits.body_timeout, collect(body, limits));
    read.await.map_err(|_| Error::TooSlow(limits.body_timeout))?
}

/// Puts a body together. It counts by what arrived, not by the length that was promised: else a
/// sender could take all of the space by words alone.
async fn collect(body: Body, limits: &Limits) -> Result<Bytes, Error> {
    let mut body = Limited::new(body, limits.max_body_bytes);
    // Copied, because a list of tiny frames could be many times larger than what they hold.
    let mut read = Vec::new();
    let none = limits.reading.try_acquire_many(0);
    // Given back when the body is handed on.
    let mut space = none.expect("nobody closes the semaphore");
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| match cause.is::<LengthLimitError>() {
            true => Error::TooLarge(limits.max_body_bytes),
            // The sender went away in the middle; nobody reads this answer.
            false => Error::BodyCutOff,
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let more = limits.reading.try_acquire_many(bytes);
        space.merge(more.map_err(|_| Error::Overloaded("bodies"))?);
        read.extend_from_slice(&data);
    }
    read.shrink_to_fit();
    Ok(read.into())
}

/// Inflates at most `max_bytes`: a small body can grow a thousandfold. What is no gzip stays as
/// it is, and will be found not to be JSON.
fn inflate(sent: Bytes, max_bytes: usize) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    let limit = max_bytes as u64 + 1;
    match MultiGzDecoder::new(&*sent).take(limit).read_to_end(&mut body) {
        Ok(_) if body.len() > max_bytes => Err(Error::TooLarge(max_bytes)),
        Ok(_) => Ok(body.into()),
        Err(_) => Ok(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Doors {
        let endpoint = |tokens: &[&str]| config::Endpoint {
            tokens: tokens.iter().map(|token| (*token).into()).collect(),
            organization_id: None,
        };
        let endpoints = [("a", endpoint(&["one", "two"])), ("b", endpoint(&["three"]))];
        Doors::new(&endpoints.map(|(name, settings)| (name.to_owned(), settings)).into())
    }

    #[test]
    fn every_live_token_opens_the_door_of_its_endpoint() {
        let doors = doors();
        let opened = |token| doors.open(token).map(|endpoint| &*endpoint.name);
        assert_eq!(opened("one"), Some("a"));
        assert_eq!(opened("two"), Some("a"));
        assert_eq!(opened("three"), Some("b"));
    }

    #[test]
    fn no_other_text_opens_a_door() {
        let doors = doors();
        for token in ["", "on", "one ", "ONE", "four"] {
            assert!(doors.open(token).is_none(), "{token}");
        }
    }
}
