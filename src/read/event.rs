//! The journal: events and their raw bodies.

pub mod replay;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{TimeDelta, Utc};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::page::{List, PageQuery};
use super::reader::{Authorized, AuthorizedList, OrganizationQuery};
use crate::event::{Kind, Outcome};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, DayOrTime, Flag, Labels, Text, period};
use crate::model::{EventId, Timestamp};
use crate::query;
use crate::store::event::{self, EventRow, Filter, Place};
use crate::store::walk::Walk;

query! {
    /// Filters of the list of events.
    pub struct EventQuery {
        /// Filter by kind; events of any of several.
        kind: AnyOf<Kind>,
        /// Filter by the event name, in any case; events with any of several.
        name: Labels,
        /// Filter by outcome; events with any of several, `quarantined,malformed`.
        outcome: AnyOf<Outcome>,
        /// Filter by the id of the message, broadcast log or room that the event is about.
        subject_id: Text,
        /// Filter by whether anything of the event was not understood.
        has_reasons: Flag,
        /// Filter by the name of the endpoint.
        endpoint: Text,
        /// Filter by the request id of the first delivery, as in its response header `x-request-id`.
        /// Needs `start_date`, and an `end_date` at most one day later (now by default).
        request_id: Text,
        /// Received on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Received until the end of this day (UTC), or before this time.
        end_date: DayOrTime,
    }
}

/// Maximum period of the filter `request_id`. It has no index, which would cost each event more than
/// this rare query is worth, so it reads all events of the period.
const MAX_PERIOD: TimeDelta = TimeDelta::days(1);

impl EventQuery {
    fn filter(self) -> Result<Filter, Error> {
        let (since, until) = period(self.start_date, self.end_date, &Utc)?;
        let filter = Filter {
            kind: self.kind.map(|kinds| kinds.0),
            name: self.name.map(Labels::lower_case),
            outcome: self.outcome.map(|outcomes| outcomes.0),
            subject_id: self.subject_id.map(|text| text.0),
            has_reasons: self.has_reasons.map(|flag| flag.0),
            endpoint: self.endpoint.map(|text| text.0),
            request_id: self.request_id.map(|text| text.0),
            since,
            until,
        };
        let end = until.unwrap_or_else(Timestamp::now);
        let is_short = since.is_some_and(|since| end.0 - since.0 <= MAX_PERIOD);
        if filter.request_id.is_some() && !is_short {
            let expected = "needs start_date, and an end_date at most 1 day later (by default now)";
            return Err(Error::parameter("request_id", expected));
        }
        Ok(filter)
    }
}

/// List events of the journal, newest first
#[utoipa::path(
    get, path = "/events", params(EventQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<EventRow>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, EventQuery>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let filter = query.filter()?;
    let fetch = async move |walk: Walk<Place>| {
        event::list(&db, reader.organizations(), &filter, &walk).await
    };
    page.respond(fetch, EventRow::place).await
}

/// Get an event without its body
#[utoipa::path(
    get, path = "/events/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<EventRow>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let row = event::find(&db, reader.organizations(), parse(&id)?).await?;
    Ok(one(row.ok_or(Error::NotFound)?))
}

/// Get the raw request body of an event
#[utoipa::path(
    get, path = "/events/{id}/body", params(OrganizationQuery),
    responses((
        status = OK,
        description = "The body as received; `application/octet-stream` if it is not JSON.",
        content((Value = "application/json"), (Bytes = "application/octet-stream"))
    ))
)]
pub async fn body(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let found = event::find_body(&db, reader.organizations(), parse(&id)?).await?;
    let (body, outcome) = found.ok_or(Error::NotFound)?;
    let content_type = match outcome {
        Outcome::Malformed => "application/octet-stream",
        _ => "application/json",
    };
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}

/// Bytes as received.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "for the OpenAPI document")]
struct Bytes(Vec<u8>);

fn parse(id: &str) -> Result<EventId, Error> {
    id.parse().map(EventId).map_err(|_| Error::NotFound)
}
