//! Conversations.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::PgPool;
use strum::VariantNames;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::message::Message;
use super::page::{List, Page};
use super::reader::Reader;
use super::search;
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::read::state::ReadState;
use crate::store::message::{self, MessageKey};
use crate::store::room::{self, Filter, RoomKey, RoomRow, Session};
use crate::store::room_event::{self, RoomEventRow};
use crate::store::walk::Walk;

/// A room as the API shows it.
#[derive(Serialize, ToSchema)]
pub struct Room {
    #[serde(flatten)]
    pub room: RoomRow,
    /// The newest one; null if none has come.
    pub last_message: Option<Message>,
}

/// Conversations, latest activity first, each with its last message.
///
/// A conversation that goes on moves to the front, so follow the cursors for a stable walk and ask
/// the first page again for news.
#[utoipa::path(
    get, path = "/rooms", responses((status = OK, body = List<Room>))
)]
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(app): State<ReadState>,
) -> Result<Response, Error> {
    let filter = filter(&mut parameters, &app);
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    search::ready(&app.db, filter.query.as_ref()).await?;
    let fetch = async move |walk: Walk<room::Place>| {
        let keys = room::list(&app.db, reader.organizations(), &filter, &walk).await?;
        rooms(&app.db, &keys).await
    };
    page.answer(fetch, |room: &Room| room.room.place()).await
}

/// Reads which rooms are asked for.
fn filter(parameters: &mut Parameters, app: &ReadState) -> Filter {
    let mut one = |name| parameters.text(name).map(|value| vec![value]);
    let (status, channel) = (one("status"), one("channel"));
    let (agent, tag) = (one("agent"), one("tag"));
    let channel_integration_id = parameters.text("channel_integration_id");
    let account_uniq_id = parameters.text("account_uniq_id");
    let response = parameters.one_of("response", &["unanswered", "answered"]);
    let session = parameters.one_of("session", Session::VARIANTS);
    let (since, until) = parameters.period();
    let query = search::query(parameters, app);
    Filter {
        status,
        channel,
        channel_integration_id,
        agent,
        tag,
        account_uniq_id,
        is_unanswered: response.map(|word| word == "unanswered"),
        session: session.and_then(|word| word.parse().ok()),
        since,
        until,
        query,
        ..Filter::default()
    }
}

/// One conversation.
#[utoipa::path(get, path = "/rooms/{id}", responses((status = OK, body = One<Room>)))]
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
#[utoipa::path(
    get, path = "/rooms/{id}/messages", responses((status = OK, body = List<Message>))
)]
pub async fn messages(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let fetch = async move |walk: Walk<message::RoomPlace>| {
        let keys = message::list_by_room(&db, &key, &walk).await?;
        super::message::messages(&db, &keys).await
    };
    page.answer(fetch, |message: &Message| message.row.room_place()).await
}

/// What happened to one conversation, newest first.
#[utoipa::path(
    get, path = "/rooms/{id}/events", responses((status = OK, body = List<RoomEventRow>))
)]
pub async fn events(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let fetch = async move |walk: Walk<room_event::Place>| room_event::list(&db, &key, &walk).await;
    page.answer(fetch, RoomEventRow::place).await
}

/// Rooms with their last messages, in the order of the keys.
pub async fn rooms(db: &PgPool, keys: &[RoomKey]) -> sqlx::Result<Vec<Room>> {
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
