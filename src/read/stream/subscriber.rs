//! One subscriber of the stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::stream::{Stream, unfold};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::event_tail::{Batch, EventTail};
use crate::http::Error;
use crate::read::keys::Keys;
use crate::read::reader::Reader;
use crate::store::batch::{AppliedRow, Position};

/// Delay after which a disconnected client reconnects.
const RETRY: Duration = Duration::from_secs(2);

/// `data` of an event `reset`.
#[derive(Serialize, ToSchema)]
pub struct Reset {
    /// Why, and what to do.
    reason: &'static str,
}

const RESET: Reset = Reset {
    reason: "events after this Last-Event-ID are no longer available, or it is unknown: reload \
             what is displayed",
};

/// Which events a subscriber receives.
pub struct Filter {
    pub reader: Reader,
    pub room_id: Option<String>,
    pub kind: Option<&'static str>,
}

impl Filter {
    fn matches(&self, row: &AppliedRow) -> bool {
        self.reader.shows(row.organization_id.as_deref())
            && (self.room_id.is_none() || self.room_id == row.room_id)
            && self.kind.is_none_or(|kind| kind == row.kind)
    }
}

/// A subscriber and its position.
pub struct Subscriber {
    event_tail: Arc<EventTail>,
    _permit: OwnedSemaphorePermit,
    filter: Filter,
    /// Sent first: a reset, or the position alone.
    greeting: Option<Event>,
    /// Read but not sent yet.
    pending: VecDeque<Arc<AppliedRow>>,
    /// Everything up to here is sent or pending.
    position: Position,
    /// Whether it has reached the tail. If it falls behind the tail after that, it is too slow.
    has_caught_up: bool,
    is_too_slow: bool,
    next_heartbeat: Instant,
    next_key_check: Instant,
    keys: Keys,
}

impl Subscriber {
    /// Subscribes after `position`, or from now on. Sends an event `reset` first if events after
    /// `position` are no longer available. Fails if there are too many subscribers.
    pub async fn start(
        event_tail: Arc<EventTail>,
        keys: Keys,
        filter: Filter,
        position: Option<Position>,
    ) -> Result<Self, Error> {
        let (permit, now) = event_tail.subscribe().await?;
        let (position, greeting) = match position {
            Some(position) if !event_tail.reaches(position).await? => {
                (now, Event::default().event("reset").json_data(RESET).expect("it is a text"))
            }
            position => (position.unwrap_or(now), Event::default()),
        };
        let heartbeat = event_tail.settings.heartbeat;
        Ok(Self {
            next_heartbeat: Instant::now() + heartbeat,
            next_key_check: Instant::now() + heartbeat,
            keys,
            pending: VecDeque::new(),
            greeting: Some(greeting.retry(RETRY).id(position.to_string())),
            has_caught_up: false,
            is_too_slow: false,
            position,
            filter,
            event_tail,
            _permit: permit,
        })
    }

    /// The events, until the subscriber is too slow, its key becomes invalid, or the service stops.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let closed = Box::pin(self.event_tail.closed());
        unfold((self, closed), async |(mut subscriber, mut closed)| {
            tokio::select! {
                biased;
                () = &mut closed => None,
                event = subscriber.next() => Some((Ok(event?), (subscriber, closed))),
            }
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.is_too_slow {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let heartbeat = self.event_tail.settings.heartbeat;
        if Instant::now() >= self.next_key_check {
            if !self.keys.is_valid(self.filter.reader.key()).await {
                return None;
            }
            self.next_key_check = Instant::now() + heartbeat;
        }
        loop {
            while let Some(row) = self.pending.pop_front() {
                if self.filter.matches(&row) {
                    self.next_heartbeat = Instant::now() + heartbeat;
                    return Some(event(&row));
                }
            }
            if Instant::now() >= self.next_heartbeat {
                self.next_heartbeat = Instant::now() + heartbeat;
                // With the position, so that a client without matching events resumes from here.
                return Some(Event::default().comment("heartbeat").id(self.position.to_string()));
            }
            if let Ok(batch) = timeout_at(self.next_heartbeat, self.read()).await {
                let Some(batch) = batch else {
                    self.is_too_slow = true;
                    let comment = "too slow; reconnect with Last-Event-ID";
                    return Some(Event::default().comment(comment));
                };
                self.pending.extend(batch.rows);
                self.position = batch.end;
            }
        }
    }

    /// The next batch; `None` if the subscriber is too slow.
    async fn read(&mut self) -> Option<Batch> {
        match self.event_tail.after(self.position).await {
            Some(batch) => {
                self.has_caught_up = true;
                Some(batch)
            }
            None if self.has_caught_up => None,
            None => Some(self.event_tail.page(self.position).await),
        }
    }
}

fn event(row: &AppliedRow) -> Event {
    let event = Event::default().id(row.position.to_string()).event(&row.kind);
    event.json_data(row).expect("a row is texts and times")
}
