//! Messages, each with its sender and status times.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use strum::{EnumString, VariantNames};
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::file::StoredFile;
use super::names::{Mention, Names};
use super::page::{List, PageQuery};
use super::reader::{Authorized, AuthorizedList, OrganizationQuery};
use super::search;
use super::state::ReadState;
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, DayOrTime, Flag, Text, Word, period};
use crate::model::Status;
use crate::model::qontak_object::Avatar;
use crate::store::catalog::Kind;
use crate::store::media;
use crate::store::message::{self, Filter, MessageKey, MessageRow, Place, RoomPlace};
use crate::store::room::{RoomKey, RoomRow};
use crate::store::search::Query;
use crate::store::walk::Walk;
use crate::{query, store};

/// A message with its sender and status times.
#[derive(Serialize, ToSchema)]
pub struct Message {
    #[serde(flatten)]
    pub row: MessageRow,
    sender: Sender,
    #[serde(flatten)]
    explained: Explained,
    #[serde(flatten)]
    pub progress: Progress,
    /// Name of the channel integration; null until it was read from Qontak.
    channel_name: Option<String>,
    /// Copy of the attached file, which `GET /v1/messages/{id}/file` returns; null without one.
    stored_file: Option<StoredFile>,
}

/// The sender, as last reported by an event.
#[derive(Serialize, ToSchema)]
struct Sender {
    /// Display name.
    name: Option<String>,
    /// Username; agents only.
    username: Option<String>,
    /// Avatar.
    #[schema(value_type = Option<Avatar>)]
    avatar: Option<Value>,
}

impl Message {
    /// Its place in the list of all messages.
    fn place(&self) -> Place {
        self.row.place()
    }

    /// Its place in the list of its room.
    pub fn room_place(&self) -> RoomPlace {
        self.row.room_place()
    }

    /// Whether it belongs to the room.
    pub fn is_in(&self, room: &RoomRow) -> bool {
        self.row.room_id.as_ref() == Some(&room.id)
            && self.row.organization_id == room.organization_id
    }

    /// Whether it belongs to the room with this key.
    pub fn is_of(&self, room: &RoomKey) -> bool {
        self.row.room_id.as_ref() == Some(&room.room_id)
            && self.row.organization_id.as_deref().unwrap_or_default() == room.organization_id
    }

    fn new(mut row: MessageRow, names: &Names, stored_file: Option<StoredFile>) -> Self {
        let sender = Sender {
            name: row.sender_name.take(),
            username: row.sender_username.take(),
            avatar: row.sender_avatar.take(),
        };
        let failed_at = row.log_failed_at.or(row.failed_at);
        let times = [
            ("created", StatusTime::best(row.channel_at, row.created_at, row.created_seen_at)),
            ("pending", StatusTime::best(row.log_pending_at, None, row.pending_seen_at)),
            ("sent", StatusTime::best(row.log_sent_at, None, row.sent_seen_at)),
            ("delivered", StatusTime::best(row.log_delivered_at, None, row.delivered_seen_at)),
            ("read", StatusTime::best(row.log_read_at, None, row.read_seen_at)),
            ("failed", StatusTime::best(failed_at, None, row.failed_seen_at)),
        ];
        let progress = match row.direction.as_deref() {
            Some("in") => Progress::incoming(times),
            _ => Progress::outgoing(times),
        };
        let explained = Explained::of(row.error_code);
        let channel_name = names.get(channel_of(&row));
        Self { explained, row, sender, progress, channel_name, stored_file }
    }
}

query! {
    /// Filters of the list of messages.
    pub struct MessageQuery {
        /// Filter by `type`: `text`, `image`, `document`, …; messages with any of several,
        /// `image,document`.
        r#type: AnyOf<Word>,
        /// Filter by effective `status`; messages with any of several, `sent,delivered`.
        status: AnyOf<Status>,
        /// Filter by direction: `in` (from customers), `out` (from agents, bots and unknown senders), or
        /// one type of sender: `customer`, `agent`, `bot`.
        direction: Direction,
        /// Filter by `channel`: `wa_cloud`, `ig`, `web_chat`, …; messages with any of several.
        channel: AnyOf<Word>,
        /// Filter by the contact or user that sent the message.
        sender_id: Text,
        /// Filter by broadcast; messages whose `broadcast_id` is this. `/v1/delivery-statuses` also
        /// finds recipients without a message.
        broadcast_id: Text,
        /// Whether a broadcast sent the message. `false`: also if that is unknown.
        is_campaign: Flag,
        /// Filter by the message id of the channel (`wamid.…`).
        external_id: Text,
        /// Filter by room.
        room_id: Text,
        /// Sent on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Sent until the end of this day (UTC), or before this time.
        end_date: DayOrTime,
        /// Search in the text, names of files, and titles of buttons and lists: all words must occur,
        /// in any order, an emoji being a word. A word of three letters or more also matches as a
        /// prefix: `terima` finds `terimakasih`. A phone number may be spelled in another way than in
        /// the text.
        q: Query,
    }
}

/// Direction of a message, or the type of its sender.
#[derive(Clone, Copy, EnumString, ToSchema, VariantNames)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum Direction {
    In,
    Out,
    Customer,
    Agent,
    Bot,
}

impl Direction {
    const fn authors(self) -> &'static [&'static str] {
        match self {
            Self::In | Self::Customer => &["customer"],
            Self::Agent => &["agent"],
            Self::Bot => &["bot"],
            Self::Out => message::OUTGOING,
        }
    }
}

impl MessageQuery {
    fn filter(self) -> Result<Filter, Error> {
        let (since, until) = period(self.start_date, self.end_date, &Utc)?;
        Ok(Filter {
            r#type: self.r#type.map(AnyOf::words),
            status: self.status.map(|AnyOf(statuses)| {
                statuses.into_iter().map(|status| status.as_str().to_owned()).collect()
            }),
            authors: self.direction.map(Direction::authors),
            channel: self.channel.map(AnyOf::words),
            sender_id: self.sender_id.map(|text| text.0),
            broadcast_id: self.broadcast_id.map(|text| text.0),
            is_campaign: self.is_campaign.map(|flag| flag.0),
            external_id: self.external_id.map(|text| text.0),
            room_ids: self.room_id.map(|id| vec![id.0]),
            since,
            until,
            query: self.q,
            ..Filter::default()
        })
    }
}

/// List messages across rooms, newest first
#[utoipa::path(
    get, path = "/messages", params(MessageQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Message>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, MessageQuery>,
    State(state): State<ReadState>,
) -> Result<Response, Error> {
    let mut filter = query.filter()?;
    search::prepare(&state, "q", &mut filter.query).await?;
    let fetch = async move |walk: Walk<Place>| {
        let keys = message::list(state.db(), reader.organizations(), &filter, &walk).await?;
        messages(&mut *store::begin_key_reads(state.db()).await?, &keys).await
    };
    page.respond(fetch, Message::place).await
}

/// Get a message
#[utoipa::path(
    get, path = "/messages/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<Message>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let key = message::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let found = messages(&mut *store::begin_key_reads(&db).await?, &[key]).await?.pop();
    let message = found.ok_or(Error::NotFound)?;
    Ok(one(message))
}

/// Messages in the order of the keys. `db` should have generic plans: [`store::begin_key_reads`].
pub async fn messages(db: &mut PgConnection, keys: &[MessageKey]) -> sqlx::Result<Vec<Message>> {
    let rows = message::show(&mut *db, keys).await?;
    let with_files = rows.iter().filter(|row| has_file(row)).map(MessageRow::key);
    let with_files = Vec::from_iter(with_files);
    let names = Names::find(&mut *db, rows.iter().map(channel_of)).await?;
    let mut copies = media::copies(db, &with_files).await?;
    let message = |row: MessageRow| {
        let copy = copies.remove(&row.key());
        Message::new(row, &names, copy.map(StoredFile::from))
    };
    Ok(rows.into_iter().map(message).collect())
}

/// Whether it has a file that may have been copied. Some messages have an object of nulls.
fn has_file(row: &MessageRow) -> bool {
    let url = row.file.as_ref().and_then(|file| file.get("url"));
    url.and_then(Value::as_str).is_some_and(|url| !url.is_empty())
}

/// The channel integration of a message.
fn channel_of(row: &MessageRow) -> Mention<'_> {
    (row.organization_id.as_deref(), Kind::Channel, row.channel_integration_id.as_deref())
}
