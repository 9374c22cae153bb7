//! Does the caller know a live token?
//!
//! The token in the path is all that Qontak offers: it signs nothing and sends no secret header.

use std::io::Read;
use std::sync::Arc;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::endpoint::Limits;
use super::state::ReceiveState;
use crate::event::Webhook;
use crate::http::{Error, trace};
use crate::model::{EventId, Timestamp};

/// A webhook whose sender knows a live token of an endpoint, with its whole body.
///
/// Only this extractor makes one, so a handler that takes an `Authentic` cannot forget to check.
#[derive(Debug)]
pub struct Authentic(pub Webhook);

impl FromRequest<Arc<ReceiveState>> for Authentic {
    type Rejection = Error;

    async fn from_request(mut request: Request, state: &Arc<ReceiveState>) -> Result<Self, Error> {
        // The token comes first: a stranger must not make us read a body, nor learn anything.
        let Path(token) =
            request.extract_parts::<Path<String>>().await.map_err(|_| Error::NotFound)?;
        let endpoint = state.endpoints.open(&token).ok_or(Error::NotFound)?;
        let received_at = Timestamp::now();
        if request.method() != Method::POST {
            return Err(Error::MethodNotAllowed("POST"));
        }
        let encoding = accepted_encoding(request.headers())?;
        let request_id = trace::request_id(&request);
        let sent = read_body(request.into_body(), &state.limits).await?;
        let body = match encoding {
            Encoding::Identity => sent,
            Encoding::Gzip => inflate(sent, state.limits.max_body_bytes)?,
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
