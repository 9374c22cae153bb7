//! Messages, each with its sender and the times of its statuses.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::page::{List, Page};
use super::reader::Reader;
use super::search;
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::read::state::ReadState;
use crate::store::message::{self, Filter, MessageKey, MessageRow, Place};
use crate::store::room::{RoomKey, RoomRow};
use crate::store::walk::Walk;

/// A message as the API shows it.
#[derive(Serialize, ToSchema)]
pub struct Message {
    #[serde(flatten)]
    pub row: MessageRow,
    sender: Sender,
    #[serde(flatten)]
    explained: Explained,
    #[serde(flatten)]
    pub progress: Progress,
}

/// Who sent it, as last seen.
#[derive(Serialize, ToSchema)]
struct Sender {
    /// Display name.
    name: Option<String>,
    /// User name; agents only.
    username: Option<String>,
    /// Picture: `{url, large, medium, small, …}`, or a URL.
    avatar: Option<Value>,
}

impl Message {
    /// Whether it belongs to the room.
    pub fn is_in(&self, room: &RoomRow) -> bool {
        self.row.room_id.as_ref() == Some(&room.id)
            && self.row.organization_id == room.organization_id
    }

    /// The same, of a room's key.
    pub fn is_of(&self, room: &RoomKey) -> bool {
        self.row.room_id.as_ref() == Some(&room.room_id)
            && self.row.organization_id.as_deref().unwrap_or_default() == room.organization_id
    }

    fn new(mut row: MessageRow) -> Self {
        let sender = Sender {
            name: row.sender_name.take(),
            username: row.sender_username.take(),
            avatar: row.sender_avatar.take(),
        };
        let times = [
            ("created", StatusTime::best(row.channel_at, row.created_at, row.created_seen_at)),
            ("pending", StatusTime::best(row.log_pending_at, None, row.pending_seen_at)),
            ("sent", StatusTime::best(row.log_sent_at, None, row.sent_seen_at)),
            ("delivered", StatusTime::best(row.log_delivered_at, None, row.delivered_seen_at)),
            ("read", StatusTime::best(row.log_read_at, None, row.read_seen_at)),
            ("failed", StatusTime::best(row.log_failed_at, None, row.failed_seen_at)),
        ];
        let progress = match row.participant_type.as_deref() {
            Some("customer") => Progress::incoming(times),
            _ => Progress::outgoing(times),
        };
        Self { explained: Explained::of(row.error_code), row, sender, progress }
    }
}

/// Messages across rooms, newest first.
#[utoipa::path(
    get, path = "/messages", responses((status = OK, body = List<Message>))
)]
pub async fn list(
    reader: Reader,
    mut parameters: Parameters,
    State(app): State<ReadState>,
) -> Result<Response, Error> {
    let r#type = parameters.text("type");
    let status = parameters.text("status");
    let direction = parameters.one_of("direction", &["in", "out", "customer", "agent", "bot"]);
    let external_id = parameters.text("external_id");
    let room_ids = parameters.text("room_id").map(|id| vec![id]);
    let (since, until) = parameters.period();
    let query = search::query(&mut parameters, &app);
    let page = Page::read(&reader, &mut parameters)?;
    parameters.finish()?;
    let participant_types = direction.as_deref().map(participant_types);
    let filter = Filter {
        r#type,
        status,
        participant_types,
        external_id,
        room_ids,
        since,
        until,
        query,
        ..Filter::default()
    };
    search::ready(&app.db, filter.query.as_ref()).await?;
    let fetch = async move |walk: Walk<Place>| {
        let keys = message::list(&app.db, reader.organizations(), &filter, &walk).await?;
        messages(&app.db, &keys).await
    };
    page.answer(fetch, |message: &Message| message.row.place()).await
}

/// Who writes in this direction.
fn participant_types(direction: &str) -> &'static [&'static str] {
    match direction {
        "in" | "customer" => &["customer"],
        "agent" => &["agent"],
        "bot" => &["bot"],
        _ => &["agent", "bot"],
    }
}

/// One message.
#[utoipa::path(get, path = "/messages/{id}", responses((status = OK, body = One<Message>)))]
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let key = message::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let message = messages(&db, &[key]).await?.pop().ok_or(Error::NotFound)?;
    Ok(one(message))
}

/// The messages of these keys, in their order.
pub async fn messages(db: &PgPool, keys: &[MessageKey]) -> sqlx::Result<Vec<Message>> {
    let rows = message::show(db, keys).await?;
    Ok(rows.into_iter().map(Message::new).collect())
}
