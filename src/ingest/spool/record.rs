//! Records of the spool: a webhook as bytes, with checksums.
//!
//! A record starts with the marker of its segment, eight random bytes, so that records after a
//! damaged one are found again. Data about the webhook and its body have a checksum each: a webhook
//! with a damaged body is still known.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Webhook;
use crate::model::{EventId, Timestamp};

/// Random bytes at the start of each record of a segment.
pub type Marker = [u8; 8];

/// Marker, length and checksum of the data about the webhook, length and checksum of the body.
const HEADER_BYTES: usize = 8 + 4 * 4;

/// Data about a webhook, stored as JSON.
#[derive(Deserialize, Serialize)]
struct Meta<'a> {
    id: Uuid,
    /// Microseconds since 1970.
    received_at: i64,
    endpoint: Cow<'a, str>,
    organization_id: Option<Cow<'a, str>>,
    request_id: Cow<'a, str>,
}

/// Appends the record of a webhook to `out`.
pub fn encode(webhook: &Webhook, marker: Marker, out: &mut Vec<u8>) {
    let Webhook { id, received_at, endpoint, organization_id, body, request_id, is_damaged: _ } =
        webhook;
    let meta = Meta {
        id: id.0,
        received_at: received_at.0.timestamp_micros(),
        endpoint: endpoint.as_ref().into(),
        organization_id: organization_id.as_deref().map(Into::into),
        request_id: request_id.into(),
    };
    let meta = serde_json::to_vec(&meta).expect("texts and numbers are valid JSON");
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("bodies are limited to 1 GiB");
    let (meta_length, body_length) = (length(&meta), length(body));
    out.extend(marker);
    out.extend(meta_length.to_le_bytes());
    out.extend(body_length.to_le_bytes());
    out.extend(checksum(&[&meta_length.to_le_bytes(), &body_length.to_le_bytes(), &meta]));
    out.extend(checksum(&[body]));
    out.extend(meta);
    out.extend_from_slice(body);
}

fn checksum(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_le_bytes()
}

/// A record found by [`scan`].
#[derive(Debug)]
pub struct Record {
    /// Where it is in the scanned bytes.
    pub range: Range<usize>,
    /// Length of its body.
    pub body_length: usize,
    /// Time of receipt.
    pub received_at: Timestamp,
}

/// Result of [`scan`].
#[derive(Debug, Default)]
pub struct Scan {
    /// All readable records.
    pub records: Vec<Record>,
    /// Number of bytes that belong to no readable record.
    pub unreadable: usize,
}

/// Finds all readable records of a segment, also those after damaged bytes.
pub fn scan(bytes: &[u8], marker: Marker) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        let length = match parse(&bytes[at..], marker) {
            // A body that is cut off at the end was perhaps never acknowledged.
            Some(parsed) if !(parsed.is_cut && at + parsed.length == bytes.len()) => {
                scan.records.push(Record {
                    range: at..at + parsed.length,
                    body_length: parsed.webhook.body.len(),
                    received_at: parsed.webhook.received_at,
                });
                parsed.length
            }
            _ => {
                let next = next_marker(&bytes[at + 1..], marker);
                let length = next.map_or(bytes.len() - at, |next| next + 1);
                scan.unreadable += length;
                length
            }
        };
        at += length;
    }
    scan
}

/// Reads a record found by [`scan`]; `None` if its webhook is unknown. The body may be damaged.
pub fn read(bytes: &[u8], marker: Marker) -> Option<Webhook> {
    parse(bytes, marker).map(|parsed| parsed.webhook)
}

struct Parsed {
    webhook: Webhook,
    /// Length of the record.
    length: usize,
    /// Whether the end of the body is missing.
    is_cut: bool,
}

/// Parses the record at the start of `bytes`.
fn parse(bytes: &[u8], marker: Marker) -> Option<Parsed> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let field = |at: usize| -> [u8; 4] { header[at..at + 4].try_into().expect("4 bytes") };
    let length = |at| usize::try_from(u32::from_le_bytes(field(at))).ok();
    let (meta, rest) = rest.split_at_checked(length(8)?)?;
    if header[..8] != marker || checksum(&[&header[8..16], meta]) != field(16) {
        return None;
    }
    let body_length = length(12)?;
    let mut body = &rest[..body_length.min(rest.len())];
    let is_damaged = body.len() < body_length || checksum(&[body]) != field(20);
    if is_damaged {
        // Bytes may be missing, so that the next record begins earlier, by one byte at least.
        let until = (body_length + marker.len() - 1).min(rest.len());
        body = &body[..next_marker(&rest[..until], marker).unwrap_or(body.len())];
    }
    let length = HEADER_BYTES + meta.len() + body.len();
    let meta: Meta<'_> = serde_json::from_slice(meta).ok()?;
    let webhook = Webhook {
        id: EventId(meta.id),
        received_at: Timestamp::from_micros(meta.received_at)?,
        endpoint: meta.endpoint.into(),
        organization_id: meta.organization_id.map(Into::into),
        body: Bytes::copy_from_slice(body),
        request_id: meta.request_id.into_owned(),
        is_damaged,
    };
    Some(Parsed { webhook, length, is_cut: body.len() < body_length })
}

fn next_marker(bytes: &[u8], marker: Marker) -> Option<usize> {
    bytes.windows(marker.len()).position(|window| window == marker)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKER: Marker = *b"\x9d\x02marker";

    fn webhook(number: usize, body: Vec<u8>) -> Webhook {
        Webhook {
            id: EventId(Uuid::from_u128(number as u128)),
            received_at: Timestamp::from_micros(1_749_694_503_123_456).unwrap(),
            endpoint: "default \"quoted\"".into(),
            organization_id: number.is_multiple_of(2).then(|| "organization".into()),
            body: body.into(),
            request_id: format!("request {number}"),
            is_damaged: false,
        }
    }

    /// The bodies, and the start of each record in the encoded segment.
    fn segment(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (number, body) in bodies.iter().enumerate() {
            starts.push(bytes.len());
            encode(&webhook(number, body.clone()), MARKER, &mut bytes);
        }
        (bytes, starts)
    }

    fn readable(bytes: &[u8]) -> Vec<Webhook> {
        let records = scan(bytes, MARKER).records;
        records.iter().map(|one| read(&bytes[one.range.clone()], MARKER).unwrap()).collect()
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..6)
    }

    #[test]
    fn undamaged_records_are_read_as_they_were_written() {
        let bodies = [b"{}".to_vec(), Vec::new(), vec![0xff; 100]];
        let (bytes, _) = segment(&bodies);
        let found = readable(&bytes);
        for (number, body) in bodies.into_iter().enumerate() {
            assert_eq!(format!("{:?}", found[number]), format!("{:?}", webhook(number, body)));
        }
        assert_eq!((found.len(), scan(&bytes, MARKER).unreadable), (3, 0));
    }

    /// Damages a segment, and checks that every record without a damaged byte is read, none with a
    /// wrong body counts as undamaged, and that the damage is noticed.
    fn check(bodies: &[Vec<u8>], damaged: &[u8], is_touched: impl Fn(usize, usize) -> bool) {
        let (bytes, starts) = segment(bodies);
        let found = readable(damaged);
        for (number, body) in bodies.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(bytes.len());
            let one = found.iter().find(|one| one.id.0.as_u128() == number as u128);
            if !is_touched(starts[number], end) {
                assert!(one.is_some_and(|one| !one.is_damaged), "record {number} is lost");
            }
            if let Some(one) = one.filter(|one| !one.is_damaged) {
                assert_eq!(one.body, body, "record {number} has another body");
            }
        }
        if damaged != bytes && !starts.contains(&damaged.len()) {
            let is_noticed = scan(damaged, MARKER).unreadable > 0
                || found.iter().any(|one| one.is_damaged)
                || found.len() < bodies.len();
            assert!(is_noticed);
        }
    }

    proptest! {
        #[test]
        fn flipped_zeroed_or_missing_bytes_cost_only_the_records_they_are_in(
            bodies in bodies(), at in any::<prop::sample::Index>(), length in 1..40_usize,
            bit in 0..8_u32,
        ) {
            let (bytes, _) = segment(&bodies);
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            let overlaps = |start: usize, stop: usize| start < end && at < stop;

            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            check(&bodies, &flipped, |start, stop| start <= at && at < stop);

            let mut zeroed = bytes.clone();
            zeroed[at..end].fill(0);
            check(&bodies, &zeroed, overlaps);

            let mut without = bytes.clone();
            without.drain(at..end);
            check(&bodies, &without, overlaps);

            check(&bodies, &bytes[..at], |_, stop| stop > at);
        }
    }
}
