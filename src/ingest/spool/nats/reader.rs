//! The task that reads a stream: takes messages in hand while there is room.
//!
//! A message that arrives when nobody reads the subscription of its request is lost to all replicas until
//! `ACK_WAIT` has passed. So there is one subscription for all requests, and a task that stops reads on until
//! its last request has ended.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Error, StatusCode, Subscriber, jetstream};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::stream::REQUEST_TIMEOUT;
use super::{MAX_BYTES, Nats};
use crate::telemetry::fault::Fault;

static UNREADABLE: Fault = Fault::warn("nats stream cannot be read");

/// Number of messages of a request: at first and while they are large, and at most.
///
/// A limit in bytes is not used: the server reports that it is reached before it sends the messages.
const MESSAGES: [usize; 2] = [8, 128];

/// Time for which the server waits for messages. Short, because a request is lost with the server that got
/// it, and a replica that stops waits for its end.
const POLL: Duration = Duration::from_secs(1);

/// Maximum time from the stop to the end of the task.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(1500);

/// Pause after an error.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Reads a stream, and creates it if it is missing, until `stopping` changes.
pub async fn run(nats: Arc<Nats>, stream: usize, mut stopping: watch::Receiver<bool>) {
    let mut reader = match Reader::start(&nats, stream).await {
        Ok(reader) => reader,
        // The client has ended, which it does with the process only.
        Err(error) => return UNREADABLE.occurred(error),
    };
    tokio::select! {
        () = reader.run() => {}
        _ = stopping.changed() => {}
    }
    reader.finish().await;
}

/// Requests for the messages of a stream, one after the other.
struct Reader<'a> {
    nats: &'a Nats,
    stream: usize,
    /// Each request has a subject of its own below this one.
    inbox: String,
    messages: Subscriber,
    /// Number of requests.
    requests: u64,
    /// Number of messages that the last request can still bring.
    open: usize,
}

impl<'a> Reader<'a> {
    async fn start(nats: &'a Nats, stream: usize) -> Result<Self, Error> {
        let inbox = nats.client.new_inbox();
        let messages = nats.client.subscribe(format!("{inbox}.*")).await?;
        Ok(Self { nats, stream, inbox, messages, requests: 0, open: 0 })
    }

    /// Never ends.
    async fn run(&mut self) {
        loop {
            if let Err(error) = self.read().await {
                let name = self.nats.streams[self.stream].name();
                UNREADABLE.occurred(format_args!("{name}: {error}"));
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let consumer = self.nats.streams[self.stream].prepare(&self.nats.context).await?;
        let mut max_messages = MESSAGES[0];
        loop {
            self.nats.wait_for_room().await;
            timeout(REQUEST_TIMEOUT, self.request(&consumer, max_messages)).await??;
            let (mut count, mut bytes) = (0, 0);
            // Without this limit it would wait for ever for a server that dies now.
            while let Some(size) = timeout(POLL + REQUEST_TIMEOUT, self.take()).await?? {
                (count, bytes) = (count + 1, bytes + size);
            }
            if bytes >= MAX_BYTES / 8 {
                max_messages = MESSAGES[0];
            } else if count >= max_messages {
                max_messages = (max_messages * 2).min(MESSAGES[1]);
            }
        }
    }

    /// Reads what the last request brings, so that it can be given back.
    async fn finish(&mut self) {
        let end = Instant::now() + STOP_TIMEOUT;
        while let Ok(Ok(Some(_))) = timeout_at(end, self.take()).await {}
    }

    /// Requests messages for [`POLL`].
    async fn request(&mut self, consumer: &PullConsumer, messages: usize) -> Result<(), Error> {
        (self.requests, self.open) = (self.requests + 1, messages);
        let batch = BatchConfig { batch: messages, expires: Some(POLL), ..BatchConfig::default() };
        consumer.request_batch(batch, self.subject().into()).await?;
        Ok(())
    }

    /// Subject of the last request.
    fn subject(&self) -> String {
        format!("{}.{}", self.inbox, self.requests)
    }

    /// Takes the next message in hand, also one of a request before, and returns its size; `None` when the
    /// last request has ended.
    async fn take(&mut self) -> Result<Option<usize>, Error> {
        while self.open > 0 {
            let message = self.messages.next().await.ok_or("the subscription has ended")?;
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.open -= 1;
                    let (size, context) = (message.payload.len(), self.nats.context.clone());
                    self.nats.take(self.stream, jetstream::Message { message, context })?;
                    return Ok(Some(size));
                }
                _ if message.subject.as_str() != self.subject() => {}
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(status) => {
                    self.open = 0;
                    if !matches!(status, StatusCode::TIMEOUT | StatusCode::NOT_FOUND) {
                        let text = message.description.unwrap_or_default();
                        return Err(format!("{status} {text}").into());
                    }
                }
            }
        }
        Ok(None)
    }
}
