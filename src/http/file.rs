//! Response with a file: conditional requests and ranges (RFC 9110).

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::Response;
use futures_util::stream;

use super::Error;

/// Part of a file that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// First and last byte.
    Range(u64, u64),
    Unsatisfiable,
}

/// Responds with a file of this size. `tag` identifies its content; the response names `headers` too. `read`
/// gets the first byte and the number of bytes that are wanted, if any are.
///
/// Every use asks again whether it may be seen, so caches revalidate it.
pub async fn respond<F: Future<Output = Result<Body, Error>>>(
    request: &HeaderMap,
    bytes: u64,
    tag: &str,
    headers: HeaderMap,
    read: impl FnOnce(u64, u64) -> F,
) -> Result<Response, Error> {
    let tag = format!("\"{tag}\"");
    let text = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok());
    let mut response = HttpResponse::new(Body::empty());
    *response.headers_mut() = headers;
    let set = |response: &mut Response, name, value: String| {
        let value = HeaderValue::try_from(value).expect("digits and visible ASCII");
        response.headers_mut().insert(name, value);
    };
    set(&mut response, ETAG, tag.clone());
    set(&mut response, ACCEPT_RANGES, "bytes".to_owned());
    set(&mut response, CACHE_CONTROL, "private, no-cache".to_owned());
    let is_known = |list: &str| {
        let mut tags = list.split(',').map(|one| one.trim().trim_start_matches("W/"));
        tags.any(|one| one == tag || one == "*")
    };
    if text(IF_NONE_MATCH).is_some_and(is_known) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        // Of unknown length, or axum would add `content-length: 0`, which contradicts the cached response.
        let empty = stream::empty::<io::Result<Bytes>>();
        *response.body_mut() = Body::from_stream(empty);
        return Ok(response);
    }
    // A range of another version would not fit the part that the client has.
    let is_same = text(IF_RANGE).is_none_or(|one| one == tag);
    let part = match text(RANGE).filter(|_| is_same) {
        Some(range) => part(range, bytes),
        None => Part::Whole,
    };
    let (first, length) = match part {
        Part::Unsatisfiable => return Err(Error::RangeNotSatisfiable(bytes)),
        Part::Whole => (0, bytes),
        Part::Range(first, last) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, CONTENT_RANGE, format!("bytes {first}-{last}/{bytes}"));
            (first, last - first + 1)
        }
    };
    set(&mut response, CONTENT_LENGTH, length.to_string());
    *response.body_mut() = read(first, length).await?;
    Ok(response)
}

/// Reads a header `Range`. One range is enough for players and resumed downloads; several, and other
/// units, get the whole file.
fn part(header: &str, bytes: u64) -> Part {
    let Some(range) = header.trim().strip_prefix("bytes=").map(str::trim) else {
        return Part::Whole;
    };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return Part::Whole;
    };
    let end = bytes.saturating_sub(1);
    let (first, last) = match (first.trim(), last.trim()) {
        ("", last) => match last.parse::<u64>() {
            Ok(0) => return Part::Unsatisfiable,
            Ok(count) => (bytes.saturating_sub(count), end),
            Err(_) => return Part::Whole,
        },
        (first, "") => match first.parse() {
            Ok(first) => (first, end),
            Err(_) => return Part::Whole,
        },
        (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
            _ => return Part::Whole,
        },
    };
    if first >= bytes { Part::Unsatisfiable } else { Part::Range(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (header, expected) in [
            ("bytes=0-4", Part::Range(0, 4)),
            ("bytes=5-", Part::Range(5, 9)),
            ("bytes=-3", Part::Range(7, 9)),
            ("bytes=-30", Part::Range(0, 9)),
            ("bytes=8-30", Part::Range(8, 9)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=4-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=", Part::Whole),
        ] {
            assert_eq!(part(header, 10), expected, "{header}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
    }
}
