//! Lossless compression of webhook bodies for the journal.
//!
//! Bodies are short and similar, so they are compressed with a shared zstd dictionary, compiled in
//! (see `examples/dictionary.rs`). Postgres itself compresses rows above 2 KB only.

use std::cell::RefCell;
use std::io::Read;
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;

/// All dictionaries, numbered from 1. Rows refer to them by number, so none may change or be
/// removed; append a new one.
const DICTIONARIES: [&[u8]; 1] = [include_bytes!("body-1.dictionary")];

/// Fastest level: with a dictionary, higher levels hardly make bodies smaller.
const LEVEL: i32 = 1;

static DECODERS: LazyLock<[DecoderDictionary<'static>; DICTIONARIES.len()]> =
    LazyLock::new(|| DICTIONARIES.map(DecoderDictionary::copy));

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARIES[DICTIONARIES.len() - 1], LEVEL));

thread_local! {
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::new(
        Compressor::with_prepared_dictionary(&ENCODER)
            .and_then(|mut compressor| {
                // The row stores the number.
                compressor.include_dictid(false)?;
                Ok(compressor)
            })
            .expect("a compressor can be allocated"),
    );
}

/// A body as stored in its row.
#[derive(Clone)]
pub struct CompressedBody {
    /// zstd frame without dictionary id.
    pub bytes: Vec<u8>,
    /// Number of the dictionary, from 1.
    pub dictionary: i16,
    /// Uncompressed length in bytes.
    pub length: i32,
}

impl CompressedBody {
    /// Compresses a body.
    pub fn new(body: &[u8]) -> Self {
        let bytes = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(body));
        Self {
            bytes: bytes.expect("the buffer has the maximum compressed size"),
            dictionary: DICTIONARIES.len() as i16,
            length: i32::try_from(body.len()).unwrap_or(i32::MAX),
        }
    }
}

/// Decompresses the body of a row. Without a `dictionary`, `bytes` are the body itself.
pub fn decompress(bytes: Vec<u8>, dictionary: Option<i16>) -> sqlx::Result<Vec<u8>> {
    let Some(number) = dictionary else {
        return Ok(bytes);
    };
    let unknown = || format!("unknown body dictionary {number}: written by a newer version").into();
    let index = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
    let decoder = DECODERS.get(index).ok_or_else(unknown).map_err(sqlx::Error::Decode)?;
    let mut body = Vec::new();
    Decoder::with_prepared_dictionary(&*bytes, decoder)
        .and_then(|mut decoder| decoder.read_to_end(&mut body))
        .map_err(|cause| sqlx::Error::Decode(cause.into()))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_restored_byte_for_byte() {
        let frame = CompressedBody::new(b"{}").bytes;
        let long = b"0123456789".repeat(100_000);
        for body in [&b""[..], b"{}", b"\0\xff", &frame, &long] {
            let compressed = CompressedBody::new(body);
            assert_eq!(compressed.length as usize, body.len());
            assert_eq!(decompress(compressed.bytes, Some(compressed.dictionary)).unwrap(), body);
        }
        assert_eq!(decompress(b"plain".into(), None).unwrap(), b"plain");
    }

    #[test]
    fn unknown_dictionary_is_an_error() {
        let compressed = CompressedBody::new(b"{}");
        for number in [0, -1, 1 + DICTIONARIES.len() as i16] {
            assert!(decompress(compressed.bytes.clone(), Some(number)).is_err());
        }
    }
}
