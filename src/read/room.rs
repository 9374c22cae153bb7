//! Conversations.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use sqlx::PgPool;

use super::key::Reader;
use super::message::Message;
use super::one;
use super::page::{Micros, Page};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::store::message::{self, MessageKey};
use crate::store::room::{self, Filter, RoomKey, RoomRow};

/// A room as the API shows it.
#[derive(Serialize)]
struct Room {
    #[serde(flatten)]
    room: RoomRow,
    last_message: Option<Message>,
}

/// Conversations, latest activity first.
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let status = parameters.text("status");
    let channel = parameters.text("channel");
    let agent = parameters.text("agent");
    let tag = parameters.text("tag");
    let account_uniq_id = parameters.text("account_uniq_id");
    let page: Page<(Micros, String, String)> = Page::read(&mut parameters, "rooms");
    parameters.finish()?;
    let filter = Filter { status, channel, agent, tag, account_uniq_id };
    let from = page.from.as_ref().map(|(at, room_id, organization_id)| room::Place {
        activity_at: at.0,
        room_id,
        organization_id,
    });
    let keys =
        room::list(&db, reader.organizations(), &filter, from, page.backward, page.rows()).await?;
    let rooms = rooms(&db, &keys).await?;
    Ok(page.answer(rooms, |Room { room, .. }| {
        (
            Micros(room.activity_at),
            room.id.clone(),
            room.organization_id.clone().unwrap_or_default(),
        )
    }))
}

/// One conversation.
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let room = rooms(&db, &[key]).await?.pop().ok_or(Error::NotFound)?;
    Ok(one(room))
}

/// The messages of one conversation, newest first.
pub async fn messages(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let page: Page<(Micros, String)> = Page::read(&mut parameters, &format!("rooms/{id}/messages"));
    parameters.finish()?;
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let from = page.from.as_ref().map(|(at, id)| (at.0, id.as_str()));
    let keys = message::list_by_room(&db, &key, from, page.backward, page.rows()).await?;
    let messages = super::message::messages(&db, &keys).await?;
    Ok(page.answer(messages, Message::place))
}

/// Rooms with their last messages, in the order of the keys.
async fn rooms(db: &PgPool, keys: &[RoomKey]) -> Result<Vec<Room>, Error> {
    let rows = room::show(db, keys).await?;
    let last: Vec<MessageKey> = message::list_last(db, keys).await?;
    let mut last = super::message::messages(db, &last).await?;
    let rooms = rows.into_iter().map(|room| {
        let position = last.iter().position(|message| message.is_in(&room));
        let last_message = position.map(|position| last.swap_remove(position));
        Room { room, last_message }
    });
    Ok(rooms.collect())
}
