//! `GET /v1/stream`: what is applied, as it commits, as server-sent events.
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>)

pub mod event_tail;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream::unfold;
use serde::Serialize;
use strum::VariantNames;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use self::event_tail::{Batch, EventTail};
use super::key::Keys;
use super::reader::Reader;
use crate::event::Kind;
use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::http::extract::Parameters;
use crate::read::state::ReadState;
use crate::store::batch::{AppliedRow, Position};

/// After how long a client comes back that was cut off.
const RETRY: Duration = Duration::from_secs(2);

/// What is applied, as it commits, as server-sent events.
///
/// From now on, or from after `Last-Event-ID`: nothing is missed then and nothing comes twice.
/// `event` is the kind, `data` what is described here. An event `reset` means that what came after
/// that id is not kept any more: load again what you show. An `id` without data is only a place to
/// go on from; it comes at first, and every 15 s when there is nothing else. Who reads too slowly
/// is cut off, and goes on by `Last-Event-ID`.
#[utoipa::path(
    get, path = "/stream",
    params(
        Listen,
        ("Last-Event-ID" = Option<String>, Header, description = "The last `id` that was seen.")
    ),
    responses(
        (
            status = OK,
            description = "Server-sent events, without end; `data` of each is such an object.",
            content_type = "text/event-stream",
            body = Heard
        ),
        (status = NOT_FOUND, description = "The key may not see this organisation.", body = ErrorResponse)
    )
)]
// The time for an answer is limited until it begins, as with every route; then it lasts.
pub async fn listen(
    reader: Reader,
    mut parameters: Parameters,
    headers: HeaderMap,
    State(app): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let room_id = parameters.text("room_id");
    let kind = parameters.one_of("kind", Kind::VARIANTS);
    let organization_id = parameters.text("organization_id");
    let last = last_event_id(&mut parameters, &headers);
    parameters.finish()?;
    let filter = Filter { reader, organization_id, room_id, kind };
    if !filter.organization_id.as_deref().is_none_or(|id| filter.may_see(Some(id))) {
        return Err(Error::NotFound);
    }

    let event_tail = app.event_tail.clone();
    let (permit, now) = event_tail.subscribe().await?;
    let (position, hello) = match last {
        Some(last) if !event_tail.reaches(last).await? => {
            (now, Event::default().event("reset").json_data(RESET).expect("it is a text"))
        }
        last => (last.unwrap_or(now), Event::default()),
    };
    let hello = hello.retry(RETRY).id(position.to_string());
    let subscriber = Subscriber {
        next_heartbeat: Instant::now() + event_tail.settings.heartbeat,
        next_look: Instant::now() + event_tail.settings.heartbeat,
        keys: app.keys.clone(),
        waiting: VecDeque::new(),
        hello: Some(hello),
        is_live: false,
        is_cut: false,
        position,
        filter,
        event_tail,
        _permit: permit,
    };
    let closed = subscriber.event_tail.closed();
    let events = unfold((subscriber, Box::pin(closed)), async |(mut subscriber, mut closed)| {
        tokio::select! {
            biased;
            () = &mut closed => None,
            event = subscriber.next() => Some((Ok::<_, Infallible>(event?), (subscriber, closed))),
        }
    });
    // nginx would gather answers.
    Ok(([("x-accel-buffering", "no")], Sse::new(events)))
}

/// What `data` of an event is.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document alone reads it")]
enum Heard {
    Applied(AppliedRow),
    Reset(Reset),
}

/// Of an event `reset`.
#[derive(Serialize, ToSchema)]
struct Reset {
    /// Why, and what to do.
    reason: &'static str,
}

const RESET: Reset = Reset {
    reason: "what came after your Last-Event-ID is not kept any more, or was never here: \
             load again what you show",
};

/// What a subscriber may ask for. (Its handler reads it by itself; this is for the document.)
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document alone reads it")]
struct Listen {
    /// Only events of this room: of its messages, and of its life.
    room_id: Option<String>,
    /// Only events of this kind.
    #[param(value_type = Option<Kind>, inline)]
    kind: Option<String>,
    /// Only events of this organisation.
    organization_id: Option<String>,
    /// The same as the header `Last-Event-ID`, for who cannot send headers.
    last_event_id: Option<String>,
}

/// Where a client wants to go on: its header, or a parameter for who cannot send headers.
fn last_event_id(parameters: &mut Parameters, headers: &HeaderMap) -> Option<Position> {
    const ALLOWED: &str = "must be an id that this stream gave";
    let given = parameters.value("last_event_id");
    // An empty one is what a client has before the first.
    if let Some(header) = headers.get("last-event-id").filter(|header| !header.is_empty()) {
        let position = header.to_str().ok().and_then(|text| text.parse().ok());
        return position.or_else(|| parameters.refuse("Last-Event-ID", ALLOWED));
    }
    let given = given?;
    given.parse().ok().or_else(|| parameters.refuse("last_event_id", ALLOWED))
}

/// Which events a subscriber is told of.
struct Filter {
    reader: Reader,
    organization_id: Option<String>,
    room_id: Option<String>,
    kind: Option<String>,
}

impl Filter {
    fn lets_through(&self, row: &AppliedRow) -> bool {
        self.may_see(row.organization_id.as_deref())
            && (self.organization_id.is_none() || self.organization_id == row.organization_id)
            && (self.room_id.is_none() || self.room_id == row.room_id)
            && self.kind.as_ref().is_none_or(|kind| *kind == row.kind)
    }

    fn may_see(&self, organization_id: Option<&str>) -> bool {
        self.reader.organizations().is_none_or(|organizations| {
            organization_id.is_some_and(|id| organizations.iter().any(|own| own == id))
        })
    }
}

/// One who listens, and how far it is.
struct Subscriber {
    event_tail: Arc<EventTail>,
    _permit: OwnedSemaphorePermit,
    filter: Filter,
    hello: Option<Event>,
    /// What was read and not told yet.
    waiting: VecDeque<Arc<AppliedRow>>,
    /// All up to here was told, or is waiting.
    position: Position,
    /// Whether it once had all there was, so that it is slow if it has not any more.
    is_live: bool,
    is_cut: bool,
    next_heartbeat: Instant,
    /// When to look whether its key is still live.
    next_look: Instant,
    keys: Keys,
}

impl Subscriber {
    /// The next event for it; `None` after it was told that it is too slow, or if its key ended.
    async fn next(&mut self) -> Option<Event> {
        if self.is_cut {
            return None;
        }
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        if Instant::now() >= self.next_look {
            if !self.keys.know(self.filter.reader.key()).await {
                return None;
            }
            self.next_look = Instant::now() + self.event_tail.settings.heartbeat;
        }
        loop {
            while let Some(row) = self.waiting.pop_front() {
                if self.filter.lets_through(&row) {
                    self.next_heartbeat = Instant::now() + self.event_tail.settings.heartbeat;
                    return Some(event(&row));
                }
            }
            if Instant::now() >= self.next_heartbeat {
                self.next_heartbeat = Instant::now() + self.event_tail.settings.heartbeat;
                // Where the stream is, for who comes back after long with nothing for it.
                return Some(Event::default().comment("heartbeat").id(self.position.to_string()));
            }
            if let Ok(news) = timeout_at(self.next_heartbeat, self.read()).await {
                let Some(news) = news else {
                    self.is_cut = true;
                    return Some(Event::default().comment("too slow; go on by Last-Event-ID"));
                };
                self.waiting.extend(news.rows);
                self.position = news.end;
            }
        }
    }

    /// What comes next; `None` if it is too slow.
    async fn read(&mut self) -> Option<Batch> {
        match self.event_tail.after(self.position).await {
            Some(news) => {
                self.is_live = true;
                Some(news)
            }
            None if self.is_live => None,
            None => Some(self.event_tail.page(self.position).await),
        }
    }
}

fn event(row: &AppliedRow) -> Event {
    let event = Event::default().id(row.position.to_string()).event(&row.kind);
    event.json_data(row).expect("a row is texts and times")
}
