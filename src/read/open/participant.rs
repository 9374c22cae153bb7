//! Participants of rooms, and users, in the format of Qontak's API.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::page::{OpenList, Page, PageQuery, Place};
use crate::http::Error;
use crate::http::extract::Id;
use crate::read::reader::{Authorized, OrganizationQuery};
use crate::store::room;
use crate::store::sender::{self, ParticipantRow, SenderRow};
use crate::store::walk::Walk;

/// Somebody who takes part in a room.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenParticipant)]
struct Participant {
    /// Id of the membership (`participant_id` of messages); null for agents without messages.
    id: Option<String>,
    room_id: String,
    /// Id of the contact or user (`sender_id` of messages).
    contact_able_id: String,
    /// `Models::Contact`, `Models::User`, `Models::SystemAccount`, …
    contact_able_type: Option<String>,
    /// `Models::CustomerParticipant`, `Models::AgentParticipant` or `Models::BotParticipant`; null if
    /// unknown.
    r#type: Option<&'static str>,
    profile: Profile,
}

/// Name and avatar as last seen in a message.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenProfile)]
struct Profile {
    name: Option<String>,
    avatar: Option<Value>,
}

/// A user of Qontak. No webhook contains a field that is always null.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenUser)]
struct User {
    id: String,
    organization_id: Option<String>,
    full_name: Option<String>,
    username: Option<String>,
    /// Always null.
    email: Option<String>,
    /// Always `agent`: known is only who wrote messages as an agent.
    role: &'static str,
    /// Always null.
    is_online: Option<bool>,
    avatar: Option<Value>,
}

/// List the participants of a conversation in the format of Qontak's API, by id
///
/// These are the senders of its latest 500 messages, and its agents.
#[utoipa::path(
    get, path = "/rooms/{id}/participants", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Participant>))
)]
pub async fn list_participants(
    Authorized { reader, query: page }: Authorized<Page>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let room = room::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let rows = sender::list_participants(&db, &room).await?;
    let total = page.count().map(|_| rows.len() as i64);
    let place = |row: &ParticipantRow| Place::by_ids(vec![row.sender_id.clone()]);
    let rows = page.select(rows, place);
    Ok(page.respond(rows, total, place, |row| Participant::new(row, &id)))
}

/// List the agents who sent messages in the format of Qontak's API, by id
#[utoipa::path(
    get, path = "/users", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<User>))
)]
pub async fn list_users(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let list = async |walk: Walk<Place>| {
        let walk = walk
            .map(|place| sender::Place { sender_id: place.id(0), organization_id: place.id(1) });
        sender::list_agents(&db, reader.organizations(), &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let rows = page.cut(list(page.walk()).await?);
    let place = |row: &SenderRow| {
        Place::by_ids(vec![row.id.clone(), row.organization_id.clone().unwrap_or_default()])
    };
    Ok(page.respond(rows, total, place, User::new))
}

impl Participant {
    fn new(row: ParticipantRow, room_id: &str) -> Self {
        Self {
            id: row.participant_id,
            room_id: room_id.to_owned(),
            contact_able_id: row.sender_id,
            contact_able_type: row.sender_type,
            r#type: match row.participant_type.as_deref() {
                Some("customer") => Some("Models::CustomerParticipant"),
                Some("agent") => Some("Models::AgentParticipant"),
                Some("bot") => Some("Models::BotParticipant"),
                _ => None,
            },
            profile: Profile { name: row.name, avatar: row.avatar },
        }
    }
}

impl User {
    fn new(row: SenderRow) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            full_name: row.name,
            username: row.username,
            email: None,
            role: "agent",
            is_online: None,
            avatar: row.avatar,
        }
    }
}
