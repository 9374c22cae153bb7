//! The task that reads a stream: takes messages in hand while there is room.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Error;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::stream::REQUEST_TIMEOUT;
use super::{MAX_BYTES, Nats};
use crate::telemetry::fault::Fault;

static UNREADABLE: Fault = Fault::warn("nats stream cannot be read");

/// Number of messages of a request: at first and while they are large, and at most.
///
/// A limit in bytes is not used: the server reports that it is reached before it sends the messages, and
/// async-nats then ends the request without them.
const MESSAGES: [usize; 2] = [8, 128];

/// Time for which the server waits for messages. Short, because a request is lost with the server that got
/// it.
const POLL: Duration = Duration::from_secs(2);

/// Pause after an error.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Reads a stream until the task is aborted. Also creates the stream if it is missing.
pub async fn run(nats: Arc<Nats>, stream: usize) {
    loop {
        if let Err(error) = read(&nats, stream).await {
            UNREADABLE.occurred(format_args!("{}: {error}", nats.streams[stream].name()));
        }
        sleep(RETRY_INTERVAL).await;
    }
}

async fn read(nats: &Nats, stream: usize) -> Result<(), Error> {
    let consumer = nats.streams[stream].prepare(&nats.context).await?;
    let mut max_messages = MESSAGES[0];
    loop {
        nats.wait_for_room().await;
        let request = consumer.batch().max_messages(max_messages).expires(POLL);
        let mut messages = timeout(REQUEST_TIMEOUT, request.messages()).await??;
        let (mut count, mut bytes) = (0, 0);
        // Without this limit it would wait for ever for a server that dies now.
        while let Some(message) = timeout(POLL + REQUEST_TIMEOUT, messages.next()).await? {
            let message = message?;
            (count, bytes) = (count + 1, bytes + message.payload.len());
            nats.take(stream, message)?;
        }
        if bytes >= MAX_BYTES / 8 {
            max_messages = MESSAGES[0];
        } else if count == max_messages {
            max_messages = (max_messages * 2).min(MESSAGES[1]);
        }
    }
}
