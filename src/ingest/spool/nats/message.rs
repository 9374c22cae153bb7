//! Messages of the streams: one holds all webhooks of a group commit.
//!
//! The records are those of the [local spool](crate::ingest::spool::record), with one marker for all
//! messages. What another program publishes is kept as a webhook that is not parsed.

use bytes::Bytes;

use crate::event::Webhook;
use crate::ingest::spool::record::{self, Marker, Scan};
use crate::model::{EventId, Timestamp};

/// Start of each record. Not a text, so that no body contains it by chance.
const MARKER: Marker = *b"\xffqontak\x01";

/// Endpoint of messages that are not of this program.
const FOREIGN: &str = "spool";

/// Webhooks as one message.
pub struct Message {
    /// The records.
    pub payload: Bytes,
    /// Number of webhooks.
    pub webhooks: usize,
}

/// Encodes webhooks in their order, in messages of at most `max_bytes`. A webhook that does not fit is a
/// message of its own.
pub fn encode(webhooks: &[Webhook], max_bytes: usize) -> Vec<Message> {
    let (mut messages, mut payload, mut count) = (Vec::new(), Vec::new(), 0);
    for webhook in webhooks {
        let start = payload.len();
        record::encode(webhook, MARKER, &mut payload);
        if payload.len() > max_bytes && count > 0 {
            let next = payload.split_off(start);
            messages.push(Message { payload: payload.into(), webhooks: count });
            (payload, count) = (next, 0);
        }
        count += 1;
    }
    if count > 0 {
        messages.push(Message { payload: payload.into(), webhooks: count });
    }
    messages
}

/// Decodes a message. Bytes that are no record are a damaged webhook with the whole message as its body,
/// received at `published_at`. Decoding a message again gives the same ids.
pub fn decode(payload: &Bytes, published_at: Timestamp) -> Vec<Webhook> {
    let Scan { records, unreadable } = record::scan(payload, MARKER);
    let read = |one: record::Record| record::read(&payload[one.range], MARKER);
    let mut webhooks: Vec<Webhook> = records.into_iter().filter_map(read).collect();
    if unreadable > 0 || payload.is_empty() {
        webhooks.push(Webhook {
            id: EventId::of_bytes(published_at, payload),
            received_at: published_at,
            endpoint: FOREIGN.into(),
            organization_id: None,
            body: payload.clone(),
            request_id: String::new(),
            is_damaged: true,
        });
    }
    webhooks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn webhook(id: u128, micros: i64, body: Vec<u8>, texts: (String, Option<String>)) -> Webhook {
        Webhook {
            id: EventId(Uuid::from_u128(id)),
            received_at: Timestamp::from_micros(micros).unwrap(),
            endpoint: texts.0.as_str().into(),
            organization_id: texts.1.map(Into::into),
            body: body.into(),
            request_id: texts.0,
            is_damaged: false,
        }
    }

    fn webhooks() -> impl Strategy<Value = Vec<Webhook>> {
        let body = prop::collection::vec(any::<u8>(), 0..300);
        let texts = (any::<String>(), any::<Option<String>>());
        let webhook = (any::<u128>(), 0..4_000_000_000_000_000_i64, body, texts)
            .prop_map(|(id, micros, body, texts)| webhook(id, micros, body, texts));
        prop::collection::vec(webhook, 1..20)
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_749_694_503_123_456).unwrap()
    }

    proptest! {
        #[test]
        fn decoded_messages_are_the_webhooks_that_were_encoded(
            webhooks in webhooks(), max_bytes in 0..4000_usize,
        ) {
            let messages = encode(&webhooks, max_bytes);
            let counted: usize = messages.iter().map(|message| message.webhooks).sum();
            prop_assert_eq!(counted, webhooks.len());
            for message in &messages {
                prop_assert!(message.webhooks == 1 || message.payload.len() <= max_bytes);
                prop_assert_eq!(decode(&message.payload, now()).len(), message.webhooks);
            }
            let decoded = messages.iter().flat_map(|message| decode(&message.payload, now()));
            let decoded: Vec<String> = decoded.map(|webhook| format!("{webhook:?}")).collect();
            let encoded: Vec<String> = webhooks.iter().map(|it| format!("{it:?}")).collect();
            prop_assert_eq!(decoded, encoded);
        }

        #[test]
        fn bytes_of_another_program_are_kept_whole(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let payload = Bytes::from(bytes);
            let decoded = decode(&payload, now());
            prop_assert_eq!(decoded.len(), 1);
            prop_assert!(decoded[0].is_damaged);
            prop_assert_eq!(&decoded[0].body, &payload);
            prop_assert_eq!(decoded[0].id, decode(&payload, now())[0].id);
            prop_assert_eq!(decoded[0].id.received_at().map(|at| at.0.timestamp()), Some(1_749_694_503));
        }
    }
}
