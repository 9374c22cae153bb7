//! A stream with its consumer: how they are created, and when a stream is not used.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::message::Message;
use crate::config;
use crate::model::Timestamp;

/// Time after which the server gives a message that is not acknowledged to another replica. Above the time
/// in hand plus that of a commit.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// Maximum number of messages in the hands of all replicas. Above that of one, so that no replica takes
/// all.
const MAX_ACK_PENDING: i64 = 20_000;

/// Name of the consumer, which all replicas share.
const CONSUMER: &str = "writer";

/// Time after which a message is published to another stream too.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(150);

/// Timeout of other requests.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of creating a stream and its consumer, which takes some seconds on slow disks.
pub const PREPARE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for which a stream is not used after it failed or was slow.
const REST: Duration = Duration::from_secs(1);

/// Copies of each stream.
const REPLICAS: usize = 3;

/// A stream.
pub struct Stream {
    config: Config,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether it exists as configured, when last asked.
    is_prepared: bool,
    rests_until: Option<Instant>,
    known: Known,
}

/// Contents of a stream when it was last asked.
#[derive(Clone, Copy, Default)]
pub struct Known {
    /// Number of webhooks.
    pub events: u64,
    /// Size of the messages.
    pub bytes: u64,
    /// Time of the oldest message.
    pub oldest_at: Option<Timestamp>,
}

/// Why a message was not appended.
pub enum AppendError {
    /// The stream is full, or the message does not fit into it.
    Full,
    /// Anything else; the message may be stored.
    Failed(io::Error),
}

/// Why the streams cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The stream exists with other limits.
    #[error(
        "stream {name} has {found}, expected {expected}; correct it with `nats stream edit {name}`, or set \
         spool.stream_name"
    )]
    Different {
        /// Name of the stream.
        name: String,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// The largest webhook does not fit into a message.
    #[error(
        "max_payload of the NATS servers is {max_payload}, too small for http.max_body_bytes; set it to \
         {needed} or more, such as 8MB"
    )]
    MaxPayload {
        /// The servers' limit.
        max_payload: usize,
        /// What is needed.
        needed: usize,
    },
    /// No answer, or an error.
    #[error("{0}")]
    Unavailable(String),
}

impl Stream {
    pub fn new(settings: &config::Spool, number: usize) -> Self {
        let name = format!("{}-{number}", settings.stream_name.0);
        let max_bytes = settings.max_bytes / settings.streams as u64;
        let config = Config {
            // The last word of a subject is the number of webhooks in a message, so that the server counts
            // them.
            subjects: vec![format!("{name}.*")],
            name,
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            num_replicas: REPLICAS,
            // The default would forget acknowledged webhooks.
            discard: DiscardPolicy::New,
            max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
            ..Config::default()
        };
        Self { config, state: Mutex::default() }
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether messages can be published now.
    pub fn is_usable(&self) -> bool {
        self.change(|state| {
            state.is_prepared && state.rests_until.is_none_or(|until| Instant::now() >= until)
        })
    }

    pub fn known(&self) -> Known {
        self.change(|state| state.known)
    }

    /// Creates the stream and its consumer if they are missing.
    pub async fn prepare(&self, context: &Context) -> Result<PullConsumer, PrepareError> {
        let prepared = timeout(PREPARE_TIMEOUT, self.create(context)).await;
        let no_answer = || {
            let text = "no answer; check that most of the nodes are running";
            PrepareError::Unavailable(format!("stream {}: {text}", self.name()))
        };
        prepared.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn create(&self, context: &Context) -> Result<PullConsumer, PrepareError> {
        let unavailable = |error: &dyn std::error::Error| {
            PrepareError::Unavailable(format!("stream {}: {error}", self.name()))
        };
        let stream = context.get_or_create_stream(self.config.clone()).await;
        let stream = stream.map_err(|error| unavailable(&error))?;
        let compared = self.compare(&stream.cached_info().config);
        // Messages can be published even if the consumer does not answer now.
        self.change(|state| state.is_prepared = compared.is_ok());
        compared?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            // A message that reached a limit would stay in the stream and never be delivered again.
            max_deliver: -1,
            ..pull::Config::default()
        };
        // Updates one with other settings.
        stream.create_consumer(config).await.map_err(|error| unavailable(&error))
    }

    fn compare(&self, found: &Config) -> Result<(), PrepareError> {
        let show = |config: &Config| {
            [
                format!("subjects {:?}", config.subjects),
                format!("retention {:?}", config.retention),
                format!("storage {:?}", config.storage),
                format!("replicas {}", config.num_replicas),
                format!("discard {:?}", config.discard),
                format!("max_bytes {}", config.max_bytes),
                format!("max_age {:?}", config.max_age),
                // 0 and -1: no limit.
                format!("max_messages {}", config.max_messages.max(0)),
                format!("max_message_size {}", config.max_message_size.max(0)),
                format!("max_messages_per_subject {}", config.max_messages_per_subject.max(0)),
                format!("no_ack {}", config.no_ack),
            ]
        };
        let differing = show(found).into_iter().zip(show(&self.config)).find(|(a, b)| a != b);
        match differing {
            None => Ok(()),
            Some((found, expected)) => {
                let name = self.name().to_owned();
                Err(PrepareError::Different { name, found, expected })
            }
        }
    }

    /// Publishes a message and waits until a majority of the nodes has stored it.
    pub async fn publish(&self, context: &Context, message: &Message) -> Result<(), AppendError> {
        let mut attempt = Attempt { stream: self, began: Instant::now(), has_failed: false };
        let subject = format!("{}.{}", self.name(), message.webhooks);
        let published =
            async { context.publish(subject, message.payload.clone()).await?.await.map(drop) };
        let result = published.await;
        attempt.has_failed = result.is_err();
        result.map_err(|error| {
            let source = std::error::Error::source(&error);
            let refusal = source.and_then(|it| it.downcast_ref::<jetstream::Error>());
            let is_full = error.kind() == PublishErrorKind::Other
                && refusal.is_some_and(|it| it.error_code() == ErrorCode::STREAM_STORE_FAILED);
            attempt.has_failed &= !is_full;
            match is_full {
                true => AppendError::Full,
                false => AppendError::Failed(io::Error::other(format!("{}: {error}", self.name()))),
            }
        })
    }

    /// Asks for number and size of the webhooks in the stream.
    pub async fn measure(&self, context: &Context) -> io::Result<()> {
        let asking = async {
            let stream = context.get_stream_no_info(self.name()).await.map_err(io::Error::other)?;
            let asked = stream.info_with_subjects(">").await;
            let mut subjects = asked.map_err(io::Error::other)?;
            let mut events = 0;
            while let Some(subject) = subjects.next().await {
                let (subject, messages) = subject.map_err(io::Error::other)?;
                // Messages of another program count as one webhook each.
                let webhooks = subject.rsplit('.').next().and_then(|word| word.parse::<u64>().ok());
                events += messages as u64 * webhooks.unwrap_or(1);
            }
            let state = &subjects.info.state;
            let micros = i64::try_from(state.first_timestamp.unix_timestamp_nanos() / 1000);
            let oldest_at =
                micros.ok().and_then(Timestamp::from_micros).filter(|_| state.messages > 0);
            io::Result::Ok(Known { events, bytes: state.bytes, oldest_at })
        };
        let known = timeout(REQUEST_TIMEOUT, asking).await??;
        self.change(|state| state.known = known);
        Ok(())
    }
}

/// An attempt to publish. A stream that has failed, or has not acknowledged soon, rests.
struct Attempt<'a> {
    stream: &'a Stream,
    began: Instant,
    has_failed: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.has_failed || self.began.elapsed() >= ATTEMPT_TIMEOUT {
            self.stream.change(|state| state.rests_until = Some(Instant::now() + REST));
        }
    }
}
