//! Templates and contact lists that a caller creates at Qontak.
//!
//! A row of table `creation` is committed before Qontak is called, so a repeated request is never sent a
//! second time by itself; and where Qontak's answer is not known, the response says so.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::IntoResponses;
use uuid::Uuid;

use super::envelope::{One, one};
use super::reader::{AuthorizedWrite, Reader};
use super::state::ReadState;
use crate::http::Error;
use crate::http::error::ErrorResponse;
use crate::http::extract::Id;
use crate::qontak::create::{Creations, MAX_CSV, NewContactList, NewCreation, NewTemplate, Target};
use crate::store::creation::{self, Claim, CreationRow, Report, State as CreationState};

/// Time in which a caller gets Qontak's answer. A longer call goes on without it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

/// Maximum size of a request body: JSON writes the quotes and line breaks of a file as two bytes each.
const MAX_BODY_BYTES: usize = 2 * MAX_CSV + (1 << 20);

const HEADER: &str = "Idempotency-Key";
const MAX_KEY: usize = 255;

/// The body of a request and its idempotency key.
pub struct Sent {
    key: String,
    body: Value,
}

impl FromRequest<ReadState> for Sent {
    type Rejection = Error;

    async fn from_request(request: Request, state: &ReadState) -> Result<Self, Error> {
        if state.creations.is_none() {
            return Err(Error::WritesOff);
        }
        let (head, body) = request.into_parts();
        let key =
            head.headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|c| c.is_ascii_graphic()) {
            let expected =
                format!("is needed as a header, 1 to {MAX_KEY} characters of ASCII without spaces");
            return Err(Error::parameter(HEADER, expected));
        }
        let limit = state.read_timeout;
        let read = timeout(limit, to_bytes(body, MAX_BODY_BYTES)).await;
        let body = read.map_err(|_| Error::BodyTimeout(limit))?;
        let body = body.map_err(|_| Error::BodyTooLarge(MAX_BODY_BYTES))?;
        let body = serde_json::from_slice(&body);
        let body = body.map_err(|_| Error::parameter("body", "must be a JSON object"))?;
        Ok(Self { key: key.to_owned(), body })
    }
}

/// Responses to a request that creates something.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum Responses {
    /// Accepted by Qontak; `Location` shows the state.
    #[response(status = CREATED)]
    Created(One<CreationRow>),
    /// Qontak has not answered yet; `Location` shows the result.
    #[response(status = ACCEPTED)]
    Accepted(One<CreationRow>),
    /// The first request with this key is being sent.
    #[response(status = CONFLICT)]
    Conflict(ErrorResponse),
    /// Unknown whether Qontak accepted it.
    #[response(status = BAD_GATEWAY)]
    BadGateway(ErrorResponse),
}

/// Create a WhatsApp template at Qontak
///
/// Requires a key with the scope `write`, and the setting `api.write`. The template is checked first: a 422
/// names everything that is wrong with it, or has Qontak's own refusal. A request that is repeated with the
/// same `Idempotency-Key` within 30 days is not sent again, and answered with the state of the first one.
/// After a 503 it is sent again. A 502 means that it is unknown whether Qontak accepted it.
#[utoipa::path(
    post, path = "/templates", request_body = NewTemplate, security(("key" = ["write"])),
    params(
        super::reader::OrganizationQuery,
        ("Idempotency-Key" = String, Header, description = "Any text that is new for each template: 1 to 255 characters of ASCII without spaces.", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(Responses)
)]
pub async fn template(
    AuthorizedWrite { reader }: AuthorizedWrite,
    State(state): State<ReadState>,
    sent: Sent,
) -> Result<Response, Error> {
    let new = NewTemplate::parse(&sent.body).map_err(Error::Unprocessable)?;
    create(&state, &reader, &sent.key, NewCreation::Template(new)).await
}

/// Create a contact list at Qontak
///
/// Like `POST /v1/templates`. Qontak imports the contacts in the background.
#[utoipa::path(
    post, path = "/contact-lists", request_body = NewContactList, security(("key" = ["write"])),
    params(
        super::reader::OrganizationQuery,
        ("Idempotency-Key" = String, Header, description = "Any text that is new for each list: 1 to 255 characters of ASCII without spaces.", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(Responses)
)]
pub async fn contact_list(
    AuthorizedWrite { reader }: AuthorizedWrite,
    State(state): State<ReadState>,
    sent: Sent,
) -> Result<Response, Error> {
    let new = NewContactList::parse(&sent.body).map_err(Error::Unprocessable)?;
    create(&state, &reader, &sent.key, NewCreation::ContactList(new)).await
}

/// Get the state of a template or contact list that was created at Qontak
///
/// Kept for 30 days.
#[utoipa::path(
    get, path = "/creations/{id}", params(super::reader::OrganizationQuery),
    security(("key" = ["write"])), responses((status = OK, body = One<CreationRow>))
)]
pub async fn show(
    AuthorizedWrite { reader }: AuthorizedWrite,
    Id(id): Id,
    State(state): State<ReadState>,
) -> Result<impl IntoResponse, Error> {
    let id: Uuid = id.parse().map_err(|_| Error::NotFound)?;
    let row = creation::find(&state.primary, reader.organizations(), id).await?;
    Ok(one(row.ok_or(Error::NotFound)?))
}

async fn create(
    state: &ReadState,
    reader: &Reader,
    idempotency_key: &str,
    new: NewCreation,
) -> Result<Response, Error> {
    let creations = state.creations.as_ref().ok_or(Error::WritesOff)?;
    let target = target(creations, reader).await?;
    let request = creation::Request {
        organization_id: &target.organization_id,
        idempotency_key,
        request_sha256: new.sha256(),
        key_name: &reader.key().name,
        kind: new.kind(),
        name: new.name(),
    };
    let attempt = match creation::claim(&state.primary, &request).await? {
        Claim::Call(attempt) => attempt,
        Claim::Known(row) if row.state == CreationState::Sending => {
            let problem = "the first request with this Idempotency-Key is being sent to Qontak";
            return Err(Error::Conflict(problem));
        }
        Claim::Known(row) => return respond(*row),
        Claim::KeyTaken => {
            return Err(Error::parameter(HEADER, "was used for another request; use a new one"));
        }
    };
    let Some(sent) = creations.send(attempt, target, new) else {
        let error = "the service is stopping or busy".to_owned();
        let report = Report::of_error(CreationState::NotSent, error.clone());
        creation::report(&state.primary, attempt, &report).await?;
        return Err(Error::NotSent(error));
    };
    match timeout(ANSWER_TIMEOUT, sent).await {
        Ok(Ok(row)) => respond(row),
        // Qontak is slow, or its answer cannot be stored.
        _ => {
            let id = attempt.creation_id;
            match creation::find(&state.primary, None, id).await {
                Ok(row) => respond(row.ok_or(Error::Internal)?),
                // It may have been sent, so this is no ordinary outage.
                Err(_) => Err(unknown("the database is unavailable", &location(id))),
            }
        }
    }
}

/// The organisation in which the caller creates something: the one it asks for, or the only one. One that
/// cannot be reached matters only if it could be meant.
async fn target(creations: &Creations, reader: &Reader) -> Result<Target, Error> {
    let is_given = reader.organizations().is_some_and(|organizations| organizations.len() == 1);
    let mut targets = creations.targets();
    let (mut found, mut failed): (Option<Target>, _) = (None, None);
    while let Some(target) = targets.next().await {
        match target {
            Ok(target) if !reader.shows(Some(&target.organization_id)) => {}
            Ok(target) if is_given => return Ok(target),
            Ok(target) => {
                if found.is_some_and(|it| it.organization_id != target.organization_id) {
                    return Err(Error::parameter(
                        "organization_id",
                        "is needed; there are several",
                    ));
                }
                found = Some(target);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(Error::NotSent(error.to_string())),
        None => found.ok_or(Error::NotFound),
    }
}

/// The response to a request whose creation has this state.
fn respond(row: CreationRow) -> Result<Response, Error> {
    let location = location(row.creation_id);
    let error = row.error.clone().unwrap_or_default();
    let status = match row.state {
        CreationState::Processing | CreationState::Done | CreationState::Failed => {
            StatusCode::CREATED
        }
        CreationState::Sending => StatusCode::ACCEPTED,
        CreationState::Rejected => return Err(Error::Unprocessable(vec![error])),
        CreationState::NotSent => return Err(Error::NotSent(error)),
        CreationState::Unknown => return Err(unknown(&error, &location)),
    };
    Ok((status, [(LOCATION, location)], one(row)).into_response())
}

fn location(creation_id: Uuid) -> String {
    format!("/v1/creations/{creation_id}")
}

/// The response if Qontak may have accepted a creation.
fn unknown(error: &str, location: &str) -> Error {
    let advice =
        "it is not sent again; look for it at Qontak before you use another Idempotency-Key";
    Error::UnknownResult(format!("{error}; {advice}. See GET {location}"))
}
