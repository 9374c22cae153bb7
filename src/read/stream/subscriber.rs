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

use super::event_tail::{Batch, End, EventTail, Next};
use crate::http::Error;
use crate::read::reader::Reader;
use crate::read::validity::Validity;
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
    /// How often transaction ids had gone back when it was at `position`.
    rewinds: u64,
    /// Whether it has reached the tail. If it falls behind the tail after that, it is too slow.
    has_caught_up: bool,
    is_too_slow: bool,
    next_heartbeat: Instant,
    validity: Validity,
}

impl Subscriber {
    /// Subscribes after `position`, or from now on. Sends an event `reset` first if events after
    /// `position` are no longer available. Fails if there are too many subscribers.
    pub async fn start(
        event_tail: Arc<EventTail>,
        filter: Filter,
        position: Option<Position>,
    ) -> Result<Self, Error> {
        let (permit, now) = event_tail.subscribe().await?;
        let (position, greeting) = match position {
            Some(position) if !event_tail.reaches(position).await? => (now.position, reset()),
            position => (position.unwrap_or(now.position), Event::default()),
        };
        let heartbeat = event_tail.settings.heartbeat;
        Ok(Self {
            next_heartbeat: Instant::now() + heartbeat,
            validity: filter.reader.validity(),
            rewinds: now.rewinds,
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
        loop {
            if !self.validity.is_valid().await {
                return None;
            }
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
            let wait = self.next_heartbeat.min(self.validity.due());
            match timeout_at(wait, self.read()).await {
                Ok(Next::Batch(Batch { rows, end })) => {
                    self.pending.extend(rows);
                    self.position = end;
                }
                Ok(Next::Behind) => {
                    self.is_too_slow = true;
                    let comment = "too slow; reconnect with Last-Event-ID";
                    return Some(Event::default().comment(comment));
                }
                Ok(Next::Rewound) => {
                    let End { position, rewinds } = self.event_tail.end().await;
                    (self.position, self.rewinds) = (position, rewinds);
                    return Some(reset().id(position.to_string()));
                }
                // Time for a heartbeat, or to look the key up.
                Err(_) => {}
            }
        }
    }

    /// What comes next; `Behind` if the subscriber is too slow.
    async fn read(&mut self) -> Next {
        match self.event_tail.after(self.position, self.rewinds).await {
            Next::Behind if !self.has_caught_up => self.event_tail.page(self.position).await,
            next => {
                self.has_caught_up = true;
                next
            }
        }
    }
}

fn reset() -> Event {
    Event::default().event("reset").json_data(RESET).expect("it is a text")
}

fn event(row: &AppliedRow) -> Event {
    let event = Event::default().id(row.position.to_string()).event(&row.kind);
    event.json_data(row).expect("a row is texts and times")
}
