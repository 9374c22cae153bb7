//! `GET /v1/stream`: applied events as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

pub mod event_tail;
mod subscriber;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::Sse;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use self::subscriber::{Filter, Reset, Subscriber};
use super::reader::{Authorized, OrganizationQuery};
use super::state::ReadState;
use crate::event::Kind;
use crate::http::Error;
use crate::http::query::Parameter;
use crate::http::query::value::{Text, text};
use crate::store::batch::{AppliedRow, Position};
use crate::{parameter_schema, query};

query! {
    /// Filters of the stream.
    pub struct StreamQuery {
        /// Filter by room: events of its messages and of its lifecycle.
        room_id: Text,
        /// Filter by kind.
        kind: Kind,
        /// Same as the header `Last-Event-ID`, for clients that cannot send headers.
        last_event_id: Position,
    }
}

const INVALID_ID: &str = "must be an id that this stream gave";

parameter_schema!(Position, [], text().pattern(Some(Position::PATTERN)));

/// Headers of the stream, for the OpenAPI document; [`header_position`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub struct StreamHeaders {
    /// Last `id` that the client received; empty for none.
    #[param(rename = "Last-Event-ID", inline, nullable = false)]
    last_event_id: Option<LastEventId>,
}

/// A position, or an empty text.
struct LastEventId;

parameter_schema!(LastEventId, [], text().pattern(Some(format!("^$|{}", Position::PATTERN))));

impl Parameter for Position {
    fn parse(values: &[&str]) -> Result<Self, String> {
        values[0].parse().map_err(|()| INVALID_ID.to_owned())
    }
}

/// Stream applied events (server-sent events)
///
/// Sends events as they are committed, from now on or after `Last-Event-ID`. A client that reconnects
/// with `Last-Event-ID` resumes on any replica, without gaps or duplicates. `event` is the kind;
/// `data` is the object below.
///
/// - An event `reset` means that the events after the last id are no longer available, because they
///   are too old or the database lost its last transactions: reload what is displayed.
/// - An `id` without data updates the position. It is sent at the start and every 15 seconds while
///   there are no events.
/// - Slow subscribers are disconnected; they resume with `Last-Event-ID`.
#[utoipa::path(
    get, path = "/stream",
    params(StreamQuery, OrganizationQuery, StreamHeaders),
    responses((
        status = OK,
        description = "An endless stream of server-sent events, each with such an object as `data`.",
        content_type = "text/event-stream",
        body = StreamData
    ))
)]
// The request timeout ends when the response begins.
pub async fn listen(
    Authorized { reader, query }: Authorized<StreamQuery>,
    headers: HeaderMap,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let position = match header_position(&headers)? {
        Some(position) => Some(position),
        None => query.last_event_id,
    };
    let filter = Filter {
        reader,
        room_id: query.room_id.map(|text| text.0),
        kind: query.kind.map(|kind| kind.as_str()),
    };
    let tail = state.event_tail.clone();
    let subscriber = Subscriber::start(tail, filter, position).await?;
    // nginx would buffer the response.
    Ok(([("x-accel-buffering", "no")], Sse::new(subscriber.into_stream())))
}

/// The position in the header `Last-Event-ID`. Browsers send an empty one before the first event.
fn header_position(headers: &HeaderMap) -> Result<Option<Position>, Error> {
    let Some(header) = headers.get("last-event-id").filter(|header| !header.is_empty()) else {
        return Ok(None);
    };
    let position = header.to_str().ok().and_then(|text| text.parse().ok());
    position.map(Some).ok_or_else(|| Error::parameter("Last-Event-ID", INVALID_ID))
}

/// `data` of an event.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum StreamData {
    Applied(AppliedRow),
    Reset(Reset),
}
