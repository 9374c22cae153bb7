//! Fuzz test of the messages of NATS: whatever bytes a stream holds are decoded within limits of time and
//! memory, and nothing of them is lost.

use std::sync::mpsc::{self, RecvTimeoutError};

use axum::body::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;
use qontak_receiver::event::Webhook;
use qontak_receiver::ingest::spool::nats::message::{decode, encode};
use qontak_receiver::model::Timestamp;

use super::bodies::{mutated_body, received};
use super::{HEAP, OVERHEAD_BYTES, TIME_LIMIT};

/// Limit of the peak heap while decoding, per byte of the message, which is not included. The smallest record
/// has some 140 bytes, and becomes a webhook with its texts.
const PEAK_PER_BYTE: usize = 8;

/// Bytes of a message: those of webhooks after a few mutations, or any.
pub fn message() -> impl Strategy<Value = Bytes> {
    let webhooks = prop::collection::vec(mutated_body(), 0..4);
    let mutated =
        (webhooks, prop::collection::vec(mutation(), 0..6)).prop_map(|(bodies, mutations)| {
            let at = Timestamp::parse("2025-06-13T00:00:00Z").unwrap();
            let webhooks: Vec<Webhook> =
                bodies.into_iter().map(|body| received(body, at)).collect();
            let mut bytes =
                encode(&webhooks, usize::MAX).pop().map_or_else(Vec::new, |it| it.payload.into());
            mutations.into_iter().for_each(|mutation| mutation.apply(&mut bytes));
            Bytes::from(bytes)
        });
    prop_oneof![9 => mutated, 1 => prop::collection::vec(any::<u8>(), 0..2000).prop_map(Bytes::from)]
}

/// Mutation of a message.
#[derive(Clone, Debug)]
enum Mutation {
    /// Replaces bytes, also in the header of the record.
    Replace { at: Index, near_start: bool, with: Vec<u8> },
    /// Deletes bytes.
    Delete { at: Index, length: usize },
    /// Repeats bytes, such as records.
    Repeat { at: Index, length: usize, times: usize },
    /// Cuts off the end.
    Truncate { at: Index },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let with = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..9),
        // Lengths, and the marker.
        select(vec![
            vec![0xff; 4],
            vec![0; 4],
            vec![0xff, 0xff, 0xff, 0x7f],
            b"\xffqontak\x01".to_vec()
        ]),
    ];
    prop_oneof![
        4 => (at(), any::<bool>(), with)
            .prop_map(|(at, near_start, with)| Mutation::Replace { at, near_start, with }),
        1 => (at(), 1..300_usize).prop_map(|(at, length)| Mutation::Delete { at, length }),
        2 => (at(), 1..3000_usize, 1..30_usize)
            .prop_map(|(at, length, times)| Mutation::Repeat { at, length, times }),
        1 => at().prop_map(|at| Mutation::Truncate { at }),
    ]
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let range = |bytes: &[u8], at: Index, length: usize| {
            let start = at.index(bytes.len() + 1);
            start..(start + length).min(bytes.len())
        };
        match self {
            Self::Replace { at, near_start, with } => {
                // The header has 24 bytes.
                let length = if near_start { bytes.len().min(24) } else { bytes.len() };
                let start = at.index(length + 1);
                let end = (start + with.len()).min(bytes.len());
                bytes.splice(start..end, with);
            }
            Self::Delete { at, length } => drop(bytes.drain(range(bytes, at, length))),
            Self::Repeat { at, length, times } => {
                let range = range(bytes, at, length);
                let copies = bytes[range.clone()].repeat(times);
                bytes.splice(range.end..range.end, copies);
            }
            Self::Truncate { at } => bytes.truncate(at.index(bytes.len() + 1)),
        }
    }
}

/// Checks the properties of any message.
pub fn check(payload: &Bytes) -> Result<(), TestCaseError> {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let webhooks = decoded(payload)?;
    let peak = HEAP.peak_usage().saturating_sub(before);
    let allowed = PEAK_PER_BYTE * payload.len() + OVERHEAD_BYTES;
    prop_assert!(peak <= allowed, "peak of {peak} bytes of heap for {}", payload.len());

    prop_assert!(!webhooks.is_empty(), "nothing is decoded");
    let undamaged: Vec<Webhook> = webhooks.iter().filter(|it| !it.is_damaged).cloned().collect();
    if undamaged.len() < webhooks.len() {
        // What cannot be read is kept: as the body of a record, or with the whole message.
        let kept = webhooks.iter().filter(|it| it.is_damaged);
        prop_assert!(kept.into_iter().all(|it| it.body.len() <= payload.len()));
    }
    prop_assert_eq!(
        described(&webhooks),
        described(&decoded(payload)?),
        "decoded differently again"
    );
    let messages = encode(&undamaged, usize::MAX);
    let again = messages.iter().map(|message| decoded(&message.payload));
    let again = again.collect::<Result<Vec<_>, _>>()?.concat();
    prop_assert_eq!(described(&undamaged), described(&again), "encoded and decoded");
    Ok(())
}

/// Decodes a message within [`TIME_LIMIT`].
fn decoded(payload: &Bytes) -> Result<Vec<Webhook>, TestCaseError> {
    let (sender, ended) = mpsc::channel::<()>();
    let payload = payload.clone();
    let thread = std::thread::spawn(move || {
        // Dropped when the thread ends, even by a panic.
        let _sender = sender;
        decode(&payload, Timestamp::parse("2025-06-13T00:00:00Z").unwrap())
    });
    if ended.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
        return Err(TestCaseError::fail(format!("takes longer than {TIME_LIMIT:?}")));
    }
    thread.join().map_err(|_| TestCaseError::fail("panics"))
}

fn described(webhooks: &[Webhook]) -> Vec<String> {
    webhooks.iter().map(|webhook| format!("{webhook:?}")).collect()
}
