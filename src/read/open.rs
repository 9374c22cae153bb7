//! Qontak's own routes, `GET /api/open/v1/…` and `GET /qontak/chat/v1/…`, so that a client of its API
//! needs only another base URL and another key.
//!
//! The rows are those of `/v1` with Qontak's additional fields; pages are in Qontak's format. Nothing
//! is invented: a field that no webhook contains is null.

mod broadcast;
mod catalog;
mod log;
mod login;
mod page;
mod participant;
mod response;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{Router, get};
use chrono::{FixedOffset, Offset, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use strum::{EnumString, VariantNames};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::log::Log;
use self::page::{OpenList, Page, PageQuery, Place};
use super::dialect::Dialect;
use super::envelope::{One, one};
use super::message::Message;
use super::reader::{Authorized, OrganizationQuery, Reader};
use super::state::ReadState;
use super::{room as rooms, search};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, DayOrTime, Flag, Integer, Several, Text, Word, period};
use crate::http::time_limit::timeout;
use crate::model::Status;
use crate::store::broadcast_log::{self, LogRow, count};
use crate::store::message::RoomPlace;
use crate::store::room::{self, Filter, RoomRow, Session};
use crate::store::search::Query as SearchQuery;
use crate::store::walk::Walk;
use crate::store::{broadcast as broadcasts, message};
use crate::{query, store};

/// Qontak's routes that are served here, with the conventions of one of its APIs; the timeout of a
/// response is `limit`.
pub fn routes(dialect: Dialect, limit: Duration) -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .routes(routes!(list_rooms))
        .routes(routes!(list_expired_rooms))
        .routes(routes!(show_room))
        .routes(routes!(list_histories))
        .routes(routes!(list_messages))
        .routes(routes!(participant::list_participants))
        .routes(routes!(participant::list_users))
        .routes(routes!(broadcast::list_broadcasts))
        .routes(routes!(broadcast::show_broadcast))
        .routes(routes!(list_logs))
        .routes(routes!(catalog::list_integrations))
        .routes(routes!(catalog::list_templates))
        .routes(routes!(catalog::list_divisions))
        .routes(routes!(catalog::list_contact_lists))
        .merge(login::routes().into())
        .route("/health", get(health))
        .fallback(async || Error::NotFound)
        .layer(from_fn(move |request, next| dialect.serve(request, next)))
        .layer(from_fn(move |request, next| timeout(limit, request, next)))
}

/// Qontak's login, outside of a prefix.
pub fn routes_at_root(limit: Duration) -> Router<ReadState> {
    login::routes()
        .layer(from_fn(|request, next| Dialect::Open.serve(request, next)))
        .layer(from_fn(move |request, next| timeout(limit, request, next)))
}

/// `{"status":"ok"}` while the process runs, without a key.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// A room in the format of Qontak's API.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenRoom)]
struct Room {
    #[serde(flatten)]
    room: RoomRow,
    /// The newest message; null if none was received yet.
    last_message: Option<OpenMessage>,
}

/// A message in the format of Qontak's API.
#[derive(Serialize, ToSchema)]
struct OpenMessage {
    #[serde(flatten)]
    message: Message,
    /// Always null, as in Qontak's API.
    local_id: Option<String>,
    channel_integration: ChannelIntegration,
    /// Free object of Qontak; always empty here.
    last_campaign: BTreeMap<String, Value>,
}

/// Channel integration of a message.
#[derive(Serialize, ToSchema)]
struct ChannelIntegration {
    id: Option<String>,
    target_channel: Option<String>,
}

query! {
    /// Filters of the list of rooms.
    pub struct RoomQuery {
        /// Part of the contact's name, or its number.
        query: SearchQuery,
        /// Filter by status: `campaign`, `unassigned`, `assigned`, `resolved`, `deleted`; rooms with any
        /// of several.
        status: AnyOf<Word>,
        /// Filter by time left in WhatsApp's 24-hour customer service window; one value only.
        sessions: Several<Session>,
        /// Filter by tags: rooms with any of them.
        tags: Several<Text>,
        /// Filter by whether the room has no tag.
        untagged: Flag,
        /// Filter by agents: rooms with any of them.
        user_ids: Several<Text>,
        /// Filter by channels: `wa_cloud`, `ig`, `web_chat`, …
        channels: Several<Word>,
        /// Filter by whether the room waits for an answer. Both values are the same as none.
        response_status: Several<ResponseStatus>,
        /// Filter by room types: `Models::CustomerServiceRoom`, …
        r#type: Several<Text>,
        /// Active on this day or at this time, or later.
        start_date: DayOrTime,
        /// Active until the end of this day, or before this time.
        end_date: DayOrTime,
        /// UTC offset of the days of `start_date` and `end_date` in hours: 7 in Jakarta.
        time_offset: Integer<-12, 14>,
    }
}

/// Whether a room was answered.
#[derive(Clone, Copy, PartialEq, EnumString, ToSchema, VariantNames)]
#[schema(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum ResponseStatus {
    Unresponded,
    Responded,
}

/// The time zone of `time_offset`.
fn time_zone(time_offset: Option<Integer<-12, 14>>) -> FixedOffset {
    let hours = time_offset.map_or(0, |hours| hours.0);
    FixedOffset::east_opt(hours as i32 * 3600).unwrap_or_else(|| Utc.fix())
}

impl RoomQuery {
    fn filter(self) -> Result<Filter, Error> {
        let zone = time_zone(self.time_offset);
        let (since, until) = period(self.start_date, self.end_date, &zone)?;
        let texts = |values: Option<Several<Text>>| -> Option<Vec<String>> {
            values.map(|several| several.0.into_iter().map(|text| text.0).collect())
        };
        let session = match self.sessions.as_ref().map(|several| &several.0[..]) {
            Some([session]) => Some(*session),
            Some(_) => return Err(Error::parameter("sessions", "must be given once")),
            None => None,
        };
        let words = |values: Option<Several<Word>>| -> Option<Vec<String>> {
            values.map(|several| several.0.into_iter().map(|word| word.0).collect())
        };
        Ok(Filter {
            status: self.status.map(AnyOf::words),
            channel: words(self.channels),
            agent: texts(self.user_ids),
            tag: texts(self.tags),
            r#type: texts(self.r#type),
            untagged: self.untagged.map(|flag| flag.0),
            is_unanswered: match self.response_status.as_ref().map(|several| &several.0[..]) {
                Some([status]) => Some(*status == ResponseStatus::Unresponded),
                _ => None,
            },
            session,
            since,
            until,
            query: self.query,
            ..Filter::default()
        })
    }
}

/// List conversations in the format of Qontak's API, latest activity first
///
/// A list parameter may be given as `tags[]=a&tags[]=b`, as `tags[0]=a` or as `tags=a`.
#[utoipa::path(
    get, path = "/rooms", params(PageQuery, RoomQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Room>))
)]
async fn list_rooms(
    Authorized { reader, query: (page, query) }: Authorized<(Page, RoomQuery)>,
    State(state): State<ReadState>,
) -> Result<Json<OpenList<Room>>, Error> {
    list(&reader, page, query.filter()?, &state).await
}

/// List conversations whose 24-hour session is over and that are not resolved, in the format of
/// Qontak's API, latest activity first
///
/// Qontak does not document which rooms its list contains.
#[utoipa::path(
    get, path = "/rooms/list/expired", params(PageQuery, RoomQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Room>))
)]
async fn list_expired_rooms(
    Authorized { reader, query: (page, query) }: Authorized<(Page, RoomQuery)>,
    State(state): State<ReadState>,
) -> Result<Json<OpenList<Room>>, Error> {
    // Clients send the name of the list as a filter, too.
    let mut filter = query.filter()?;
    let is_open = |status: &String| ["unassigned", "assigned"].contains(&status.as_str());
    let status = filter.status.take().filter(|status| *status != ["expired"]);
    filter.status = match status {
        Some(status) => Some(status.into_iter().filter(is_open).collect()),
        None => Some(["unassigned", "assigned"].map(str::to_owned).into()),
    };
    filter.session = Some(Session::Expired);
    list(&reader, page, filter, &state).await
}

/// List the earlier conversations of a conversation's contact in the format of Qontak's API, latest
/// activity first
#[utoipa::path(
    get, path = "/rooms/{id}/histories", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Room>))
)]
async fn list_histories(
    Authorized { reader, query: page }: Authorized<Page>,
    Id(id): Id,
    State(state): State<ReadState>,
) -> Result<Json<OpenList<Room>>, Error> {
    let key = room::find(state.db(), reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let rows = room::show(state.db(), std::slice::from_ref(&key)).await?;
    let row = rows.into_iter().next().ok_or(Error::NotFound)?;
    // A contact is an account at a channel.
    let (Some(account), Some(channel)) = (row.account_uniq_id, row.channel) else {
        return Ok(page.respond(Vec::new(), Some(0), place, Room::new));
    };
    let filter = Filter {
        account_uniq_id: Some(account),
        channel: Some(vec![channel]),
        until: Some(key.activity_at),
        ..Filter::default()
    };
    list(&reader.of(key.organization_id), page, filter, &state).await
}

/// A page of rooms.
async fn list(
    reader: &Reader,
    page: Page,
    mut filter: Filter,
    state: &ReadState,
) -> Result<Json<OpenList<Room>>, Error> {
    search::prepare(state, "query", &mut filter.query).await?;
    let db = state.db();
    let list = async |walk: Walk<Place>| {
        let walk = walk.map(|place| room::Place {
            activity_at: place.0,
            room_id: place.id(0),
            organization_id: place.id(1),
        });
        room::list(db, reader.organizations(), &filter, &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let keys = page.cut(list(page.walk()).await?);
    let rooms = rooms::rooms(&mut *store::begin_key_reads(db).await?, &keys).await?;
    Ok(page.respond(rooms, total, place, Room::new))
}

/// Place of a room in the list.
fn place(rooms::Room { room, .. }: &rooms::Room) -> Place {
    let organization_id = room.organization_id.clone().unwrap_or_default();
    Place(room.activity_at, vec![room.id.clone(), organization_id])
}

/// Get a conversation in the format of Qontak's API
#[utoipa::path(
    get, path = "/rooms/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<Room>))
)]
async fn show_room(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Json<One<Room>>, Error> {
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let room = rooms::rooms(&mut *store::begin_key_reads(&db).await?, &[key]).await?.pop();
    Ok(one(Room::new(room.ok_or(Error::NotFound)?)))
}

/// List the messages of a conversation in the format of Qontak's API, newest first
#[utoipa::path(
    get, path = "/rooms/{id}/messages", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<OpenMessage>))
)]
async fn list_messages(
    Authorized { reader, query: page }: Authorized<Page>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Json<OpenList<OpenMessage>>, Error> {
    let room = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let list = async |walk: Walk<Place>| {
        let walk = walk.map(|place| RoomPlace { at: place.0, message_id: place.id(0) });
        message::list_by_room(&db, &room, &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let keys = page.cut(list(page.walk()).await?);
    let messages =
        super::message::messages(&mut *store::begin_key_reads(&db).await?, &keys).await?;
    let place = |message: &Message| Place(message.row.at, vec![message.row.id.clone()]);
    Ok(page.respond(messages, total, place, OpenMessage::new))
}

query! {
    /// Filters of the list of recipients.
    pub struct LogQuery {
        /// Filter by effective status: `created`, `pending`, `sent`, `delivered`, `read`, `failed`;
        /// recipients with any of several, `sent,delivered`.
        status: AnyOf<Status>,
    }
}

/// List the recipients of a broadcast in the format of Qontak's API, newest first
#[utoipa::path(
    get, path = "/broadcasts/{id}/whatsapp/log", params(PageQuery, LogQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Log>))
)]
async fn list_logs(
    Authorized { reader, query: (page, query) }: Authorized<(Page, LogQuery)>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Json<OpenList<Log>>, Error> {
    let statuses = query.status.map(AnyOf::names);
    let row = broadcasts::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let total = if page.count().is_some() {
        let counted = count::list(&db, std::slice::from_ref(&row)).await?;
        let matches = |counted: &&count::Counted| {
            let is_any =
                |names: &Vec<String>| names.iter().any(|it| Some(&**it) == counted.status());
            statuses.as_ref().is_none_or(is_any)
        };
        Some(counted.iter().filter(matches).map(|counted| counted.count).sum())
    } else {
        None
    };
    let organization_id = row.organization_id.unwrap_or_default();
    let walk = page.walk().map(|place| broadcast_log::Place { at: place.0, log_id: place.id(0) });
    let key = (organization_id.as_str(), id.as_str());
    let keys = broadcast_log::list(&db, key, statuses.as_deref(), &walk).await?;
    let rows = broadcast_log::show(&db, &page.cut(keys)).await?;
    let rows = response::with_own(&db, rows).await?;
    let place = |(row, _): &(LogRow, _)| Place(row.at, vec![row.id.clone()]);
    Ok(page.respond(rows, total, place, |(row, own)| Log::new(row, own)))
}

impl Room {
    fn new(rooms::Room { mut room, last_message, .. }: rooms::Room) -> Self {
        // Qontak's clients expect arrays.
        room.tags.get_or_insert_default();
        room.agent_ids.get_or_insert_default();
        Self { room, last_message: last_message.map(OpenMessage::new) }
    }
}

impl OpenMessage {
    fn new(mut message: Message) -> Self {
        message.row.buttons.get_or_insert_with(|| json!([]));
        let channel_integration = ChannelIntegration {
            id: message.row.channel_integration_id.clone(),
            target_channel: message.row.channel.clone(),
        };
        Self { message, local_id: None, channel_integration, last_campaign: BTreeMap::new() }
    }
}
