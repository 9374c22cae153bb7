//! Conversations.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use strum::{EnumString, VariantNames};
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::message::Message;
use super::names::{Mention, Names};
use super::page::{List, PageQuery};
use super::reader::{Authorized, AuthorizedList, OrganizationQuery};
use super::search;
use super::state::ReadState;
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, DayOrTime, Flag, Labels, Text, Word, period};
use crate::store::catalog::Kind;
use crate::store::message::{self, RoomPlace};
use crate::store::room::{self, Filter, Place, RoomKey, RoomRow, Session};
use crate::store::room_event::{self, RoomEventRow};
use crate::store::search::Query;
use crate::store::walk::Walk;
use crate::{query, store};

/// A conversation with its last message.
#[derive(Serialize, ToSchema)]
pub struct Room {
    #[serde(flatten)]
    pub room: RoomRow,
    /// The newest message; null if none was received yet.
    pub last_message: Option<Message>,
    /// The agents in `agent_ids` with their names; empty if none is known.
    pub agents: Vec<RoomAgent>,
    /// Name of the channel integration; null until it was read from Qontak.
    pub channel_name: Option<String>,
    /// Name of the division; null until it was read from Qontak.
    pub division_name: Option<String>,
}

/// An agent of a room.
#[derive(Serialize, ToSchema)]
pub struct RoomAgent {
    /// Qontak's id of the user.
    id: String,
    /// Name; null until it was read from Qontak.
    name: Option<String>,
}

impl Room {
    /// Its place in the list.
    fn place(&self) -> Place {
        self.room.place()
    }
}

query! {
    /// Filters of the list of rooms.
    pub struct RoomQuery {
        /// Filter by `status`: `campaign`, `unassigned`, `assigned`, `resolved`, …; rooms with any of
        /// several, `assigned,unassigned`.
        status: AnyOf<Word>,
        /// Filter by `channel`: `wa_cloud`, `ig`, `web_chat`, …; rooms with any of several.
        channel: AnyOf<Word>,
        /// Filter by channel integration (a WhatsApp number, a page, …).
        channel_integration_id: Text,
        /// Filter by a user id in `agent_ids`; rooms with any of several. `none`: rooms of which no
        /// agent is known and whose status is not `assigned`.
        agent: AnyOf<Text>,
        /// Filter by tag; rooms with any of several. A tag that contains a comma is found as well.
        tag: Labels,
        /// Whether the room has no tags.
        untagged: Flag,
        /// Whether the room has messages that no agent has read.
        unread: Flag,
        /// Whether the contact is blocked. `false`: also if that is unknown.
        blocked: Flag,
        /// Filter by `account_uniq_id` of the contact. On WhatsApp it is the phone number, in any
        /// spelling (`0812…`, `+62 812-…`).
        account_uniq_id: Text,
        /// Filter by response state: `unanswered` or `answered`.
        response_state | response: ResponseState,
        /// Filter by time left in WhatsApp's 24-hour customer service window.
        session: Session,
        /// Active on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Active until the end of this day (UTC), or before this time.
        end_date: DayOrTime,
        /// Search in name and numbers (`account_uniq_id`, `channel_uniq_id`): a part of them, or a
        /// similar word. Phone numbers in any spelling.
        q: Query,
    }
}

/// Whether a room waits for an answer.
#[derive(Clone, Copy, PartialEq, EnumString, ToSchema, VariantNames)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum ResponseState {
    /// The last message is the customer's.
    Unanswered,
    /// The last message is not the customer's.
    Answered,
}

impl RoomQuery {
    fn filter(self) -> Result<Filter, Error> {
        let (since, until) = period(self.start_date, self.end_date, &Utc)?;
        let mut agents = self.agent.map(AnyOf::texts);
        let is_none = |agent: &String| agent.trim().eq_ignore_ascii_case("none");
        let or_without_agent = agents.as_ref().is_some_and(|agents| agents.iter().any(is_none));
        if let Some(agents) = &mut agents {
            agents.retain(|agent| !is_none(agent));
        }
        Ok(Filter {
            status: self.status.map(AnyOf::words),
            channel: self.channel.map(AnyOf::words),
            channel_integration_id: self.channel_integration_id.map(|text| text.0),
            agent: agents.filter(|agents| !agents.is_empty()),
            or_without_agent,
            tag: self.tag.map(|Labels(tags)| tags),
            untagged: self.untagged.map(|flag| flag.0),
            is_unread: self.unread.map(|flag| flag.0),
            is_blocked: self.blocked.map(|flag| flag.0),
            account_uniq_id: self.account_uniq_id.map(|text| text.0),
            is_unanswered: self.response_state.map(|state| state == ResponseState::Unanswered),
            session: self.session,
            since,
            until,
            query: self.q,
            ..Filter::default()
        })
    }
}

/// List conversations, latest activity first, each with its last message
///
/// Activity moves a conversation to the front: follow the cursors for a stable walk, and request
/// the first page again for updates.
#[utoipa::path(
    get, path = "/rooms", params(RoomQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Room>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, RoomQuery>,
    State(state): State<ReadState>,
) -> Result<Response, Error> {
    let mut filter = query.filter()?;
    search::prepare(&state, "q", &mut filter.query).await?;
    let fetch = async move |walk: Walk<Place>| {
        let keys = room::list(state.db(), reader.organizations(), &filter, &walk).await?;
        rooms(&mut *store::begin_key_reads(state.db()).await?, &keys).await
    };
    page.respond(fetch, Room::place).await
}

/// Get a conversation
#[utoipa::path(
    get, path = "/rooms/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<Room>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let room = rooms(&mut *store::begin_key_reads(&db).await?, &[key]).await?.pop();
    Ok(one(room.ok_or(Error::NotFound)?))
}

query! {
    /// Where the list of messages begins.
    pub struct MessageStart {
        /// Begin the page at this message of the conversation; its `prev` leads to newer ones. 404 if the
        /// conversation has no such message. Without effect if there is a `cursor`.
        from_id: Text,
    }
}

/// List the messages of a conversation, newest first
#[utoipa::path(
    get, path = "/rooms/{id}/messages", params(MessageStart, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Message>))
)]
pub async fn messages(
    AuthorizedList { reader, query, page }: AuthorizedList<RoomPlace, MessageStart>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let start = match query.from_id {
        Some(Text(id)) => {
            let place = message::place_in_room(&db, &key, &id).await?.ok_or(Error::NotFound)?;
            Some(place.before())
        }
        None => None,
    };
    let page = page.starting_at(start);
    let fetch = async move |walk: Walk<RoomPlace>| {
        let keys = message::list_by_room(&db, &key, &walk).await?;
        super::message::messages(&mut *store::begin_key_reads(&db).await?, &keys).await
    };
    page.respond(fetch, Message::room_place).await
}

/// List the lifecycle events of a conversation, newest first
///
/// Created, assigned, unassigned, handed over, resolved.
#[utoipa::path(
    get, path = "/rooms/{id}/events", params(OrganizationQuery, PageQuery),
    responses((status = OK, body = List<RoomEventRow>))
)]
pub async fn events(
    AuthorizedList { reader, page, .. }: AuthorizedList<room_event::Place>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let key = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let fetch = async move |walk: Walk<room_event::Place>| room_event::list(&db, &key, &walk).await;
    page.respond(fetch, RoomEventRow::place).await
}

/// What a room mentions by id.
fn mentions(room: &RoomRow) -> impl Iterator<Item = Mention<'_>> {
    let organization = room.organization_id.as_deref();
    let agents = room.agent_ids.iter().flatten();
    let agents = agents.map(move |id| (organization, Kind::Agent, Some(id.as_str())));
    agents.chain([
        (organization, Kind::Channel, room.channel_integration_id.as_deref()),
        (organization, Kind::Division, room.division_id.as_deref()),
    ])
}

/// Rooms with their last messages, in the order of the keys. `db` should have generic plans: [`store::begin_key_reads`].
pub async fn rooms(db: &mut PgConnection, keys: &[RoomKey]) -> sqlx::Result<Vec<Room>> {
    let rows = room::show(&mut *db, keys).await?;
    let last = message::list_last(&mut *db, keys).await?;
    let mut last = super::message::messages(db, &last).await?;
    let names = Names::find(db, rows.iter().flat_map(mentions)).await?;
    let rooms = rows.into_iter().map(|room| {
        let position = last.iter().position(|message| message.is_in(&room));
        let last_message = position.map(|position| last.swap_remove(position));
        let organization = room.organization_id.as_deref();
        let name = |kind, id: &Option<String>| names.get((organization, kind, id.as_deref()));
        let agent = |id: &String| RoomAgent {
            id: id.clone(),
            name: names.get((organization, Kind::Agent, Some(id))),
        };
        let agents = room.agent_ids.iter().flatten().map(agent).collect();
        let channel_name = name(Kind::Channel, &room.channel_integration_id);
        let division_name = name(Kind::Division, &room.division_id);
        Room { room, last_message, agents, channel_name, division_name }
    });
    Ok(rooms.collect())
}
