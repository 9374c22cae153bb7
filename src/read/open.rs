//! `GET /api/open/v1/…`: what Qontak's own API answers, by its paths and parameters, so that a
//! client of it needs only another base URL and another key.
//!
//! The rows are those of `/v1`, with all that Qontak has besides; pages are Qontak's own.

mod log;
mod page;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::middleware::from_fn;
use chrono::{FixedOffset, Offset, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use strum::VariantNames;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::log::Log;
use self::page::{Asked, OpenList, Page, Place};
use super::envelope::{One, one};
use super::message::Message;
use super::reader::Reader;
use super::{room as rooms, search};
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::http::time_limit::timeout;
use crate::read::state::ReadState;
use crate::store::broadcast_log::{self, count};
use crate::store::room::{self, Filter, RoomRow, Session};
use crate::store::walk::Walk;
use crate::store::{broadcast, message};

/// The routes of Qontak's own API that are served here. Each answers within `limit`.
pub fn routes(limit: Duration) -> OpenApiRouter<ReadState> {
    OpenApiRouter::default()
        .routes(routes!(list_rooms))
        .routes(routes!(show_room))
        .routes(routes!(list_messages))
        .routes(routes!(list_logs))
        .layer(from_fn(move |request, next| timeout(limit, request, next)))
}

/// A room as Qontak's own API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenRoom)]
struct Room {
    #[serde(flatten)]
    room: RoomRow,
    /// The newest one; null if none has come.
    last_message: Option<OpenMessage>,
}

/// A message as Qontak's own API shows it.
#[derive(Serialize, ToSchema)]
struct OpenMessage {
    #[serde(flatten)]
    message: Message,
    /// Qontak always has null.
    local_id: Option<String>,
    channel_integration: ChannelIntegration,
    /// Qontak's free object; empty here.
    #[schema(value_type = Object)]
    last_campaign: Value,
}

/// What a message came or went through.
#[derive(Serialize, ToSchema)]
struct ChannelIntegration {
    id: Option<String>,
    target_channel: Option<String>,
}

/// Conversations as Qontak lists them, latest activity first.
///
/// Parameters that take several values may be given as `tags[]=a&tags[]=b`, as `tags[0]=a` or as
/// `tags=a`; any of the values will do.
#[utoipa::path(get, path = "/rooms", responses((status = OK, body = OpenList<Room>)), params(
    Asked,
    ("query" = Option<String>, Query, description = "Part of the contact's name, or its number."),
    ("status" = Option<String>, Query, description = "campaign, unassigned, assigned, resolved, deleted."),
    ("sessions" = inline(Option<Session>), Query, description = "How much is left of the 24 hours after the customer's last message: `open`, `expiring` or `expired`."),
    ("tags" = Option<Vec<String>>, Query, description = "Has one of these tags."),
    ("untagged" = Option<bool>, Query, description = "Has no tag, or has one."),
    ("user_ids" = Option<Vec<String>>, Query, description = "One of these agents takes part."),
    ("channels" = Option<Vec<String>>, Query, description = "wa_cloud, ig, web_chat, …"),
    ("response_status" = inline(Option<Vec<Responded>>), Query, description = "Whether the room waits for an answer."),
    ("type" = Option<Vec<String>>, Query, description = "`Models::CustomerServiceRoom` and others."),
    ("start_date" = Option<String>, Query, description = "Active from this day or time on."),
    ("end_date" = Option<String>, Query, description = "Active until the end of this day, or before this time."),
    ("time_offset" = Option<i64>, Query, minimum = -12, maximum = 14, description = "Hours that the days of `start_date` and `end_date` are ahead of UTC: 7 in Jakarta."),
))]
async fn list_rooms(
    reader: Reader,
    mut parameters: Parameters,
    State(app): State<ReadState>,
) -> Result<Json<OpenList<Room>>, Error> {
    let filter = filter(&mut parameters, &app);
    let page = Page::read(&mut parameters);
    parameters.finish()?;
    let db = &app.db;
    search::ready(db, filter.query.as_ref()).await?;
    let list = async |walk: Walk<Place>| {
        let Walk { from, backward, rows } = walk;
        let from = from.map(|place| room::Place {
            activity_at: place.0,
            room_id: place.id(0),
            organization_id: place.id(1),
        });
        let walk = Walk { from, backward, rows };
        room::list(db, reader.organizations(), &filter, &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let keys = page.cut(list(page.walk()).await?);
    let place = |rooms::Room { room, .. }: &rooms::Room| {
        let organization_id = room.organization_id.clone().unwrap_or_default();
        Place(room.activity_at, vec![room.id.clone(), organization_id])
    };
    Ok(page.answer(rooms::rooms(db, &keys).await?, total, place, Room::new))
}

/// Whether a room was answered, as Qontak's clients ask for it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum Responded {
    Unresponded,
    Responded,
}

/// Reads which rooms are asked for.
fn filter(parameters: &mut Parameters, app: &ReadState) -> Filter {
    const RESPONSES: [&str; 2] = ["unresponded", "responded"];
    let status = parameters.text("status").map(|status| vec![status]);
    let session = parameters.one_of("sessions", Session::VARIANTS);
    let tags = parameters.several("tags");
    let untagged = parameters.flag("untagged");
    let agents = parameters.several("user_ids");
    let channels = parameters.several("channels");
    let responses = parameters.several("response_status");
    let types = parameters.several("type");
    let hours = parameters.integer("time_offset", -12..=14).unwrap_or(0);
    let zone = FixedOffset::east_opt(hours as i32 * 3600).unwrap_or_else(|| Utc.fix());
    let (since, until) = parameters.period_in(&zone);
    let query = search::query_named("query", parameters, app);
    if responses.iter().flatten().any(|response| !RESPONSES.contains(&response.as_str())) {
        parameters.refuse::<()>("response_status", "must be one of unresponded, responded");
    }
    Filter {
        status,
        channel: channels,
        agent: agents,
        tag: tags,
        r#type: types,
        untagged,
        // Both are the same as neither.
        is_unanswered: match responses.as_deref() {
            Some([response]) => Some(response == "unresponded"),
            _ => None,
        },
        session: session.and_then(|word| word.parse().ok()),
        since,
        until,
        query,
        ..Filter::default()
    }
}

/// One conversation as Qontak shows it.
#[utoipa::path(get, path = "/rooms/{id}", responses((status = OK, body = One<Room>)))]
async fn show_room(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Json<One<Room>>, Error> {
    parameters.finish()?;
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let room = rooms::rooms(&db, &[key]).await?.pop().ok_or(Error::NotFound)?;
    Ok(one(Room::new(room)))
}

/// The messages of one conversation as Qontak shows them, newest first.
#[utoipa::path(
    get, path = "/rooms/{id}/messages", responses((status = OK, body = OpenList<OpenMessage>)),
    params(Asked)
)]
async fn list_messages(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Json<OpenList<OpenMessage>>, Error> {
    let page = Page::read(&mut parameters);
    parameters.finish()?;
    let room = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let list = async |Walk { from, backward, rows }: Walk<Place>| {
        let from = from.map(|place| message::RoomPlace { at: place.0, message_id: place.id(0) });
        message::list_by_room(&db, &room, &Walk { from, backward, rows }).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let keys = page.cut(list(page.walk()).await?);
    let messages = super::message::messages(&db, &keys).await?;
    let place = |message: &Message| Place(message.row.at, vec![message.row.id.clone()]);
    Ok(page.answer(messages, total, place, OpenMessage::new))
}

/// The recipients of one broadcast as Qontak lists them, newest first.
#[utoipa::path(
    get, path = "/broadcasts/{id}/whatsapp/log", responses((status = OK, body = OpenList<Log>)),
    params(Asked, ("status" = Option<String>, Query, description = "created, pending, sent, delivered, read, failed."))
)]
async fn list_logs(
    reader: Reader,
    Id(id): Id,
    mut parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<Json<OpenList<Log>>, Error> {
    let status = parameters.text("status");
    let page = Page::read(&mut parameters);
    parameters.finish()?;
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let total = if page.count().is_some() {
        let counted = count::list(&db, std::slice::from_ref(&row)).await?;
        let asked = |counted: &&count::Counted| {
            status.as_ref().is_none_or(|status| *status == counted.status)
        };
        Some(counted.iter().filter(asked).map(|counted| counted.count).sum())
    } else {
        None
    };
    let organization_id = row.organization_id.unwrap_or_default();
    let Walk { from, backward, rows } = page.walk();
    let from = from.map(|place| broadcast_log::Place { at: place.0, log_id: place.id(0) });
    let walk = Walk { from, backward, rows };
    let key = (organization_id.as_str(), id.as_str());
    let keys = broadcast_log::list(&db, key, status.as_deref(), &walk).await?;
    let rows = broadcast_log::show(&db, &page.cut(keys)).await?;
    Ok(page.answer(rows, total, |row| Place(row.at, vec![row.id.clone()]), Log::new))
}

impl Room {
    fn new(rooms::Room { mut room, last_message }: rooms::Room) -> Self {
        // Where nothing is known, Qontak's clients expect lists.
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
        Self { message, local_id: None, channel_integration, last_campaign: json!({}) }
    }
}
