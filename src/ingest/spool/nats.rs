//! A NATS cluster as a medium of the spool: JetStream streams on three nodes.
//!
//! Several streams, because NATS needs 4 to 9 seconds to replace the leader of one: a group commit is
//! published to one stream and, if that does not acknowledge soon, to the next one too. A webhook that is
//! stored twice this way has one effect, because Postgres decides by its id.
//!
//! Every wait for NATS has a limit: a server that dies within a request sends no error.

mod connection;
mod hand;
pub mod message;
mod reader;
mod stream;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::{self, AckKind, Context};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

use self::connection::Connected;
use self::hand::{Hand, Taken};
use self::message::Message;
use self::stream::{ATTEMPT_TIMEOUT, AppendError, PREPARE_TIMEOUT, REQUEST_TIMEOUT, Stream};
use super::depth::Depth;
use crate::config;
use crate::event::Webhook;
use crate::model::Timestamp;

pub use self::stream::PrepareError;

/// Time after which a group commit has failed. Below the share of a spool, so that its callers have their
/// result.
const APPEND_TIMEOUT: Duration = Duration::from_millis(370);

/// Maximum size of a message with several webhooks, and room for its headers in `max_payload`.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
const HEADER_BYTES: usize = 4 << 10;

/// Room in `max_payload` beside the body of a webhook.
const RECORD_BYTES: usize = 64 << 10;

/// Time for which a message stays in hand without being committed. One whose first commit has not begun
/// gets it again.
const HOLD: Duration = Duration::from_secs(10);

/// Maximum duration of a commit. With [`HOLD`] it is below [`stream::ACK_WAIT`], after which the server
/// gives a message to another replica.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);

/// Delay after which a message that was given back is sent again, so that others come first.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Maximum number and size of the messages in hand from which no more are requested.
const MAX_MESSAGES: usize = 1000;
const MAX_BYTES: usize = 8 << 20;

/// The streams of this installation.
pub struct Nats {
    client: Client,
    context: Context,
    streams: Vec<Stream>,
    /// Stream for the next group commit.
    next: AtomicUsize,
    hand: Mutex<Hand<jetstream::Message>>,
    /// Number and size of the messages in hand.
    held: watch::Sender<(usize, usize)>,
    depth: watch::Sender<Depth>,
    /// Ends the tasks that read the streams; closed when all have ended.
    stopping: watch::Sender<bool>,
    max_body_bytes: usize,
    /// Why the first connection failed.
    failure: Option<String>,
}

impl Nats {
    /// Connects; if that fails, in the background for as long as it takes. Fails if a setting cannot be used.
    pub async fn connect(settings: &config::Spool, max_body_bytes: usize) -> io::Result<Self> {
        let Connected { client, failure } = connection::connect(settings).await?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(PREPARE_TIMEOUT);
        let streams = (0..settings.streams).map(|number| Stream::new(settings, number));
        Ok(Self {
            streams: streams.collect(),
            client,
            context,
            next: AtomicUsize::new(0),
            hand: Mutex::default(),
            held: watch::Sender::default(),
            depth: watch::Sender::default(),
            stopping: watch::Sender::default(),
            max_body_bytes,
            failure,
        })
    }

    /// Creates the streams that are missing, and compares the others with the settings.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        for stream in &self.streams {
            match (stream.prepare(&self.context).await, &self.failure) {
                (Err(PrepareError::Unavailable(_)), Some(failure))
                    if self.client.connection_state() != State::Connected =>
                {
                    return Err(PrepareError::Unavailable(failure.clone()));
                }
                (prepared, _) => drop(prepared?),
            }
        }
        let needed = self.max_body_bytes + RECORD_BYTES;
        let max_payload = self.client.server_info().max_payload;
        if max_payload < needed {
            return Err(PrepareError::MaxPayload { max_payload, needed });
        }
        Ok(())
    }

    /// Starts the tasks that read the streams.
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for stream in 0..self.streams.len() {
            tasks.spawn(reader::run(self.clone(), stream, self.stopping.subscribe()));
        }
    }

    /// Appends webhooks and returns how many were appended once a majority of the nodes has stored them:
    /// fewer if the streams are full.
    pub async fn append(&self, webhooks: &[Webhook]) -> io::Result<usize> {
        let result = self.publish_all(webhooks).await;
        self.depth.send_modify(|depth| {
            depth.has_failed = result.is_err();
            if let Ok(count @ 1..) = result {
                depth.events += count as u64;
                depth.bytes += webhooks[..count].iter().map(|it| it.body.len() as u64).sum::<u64>();
                depth.oldest_at = depth.oldest_at.or(Some(webhooks[0].received_at));
            }
        });
        result
    }

    async fn publish_all(&self, webhooks: &[Webhook]) -> io::Result<usize> {
        if self.client.connection_state() != State::Connected {
            return Err(io::Error::other("not connected"));
        }
        let max_payload = self.client.server_info().max_payload.saturating_sub(HEADER_BYTES);
        let messages = message::encode(webhooks, max_payload.min(MAX_MESSAGE_BYTES));
        let published = messages.iter().map(|message| async {
            match message.payload.len() <= max_payload {
                true => self.publish(message).await,
                false => Err(AppendError::Full),
            }
        });
        let mut appended = 0;
        for (message, result) in
            messages.iter().zip(futures_util::future::join_all(published).await)
        {
            match result {
                Ok(()) => appended += message.webhooks,
                Err(AppendError::Full) => break,
                Err(AppendError::Failed(_)) if appended > 0 => break,
                Err(AppendError::Failed(error)) => return Err(error),
            }
        }
        Ok(appended)
    }

    /// Publishes a message to the stream whose turn it is, and while that does not acknowledge, to others
    /// too.
    async fn publish(&self, message: &Message) -> Result<(), AppendError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.streams.len()).map(|i| (turn + i) % self.streams.len());
        let mut streams = in_turn.map(|i| &self.streams[i]).filter(|stream| stream.is_usable());
        let mut attempts = FuturesUnordered::new();
        let mut failure = AppendError::Failed(io::Error::other("no stream is usable"));
        let publishing = async {
            loop {
                attempts.extend(streams.next().map(|it| it.publish(&self.context, message)));
                match timeout(ATTEMPT_TIMEOUT, attempts.next()).await {
                    Ok(Some(Ok(()))) => return Ok(()),
                    Ok(Some(Err(error))) => failure = error,
                    Ok(None) => return Err(failure),
                    // Slow; it may still acknowledge.
                    Err(_) => {}
                }
            }
        };
        let timed_out = |_| Err(AppendError::Failed(io::ErrorKind::TimedOut.into()));
        timeout(APPEND_TIMEOUT, publishing).await.unwrap_or_else(timed_out)
    }

    /// Waits for messages in hand.
    pub async fn wait(&self) {
        // Fails only if the sender is gone, which `self` has.
        _ = self.held.subscribe().wait_for(|(messages, _)| *messages > 0).await;
    }

    /// Waits until more messages can be taken in hand.
    async fn wait_for_room(&self) {
        let has_room =
            |(messages, bytes): &(usize, usize)| *messages < MAX_MESSAGES && *bytes < MAX_BYTES;
        _ = self.held.subscribe().wait_for(has_room).await;
    }

    /// The first webhooks in hand with their keys: at most `limit`, up to the one that reaches `max_bytes`.
    /// Gives back what could not be committed, and tells the server of what still waits for its commit.
    pub async fn first(&self, limit: usize, max_bytes: u64) -> Vec<(u64, Webhook)> {
        let (old, waiting) = self.change(|hand| {
            let old = hand.release(HOLD);
            (old, hand.renew(HOLD))
        });
        for message in waiting {
            // If it does not arrive, another replica gets the message too.
            _ = message.ack_with(AckKind::Progress).await;
        }
        self.give_back(old, Some(RETRY_DELAY)).await;
        self.change(|hand| hand.first(limit, max_bytes))
    }

    /// Removes webhooks by key, and acknowledges the messages that are committed as a whole.
    pub async fn remove(&self, keys: &[u64]) -> io::Result<()> {
        let complete = self.change(|hand| hand.remove(keys));
        self.depth.send_modify(|depth| {
            depth.events = depth.events.saturating_sub(keys.len() as u64);
        });
        for taken in complete {
            taken.message.ack().await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Takes a message in hand.
    fn take(&self, stream: usize, message: jetstream::Message) -> Result<(), async_nats::Error> {
        let info = message.info()?;
        let micros =
            i64::try_from(info.published.unix_timestamp_nanos() / 1000).unwrap_or_default();
        let published_at = Timestamp::from_micros(micros).unwrap_or_else(Timestamp::now);
        let place = (stream, info.stream_sequence);
        let webhooks = message::decode(&message.payload, published_at);
        if webhooks.iter().any(|webhook| webhook.is_damaged) {
            error!(
                nats.stream = self.streams[stream].name(),
                nats.sequence = place.1,
                "message of another program, quarantined"
            );
            counter!("qontak_receiver_spool_damaged_total").increment(1);
        }
        let bytes = message.payload.len();
        self.change(|hand| hand.take(place, message, webhooks, bytes));
        Ok(())
    }

    /// Changes the hand, and publishes its size while it is locked.
    fn change<T>(&self, change: impl FnOnce(&mut Hand<jetstream::Message>) -> T) -> T {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut hand);
        let size = hand.size();
        self.held.send_if_modified(|held| std::mem::replace(held, size) != size);
        result
    }

    /// Gives messages back to the server, for any replica after a delay. Of a message that is committed in part, the rest
    /// becomes a new one: what is committed would otherwise be counted as a duplicate again and again.
    async fn give_back(&self, messages: Vec<Taken<jetstream::Message>>, delay: Option<Duration>) {
        for taken in messages {
            let is_replaced = match taken.rest() {
                Some(rest) => self.publish_all(&rest).await.is_ok_and(|count| count == rest.len()),
                None => false,
            };
            let kind = if is_replaced { AckKind::Ack } else { AckKind::Nak(delay) };
            // If it does not arrive, the server waits for `ACK_WAIT`.
            _ = taken.message.ack_with(kind).await;
        }
    }

    /// Stops reading, and gives back what is in hand.
    pub async fn release(&self) {
        self.stopping.send_replace(true);
        _ = timeout(reader::STOP_TIMEOUT + REQUEST_TIMEOUT, self.stopping.closed()).await;
        let all = self.change(Hand::release_all);
        let giving_back = async {
            self.give_back(all, None).await;
            self.client.flush().await
        };
        _ = timeout(REQUEST_TIMEOUT, giving_back).await;
    }

    /// Reads number and size of the webhooks in all streams. A stream that does not answer counts as
    /// before; fails if none does.
    pub async fn measure(&self) -> io::Result<()> {
        let measuring = self.streams.iter().map(|stream| stream.measure(&self.context));
        let measured = futures_util::future::join_all(measuring).await;
        let is_connected = self.client.connection_state() == State::Connected;
        let failed = measured.iter().all(Result::is_err).then(|| {
            let error = measured.into_iter().find_map(Result::err);
            error.unwrap_or_else(|| io::Error::other("no stream"))
        });
        let failed = if is_connected { failed } else { Some(io::Error::other("not connected")) };
        self.depth.send_modify(|depth| {
            *depth = Depth { has_failed: failed.is_some(), ..Depth::default() };
            for known in self.streams.iter().map(Stream::known) {
                depth.events += known.events;
                depth.bytes += known.bytes;
                depth.oldest_at = [depth.oldest_at, known.oldest_at].into_iter().flatten().min();
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Subscribes to changes of the depth.
    pub fn watch(&self) -> watch::Receiver<Depth> {
        self.depth.subscribe()
    }
}
