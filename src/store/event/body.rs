//! How the journal keeps a body: its exact bytes, compressed.
//!
//! Bodies are short and much alike, so what they have in common is compressed once, in a dictionary that
//! is part of the program: see `examples/dictionary.rs`. Postgres by itself would compress nothing,
//! for a row has to be above 2 KB for that.

use std::cell::RefCell;
use std::io::Read;
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;

/// All dictionaries there ever were: the first one is number 1. Rows name theirs, so none may
/// change or go; a better one is added at the end.
const DICTIONARIES: [&[u8]; 1] = [include_bytes!("body-1.dictionary")];

/// The fastest one: with a dictionary, more effort hardly makes bodies smaller.
const LEVEL: i32 = 1;

static DECODERS: LazyLock<[DecoderDictionary<'static>; DICTIONARIES.len()]> =
    LazyLock::new(|| DICTIONARIES.map(DecoderDictionary::copy));

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARIES[DICTIONARIES.len() - 1], LEVEL));

thread_local! {
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::new(
        Compressor::with_prepared_dictionary(&ENCODER)
            .and_then(|mut compressor| {
                // The row names it.
                compressor.include_dictid(false)?;
                Ok(compressor)
            })
            .expect("there is memory for it"),
    );
}

/// A body as its row holds it.
pub struct CompressedBody {
    /// A frame of zstd without the dictionary's id.
    pub bytes: Vec<u8>,
    /// Number of the dictionary.
    pub dictionary: i16,
    /// Length of the body, in bytes.
    pub length: i32,
}

impl CompressedBody {
    /// Compresses a body.
    pub fn new(body: &[u8]) -> Self {
        let bytes = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(body));
        Self {
            bytes: bytes.expect("there is room for it"),
            dictionary: DICTIONARIES.len() as i16,
            length: i32::try_from(body.len()).unwrap_or(i32::MAX),
        }
    }
}

/// The body that a row holds. `dictionary` is `None` for one that is compressed as it came.
pub fn decompress(bytes: Vec<u8>, dictionary: Option<i16>) -> sqlx::Result<Vec<u8>> {
    let Some(number) = dictionary else {
        return Ok(bytes);
    };
    let newer = || format!("dictionary {number} of a body belongs to a newer version").into();
    let index = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
    let decoder = DECODERS.get(index).ok_or_else(newer).map_err(sqlx::Error::Decode)?;
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
    fn any_bytes_come_back() {
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
    fn a_dictionary_that_is_not_known_is_an_error() {
        let compressed = CompressedBody::new(b"{}");
        for number in [0, -1, 1 + DICTIONARIES.len() as i16] {
            assert!(decompress(compressed.bytes.clone(), Some(number)).is_err());
        }
    }
}
