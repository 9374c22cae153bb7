//! Contacts, agents and bots.

use axum::extract::State;
use axum::response::IntoResponse;
use sqlx::PgPool;

use super::envelope::{One, one};
use super::reader::Reader;
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::store::sender::{self, SenderRow};

/// Who sent a message: the last known name, username, picture and type.
#[utoipa::path(get, path = "/senders/{id}", responses((status = OK, body = One<SenderRow>)))]
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let sender = sender::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    Ok(one(sender))
}
