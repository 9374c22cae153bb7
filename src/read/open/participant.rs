//! Participants of rooms, and users, in the format of Qontak's API.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::catalog::place;
use super::page::{OpenList, Page, PageQuery, Place};
use crate::http::Error;
use crate::http::extract::Id;
use crate::read::reader::{Authorized, OrganizationQuery};
use crate::store::catalog;
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

/// A user of Qontak.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenUser)]
struct User {
    id: String,
    organization_id: Option<String>,
    full_name: Option<String>,
    username: Option<String>,
    /// Null unless the last sync with Qontak listed the user.
    email: Option<String>,
    /// `agent` for who wrote messages as one and was not listed.
    role: String,
    /// Null unless a sync or an event has shown it.
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

/// List users in the format of Qontak's API, by id
///
/// These are the users of the last sync with Qontak, and the agents who sent messages.
#[utoipa::path(
    get, path = "/users", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<User>))
)]
pub async fn list_users(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let list = async |walk: Walk<Place>| list_both(&db, reader.organizations(), walk).await;
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let rows = page.cut(list(page.walk()).await?);
    let place = |user: &User| place(&user.id, user.organization_id.as_deref());
    Ok(page.respond(rows, total, place, |user| user))
}

/// Users that Qontak lists and agents who sent messages, in one order.
async fn list_both(
    db: &PgPool,
    organizations: Option<&[String]>,
    walk: Walk<Place>,
) -> sqlx::Result<Vec<User>> {
    let (backward, rows) = (walk.backward, walk.rows);
    let of_sender = walk.clone();
    let of_sender = of_sender
        .map(|place| sender::Place { sender_id: place.id(0), organization_id: place.id(1) });
    let senders = sender::list_agents(db, organizations, &of_sender).await?;
    let walk = walk.map(|place| catalog::Place { id: place.id(0), organization_id: place.id(1) });
    let filter = catalog::Filter::default();
    let listed = catalog::list(db, organizations, catalog::Kind::Agent, &filter, &walk).await?;
    let mut users: BTreeMap<(String, Option<String>), User> = BTreeMap::new();
    for row in senders {
        users.insert((row.id.clone(), row.organization_id.clone()), User::new(row));
    }
    for row in listed {
        let organization_id = Some(row.organization_id).filter(|id| !id.is_empty());
        let key = (row.id.clone(), organization_id.clone());
        let user = users.entry(key).or_insert_with(|| User {
            id: row.id,
            organization_id,
            full_name: None,
            username: None,
            email: None,
            role: "agent".to_owned(),
            is_online: None,
            avatar: None,
        });
        user.full_name = row.name.or_else(|| user.full_name.take());
        user.email = row.data["email"].as_str().map(str::to_owned);
        if let Some(role) = row.data["role"].as_str() {
            role.clone_into(&mut user.role);
        }
        user.is_online = row.data["is_online"].as_bool();
    }
    let users = users.into_values();
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    Ok(if backward { users.rev().take(rows).collect() } else { users.take(rows).collect() })
}

impl Participant {
    fn new(row: ParticipantRow, room_id: &str) -> Self {
        Self {
            id: row.participant_id,
            room_id: room_id.to_owned(),
            contact_able_id: row.sender_id,
            // A supervisor is an agent by the type of the sender.
            r#type: match (row.participant_type.as_deref(), row.sender_type.as_deref()) {
                (Some("customer"), _) => Some("Models::CustomerParticipant"),
                (Some("agent"), _) => Some("Models::AgentParticipant"),
                (Some("bot"), _) => Some("Models::BotParticipant"),
                (_, Some("Models::Contact")) => Some("Models::CustomerParticipant"),
                (_, Some("Models::User")) => Some("Models::AgentParticipant"),
                (_, Some("Models::SystemAccount")) => Some("Models::BotParticipant"),
                _ => None,
            },
            contact_able_type: row.sender_type,
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
            role: "agent".to_owned(),
            is_online: None,
            avatar: row.avatar,
        }
    }
}
