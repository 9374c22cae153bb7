//! Table `sender`: last known name and avatar of contacts, agents and bots.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::room::RoomKey;
use super::walk::Walk;
use crate::model::qontak_object::Avatar;

/// A contact, agent or bot that sent messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Participant)]
pub struct SenderRow {
    /// Qontak's id of the contact or user.
    pub id: String,
    /// Organisation of the sender; null when unknown.
    pub organization_id: Option<String>,
    /// Type: `customer`, `agent` or `bot`, or Qontak's own word for another one; null when unknown.
    pub r#type: Option<String>,
    /// Last known display name; null when unknown.
    pub name: Option<String>,
    /// Last known username; agents only.
    pub username: Option<String>,
    /// Last known avatar; null when unknown.
    #[schema(value_type = Option<Avatar>)]
    pub avatar: Option<Value>,
}

/// Finds a sender within these organisations; `None` for all.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    sender_id: &str,
) -> sqlx::Result<Option<SenderRow>> {
    sqlx::query_as!(
        SenderRow,
        r#"
            select
                sender_id as id, nullif(organization_id(organization), '') as organization_id, type,
                name, username, avatar
            from sender
            where sender_id = $1 and ($2::text[] is null or organization = any(organization_numbers($2)))
            -- Prefer a row with a known organisation.
            order by organization desc
            limit 1
        "#,
        sender_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// Place of an agent in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// `sender.sender_id`.
    pub sender_id: String,
    /// Tie-breaker for equal ids; empty if unknown.
    pub organization_id: String,
}

/// Lists agents that sent messages, by id. `organizations` of `None` means all. Uses index
/// `sender_agent`.
pub async fn list_agents(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<SenderRow>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                SenderRow,
                r#"
                    select
                        sender_id as id,
                        nullif(
                            (select organization_id from organization where number = sender.organization), ''
                        ) as organization_id,
                        type, name, username, avatar
                    from sender
                    where type = 'agent'
                        and ($1::text[] is null or organization = any(organization_numbers($1)))
                        and ($2::text is null
                            or (sender_id, organization) "# + $cmp + r#"
                                ($2, organization_number($3)))
                    order by "# + $order + r#"
                    limit $4
                "#,
                organizations,
                from.map(|place| place.sender_id.as_str()),
                from.map(|place| place.organization_id.as_str()),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!("<", "sender_id desc, organization desc")
    } else {
        page!(">", "sender_id, organization")
    }
}

/// Somebody who takes part in a room.
#[derive(Debug)]
pub struct ParticipantRow {
    /// `message.participant_id`; `None` for agents of the room who sent none of its latest messages.
    pub participant_id: Option<String>,
    /// `message.sender_id`, or one of `room.agent_ids`.
    pub sender_id: String,
    /// `message.participant_type`.
    pub participant_type: Option<String>,
    /// `message.sender_type`.
    pub sender_type: Option<String>,
    /// Last known display name.
    pub name: Option<String>,
    /// Last known avatar.
    pub avatar: Option<Value>,
}

/// Lists the senders of the latest 500 messages of a room, and its agents, by id.
pub async fn list_participants(
    db: impl PgExecutor<'_>,
    room: &RoomKey,
) -> sqlx::Result<Vec<ParticipantRow>> {
    sqlx::query_as!(
        ParticipantRow,
        r#"
            with latest as (
                select participant_id, sender_id, participant_type, sender_type
                from message
                where room_id = $1 and organization = organization_number($2)
                order by at desc
                limit 500
            ), participant as (
                select
                    max(participant_id) as participant_id, sender_id,
                    max(participant_type) as participant_type, max(sender_type) as sender_type
                from (
                    select participant_id, sender_id, participant_type, sender_type from latest
                    union all
                    select null, unnest(agent_ids) collate "C", 'agent', 'Models::User'
                    from room
                    where room_id = $1 and organization = organization_number($2)
                ) as seen
                where sender_id is not null
                group by sender_id
            )
            select
                participant_id, participant.sender_id as "sender_id!", participant_type,
                sender_type, sender.name as "name?", sender.avatar as "avatar?"
            from participant
            -- Lateral: the planner expects many participants and would read all senders.
            left join lateral (
                select name, avatar
                from sender
                where sender.sender_id = participant.sender_id and sender.organization = organization_number($2)
                limit 1
            ) as sender on true
            order by participant.sender_id
        "#,
        room.room_id,
        room.organization_id,
    )
    .fetch_all(db)
    .await
}
