//! Senders of messages: contacts, agents and bots.

use axum::extract::State;
use axum::response::IntoResponse;
use sqlx::PgPool;

use super::envelope::{One, one};
use super::reader::{Authorized, OrganizationQuery};
use crate::http::Error;
use crate::http::extract::Id;
use crate::store::sender::{self, SenderRow};

/// Get a sender
///
/// Name, username, avatar and type of a contact, agent or bot, as last reported by an event.
#[utoipa::path(
    get, path = "/senders/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<SenderRow>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let sender = sender::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    Ok(one(sender))
}
