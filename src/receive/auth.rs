//! Authenticates a webhook and reads its body.
//!
//! The token in the path is the only authentication: Qontak sends no signature and no secret
//! header.

use std::borrow::Cow;
use std::io::Read;

use axum::BoxError;
use axum::body::HttpBody;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Limits;
use super::large::LargeBody;
use super::state::ReceiveState;
use crate::event::Webhook;
use crate::http::server::admission::authenticate;
use crate::http::{Error, trace};
use crate::ingest::writer::LARGE_BODY_BYTES;
use crate::model::{EventId, Timestamp};

/// Path of a webhook URL up to its token.
pub const PATH_BEFORE_TOKEN: &str = "/webhooks/qontak/";

/// A webhook with a valid token and its complete body.
///
/// A function that takes an `Authentic` cannot forget the check: only [`read`](Self::read) creates
/// one.
#[derive(Debug)]
pub struct Authentic<'a> {
    /// The webhook.
    pub webhook: Webhook,
    /// Its place in the share of large bodies, if it is one.
    pub large: Option<LargeBody<'a>>,
}

impl<'a> Authentic<'a> {
    /// Checks the token of a request and reads its body.
    pub async fn read<B>(request: Request<B>, state: &'a ReceiveState) -> Result<Self, Error>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        // The token first: without a valid one no body is read and every response is the same 404.
        let token = token(request.uri().path()).ok_or(Error::NotFound)?;
        let endpoint = state.endpoints.find(&token).ok_or(Error::NotFound)?;
        trace::note(|facts| facts.endpoint = Some(endpoint.name.clone()));
        authenticate(request.extensions());
        let received_at = Timestamp::now();
        if request.method() != Method::POST {
            return Err(Error::MethodNotAllowed("POST"));
        }
        let encoding = accepted_encoding(request.headers())?;
        let (mut body, mut large) = read_body(request.into_body(), encoding, &state.limits).await?;
        if let Encoding::Gzip = encoding {
            (body, large) = decompress_within_share(body, large, &state.limits).await?;
        }
        let webhook = Webhook {
            id: EventId::next(received_at),
            received_at,
            endpoint: endpoint.name.clone(),
            organization_id: endpoint.organization_id.clone(),
            body,
            request_id: trace::current_request_id().unwrap_or_default(),
            is_damaged: false,
        };
        Ok(Self { webhook, large })
    }
}

/// The token in a path. A slash behind it is ignored: whoever typed or joined the URL means the same.
fn token(path: &str) -> Option<Cow<'_, str>> {
    let token = path.strip_prefix(PATH_BEFORE_TOKEN)?;
    let token = token.strip_suffix('/').unwrap_or(token);
    if token.is_empty() || token.contains('/') {
        return None;
    }
    percent_decode_str(token).decode_utf8().ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

/// Rejects content types that cannot be JSON. A missing type or a form type is accepted: it
/// is the default of curl and some libraries.
fn accepted_encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    const NOT_JSON: [&str; 8] = [
        "image/",
        "audio/",
        "video/",
        "font/",
        "multipart/",
        "text/html",
        "application/pdf",
        "application/zip",
    ];
    // Some senders name the charset here, or that there is no encoding.
    const NOT_ENCODED: [&str; 5] = ["", "identity", "none", "utf-8", "utf8"];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(CONTENT_TYPE).trim().to_ascii_lowercase();
    if NOT_JSON.iter().any(|prefix| content_type.starts_with(prefix))
        || content_type.contains("xml")
    {
        return Err(Error::UnsupportedMediaType("content-type must be application/json"));
    }
    let encodings = text(CONTENT_ENCODING).to_ascii_lowercase();
    let mut encodings =
        encodings.split(',').map(str::trim).filter(|encoding| !NOT_ENCODED.contains(encoding));
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(Encoding::Identity),
        (Some("gzip" | "x-gzip"), None) => Ok(Encoding::Gzip),
        _ => Err(Error::UnsupportedMediaType("content-encoding must be gzip or absent")),
    }
}

/// Reads a body. Memory is reserved for received bytes, not for the announced length: otherwise
/// headers alone could exhaust the limit.
///
/// A large body waits for its share before more of it is read, which is no time of its sender. Its sender
/// waits too, because the connection takes no more bytes meanwhile.
async fn read_body<B>(
    body: B,
    encoding: Encoding,
    limits: &Limits,
) -> Result<(Bytes, Option<LargeBody<'_>>), Error>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut deadline = Instant::now() + limits.body_timeout;
    let announced_bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, limits.max_body_bytes);
    // Copied, because many small frames can use far more memory than their data.
    let mut read = Vec::new();
    let none = limits.body_bytes.try_acquire_many(0);
    // Released on return.
    let mut permit = none.expect("the semaphore is never closed");
    let mut large = None;
    loop {
        let frame = timeout_at(deadline, body.frame()).await;
        let frame = frame.map_err(|_| Error::BodyTimeout(limits.body_timeout))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|cause| match cause.is::<LengthLimitError>() {
            true => Error::BodyTooLarge(limits.max_body_bytes),
            // The sender disconnected, so it will not read this response.
            false => Error::IncompleteBody,
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let expected_bytes = announced_bytes.max(read.len() + data.len());
        if large.is_none() && expected_bytes > LARGE_BODY_BYTES {
            match enter(announced_bytes, encoding, limits).await {
                Ok(entered) => deadline += large.insert(entered).waited,
                Err(error) => {
                    limits.large.discard(body).await;
                    return Err(error);
                }
            }
            read.reserve_exact(expected_bytes - read.len());
        }
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let more = limits.body_bytes.try_acquire_many(bytes);
        permit.merge(more.map_err(|_| Error::Overloaded("request bodies"))?);
        read.extend_from_slice(&data);
    }
    read.shrink_to_fit();
    Ok((read.into(), large))
}

/// Waits for a part of the share of large bodies. A body that is too large in any case waits for nothing.
async fn enter(
    announced_bytes: usize,
    encoding: Encoding,
    limits: &Limits,
) -> Result<LargeBody<'_>, Error> {
    let max = limits.max_body_bytes;
    match announced_bytes {
        bytes if bytes > max => Err(Error::BodyTooLarge(max)),
        // Without a length in advance, or compressed, it may become as large as any.
        bytes if bytes == 0 || encoding == Encoding::Gzip => limits.large.enter(max).await,
        bytes => limits.large.enter(bytes).await,
    }
}

/// Decompresses a body. One that becomes large is begun again within the share of large bodies.
async fn decompress_within_share<'a>(
    compressed: Bytes,
    large: Option<LargeBody<'a>>,
    limits: &'a Limits,
) -> Result<(Bytes, Option<LargeBody<'a>>), Error> {
    let max_body_bytes = limits.max_body_bytes;
    let mut large = match large {
        Some(large) => large,
        None => match decompress(compressed.clone(), LARGE_BODY_BYTES.min(max_body_bytes)) {
            Ok(body) => return Ok((body, None)),
            Err(_) => limits.large.enter(max_body_bytes).await?,
        },
    };
    let body = large.run(move || decompress(compressed, max_body_bytes)).await??;
    Ok((body, Some(large)))
}

/// Decompresses at most `max_bytes`: gzip can expand a thousandfold. Invalid gzip is returned
/// unchanged and stored as malformed.
fn decompress(compressed: Bytes, max_bytes: usize) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    let limit = max_bytes as u64 + 1;
    match MultiGzDecoder::new(&*compressed).take(limit).read_to_end(&mut body) {
        Ok(_) if body.len() > max_bytes => Err(Error::BodyTooLarge(max_bytes)),
        Ok(_) => Ok(body.into()),
        Err(_) => Ok(compressed),
    }
}
