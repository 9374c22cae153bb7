//! Table `room`: conversations, each the fold of all its snapshots.

use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use super::{column, json, rounds};
use crate::model::{List, Room, Timestamp};

/// Merges what events say of rooms.
///
/// Each field keeps the fold key of the snapshot that said it, so the row equals the fold of all
/// snapshots in the order of their keys, however they arrive.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a Room>,
) -> sqlx::Result<()> {
    for rows in rounds(rows, |row| (&row.organization_id, &row.room_id)) {
        upsert_round(db, &rows).await?;
    }
    Ok(())
}

async fn upsert_round(db: &mut PgConnection, rows: &[&Room]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into room (
                organization_id, room_id, received_at, clock, name, description, status,
                type, tags, channel, channel_account, channel_uniq_id, account_uniq_id,
                channel_integration_id, session, session_at, unread_count, created_at,
                updated_at, last_message_at, last_activity_at, avatar, resolved_at,
                resolved_by_id, resolved_by_type, external_id, division_id, agent_ids,
                note, extra, email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey, keys
            )
            select
                organization_id, room_id, received_at, clock, name, description, status,
                type, string_to_array(tags, e'\x1f'), channel, channel_account,
                channel_uniq_id, account_uniq_id, channel_integration_id, session,
                session_at, unread_count, created_at, updated_at, last_message_at,
                last_activity_at, avatar, resolved_at, resolved_by_id, resolved_by_type,
                external_id, division_id, string_to_array(agent_ids, e'\x1f'), note, extra,
                email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey,
                -- A null has no key, and loses to every value.
                array[
                    case when name                   is not null then key end,
                    case when description            is not null then key end,
                    case when status                 is not null then key end,
                    case when type                   is not null then key end,
                    case when tags                   is not null then key end,
                    case when channel                is not null then key end,
                    case when channel_account        is not null then key end,
                    case when channel_uniq_id        is not null then key end,
                    case when account_uniq_id        is not null then key end,
                    case when channel_integration_id is not null then key end,
                    case when session                is not null then key end,
                    case when session_at             is not null then key end,
                    case when unread_count           is not null then key end,
                    case when created_at             is not null then key end,
                    case when updated_at             is not null then key end,
                    case when last_message_at        is not null then key end,
                    case when last_activity_at       is not null then key end,
                    case when avatar                 is not null then key end,
                    case when resolved_at            is not null then key end,
                    case when resolved_by_id         is not null then key end,
                    case when resolved_by_type       is not null then key end,
                    case when external_id            is not null then key end,
                    case when division_id            is not null then key end,
                    case when agent_ids              is not null then key end,
                    case when note                   is not null then key end,
                    case when extra                  is not null then key end,
                    case when email_cc               is not null then key end,
                    case when is_dont_auto_resolve   is not null then key end,
                    case when is_blocked             is not null then key end,
                    case when is_unresponded         is not null then key end,
                    case when is_manual_survey       is not null then key end
                ]
            from unnest(
                $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[],
                $17::bigint[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[],
                $21::timestamptz[], $22::jsonb[], $23::timestamptz[], $24::text[],
                $25::text[], $26::text[], $27::text[], $28::text[], $29::jsonb[],
                $30::jsonb[], $31::jsonb[], $32::boolean[], $33::boolean[], $34::boolean[],
                $35::boolean[], $36::uuid[]
            ) as new (
                organization_id, room_id, received_at, clock, name, description, status,
                type, tags, channel, channel_account, channel_uniq_id, account_uniq_id,
                channel_integration_id, session, session_at, unread_count, created_at,
                updated_at, last_message_at, last_activity_at, avatar, resolved_at,
                resolved_by_id, resolved_by_type, external_id, division_id, agent_ids,
                note, extra, email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey, key
            )
            on conflict (organization_id, room_id) do update set
                received_at = least(room.received_at, excluded.received_at),
                clock       = greatest(room.clock, excluded.clock),
                name = later(room.name, room.keys[1], excluded.name, excluded.keys[1]),
                description = later(room.description, room.keys[2], excluded.description, excluded.keys[2]),
                status = later(room.status, room.keys[3], excluded.status, excluded.keys[3]),
                type = later(room.type, room.keys[4], excluded.type, excluded.keys[4]),
                tags = later(room.tags, room.keys[5], excluded.tags, excluded.keys[5]),
                channel = later(room.channel, room.keys[6], excluded.channel, excluded.keys[6]),
                channel_account = later(room.channel_account, room.keys[7], excluded.channel_account, excluded.keys[7]),
                channel_uniq_id = later(room.channel_uniq_id, room.keys[8], excluded.channel_uniq_id, excluded.keys[8]),
                account_uniq_id = later(room.account_uniq_id, room.keys[9], excluded.account_uniq_id, excluded.keys[9]),
                channel_integration_id = later(room.channel_integration_id, room.keys[10], excluded.channel_integration_id, excluded.keys[10]),
                session = later(room.session, room.keys[11], excluded.session, excluded.keys[11]),
                session_at = later(room.session_at, room.keys[12], excluded.session_at, excluded.keys[12]),
                unread_count = later(room.unread_count, room.keys[13], excluded.unread_count, excluded.keys[13]),
                created_at = later(room.created_at, room.keys[14], excluded.created_at, excluded.keys[14]),
                updated_at = later(room.updated_at, room.keys[15], excluded.updated_at, excluded.keys[15]),
                last_message_at = later(room.last_message_at, room.keys[16], excluded.last_message_at, excluded.keys[16]),
                last_activity_at = later(room.last_activity_at, room.keys[17], excluded.last_activity_at, excluded.keys[17]),
                avatar = later(room.avatar, room.keys[18], excluded.avatar, excluded.keys[18]),
                resolved_at = later(room.resolved_at, room.keys[19], excluded.resolved_at, excluded.keys[19]),
                resolved_by_id = later(room.resolved_by_id, room.keys[20], excluded.resolved_by_id, excluded.keys[20]),
                resolved_by_type = later(room.resolved_by_type, room.keys[21], excluded.resolved_by_type, excluded.keys[21]),
                external_id = later(room.external_id, room.keys[22], excluded.external_id, excluded.keys[22]),
                division_id = later(room.division_id, room.keys[23], excluded.division_id, excluded.keys[23]),
                agent_ids = later(room.agent_ids, room.keys[24], excluded.agent_ids, excluded.keys[24]),
                note = later(room.note, room.keys[25], excluded.note, excluded.keys[25]),
                extra = later(room.extra, room.keys[26], excluded.extra, excluded.keys[26]),
                email_cc = later(room.email_cc, room.keys[27], excluded.email_cc, excluded.keys[27]),
                is_dont_auto_resolve = later(room.is_dont_auto_resolve, room.keys[28], excluded.is_dont_auto_resolve, excluded.keys[28]),
                is_blocked = later(room.is_blocked, room.keys[29], excluded.is_blocked, excluded.keys[29]),
                is_unresponded = later(room.is_unresponded, room.keys[30], excluded.is_unresponded, excluded.keys[30]),
                is_manual_survey = later(room.is_manual_survey, room.keys[31], excluded.is_manual_survey, excluded.keys[31]),
                -- Spelt out: a sub-select over both arrays took a third of this statement.
                keys = array[
                    greatest(room.keys[1], excluded.keys[1]), greatest(room.keys[2], excluded.keys[2]),
                    greatest(room.keys[3], excluded.keys[3]), greatest(room.keys[4], excluded.keys[4]),
                    greatest(room.keys[5], excluded.keys[5]), greatest(room.keys[6], excluded.keys[6]),
                    greatest(room.keys[7], excluded.keys[7]), greatest(room.keys[8], excluded.keys[8]),
                    greatest(room.keys[9], excluded.keys[9]), greatest(room.keys[10], excluded.keys[10]),
                    greatest(room.keys[11], excluded.keys[11]), greatest(room.keys[12], excluded.keys[12]),
                    greatest(room.keys[13], excluded.keys[13]), greatest(room.keys[14], excluded.keys[14]),
                    greatest(room.keys[15], excluded.keys[15]), greatest(room.keys[16], excluded.keys[16]),
                    greatest(room.keys[17], excluded.keys[17]), greatest(room.keys[18], excluded.keys[18]),
                    greatest(room.keys[19], excluded.keys[19]), greatest(room.keys[20], excluded.keys[20]),
                    greatest(room.keys[21], excluded.keys[21]), greatest(room.keys[22], excluded.keys[22]),
                    greatest(room.keys[23], excluded.keys[23]), greatest(room.keys[24], excluded.keys[24]),
                    greatest(room.keys[25], excluded.keys[25]), greatest(room.keys[26], excluded.keys[26]),
                    greatest(room.keys[27], excluded.keys[27]), greatest(room.keys[28], excluded.keys[28]),
                    greatest(room.keys[29], excluded.keys[29]), greatest(room.keys[30], excluded.keys[30]),
                    greatest(room.keys[31], excluded.keys[31])
                ]
        "#,
        &column(rows, |row| row.organization_id.as_str()) as _,
        &column(rows, |row| row.room_id.as_str()) as _,
        &column(rows, |row| row.received_at) as _,
        &column(rows, |row| row.clock) as _,
        &column(rows, |row| row.name.as_deref()) as _,
        &column(rows, |row| row.description.as_deref()) as _,
        &column(rows, |row| row.status.as_deref()) as _,
        &column(rows, |row| row.r#type.as_deref()) as _,
        &column(rows, |row| row.tags.as_ref().map(List::as_str)) as _,
        &column(rows, |row| row.channel.as_deref()) as _,
        &column(rows, |row| row.channel_account.as_deref()) as _,
        &column(rows, |row| row.channel_uniq_id.as_deref()) as _,
        &column(rows, |row| row.account_uniq_id.as_deref()) as _,
        &column(rows, |row| row.channel_integration_id.as_deref()) as _,
        &column(rows, |row| row.session.as_deref()) as _,
        &column(rows, |row| row.session_at) as _,
        &column(rows, |row| row.unread_count) as _,
        &column(rows, |row| row.created_at) as _,
        &column(rows, |row| row.updated_at) as _,
        &column(rows, |row| row.last_message_at) as _,
        &column(rows, |row| row.last_activity_at) as _,
        &column(rows, |row| json(&row.avatar)) as _,
        &column(rows, |row| row.resolved_at) as _,
        &column(rows, |row| row.resolved_by_id.as_deref()) as _,
        &column(rows, |row| row.resolved_by_type.as_deref()) as _,
        &column(rows, |row| row.external_id.as_deref()) as _,
        &column(rows, |row| row.division_id.as_deref()) as _,
        &column(rows, |row| row.agent_ids.as_ref().map(List::as_str)) as _,
        &column(rows, |row| json(&row.note)) as _,
        &column(rows, |row| json(&row.extra)) as _,
        &column(rows, |row| json(&row.email_cc)) as _,
        &column(rows, |row| row.is_dont_auto_resolve) as _,
        &column(rows, |row| row.is_blocked) as _,
        &column(rows, |row| row.is_unresponded) as _,
        &column(rows, |row| row.is_manual_survey) as _,
        &column(rows, |row| row.key.0),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What tells a room.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct RoomKey {
    pub organization_id: String,
    pub room_id: String,
    /// Its place in the list, which moves on while the room does.
    pub activity_at: Timestamp,
}

/// Which rooms to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// `room.status`.
    pub status: Option<String>,
    /// `room.channel`.
    pub channel: Option<String>,
    /// One of `room.agent_ids`.
    pub agent: Option<String>,
    /// One of `room.tags`.
    pub tag: Option<String>,
    /// `room.account_uniq_id`.
    pub account_uniq_id: Option<String>,
}

/// A room's place in the order of the list.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct Place<'a> {
    pub activity_at: Timestamp,
    pub room_id: &'a str,
    pub organization_id: &'a str,
}

/// Lists rooms after `from`, latest activity first; before it if `backward`, then the nearest
/// of these first. `organizations` of `None` sees all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    from: Option<Place<'_>>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<RoomKey>> {
    // The two branches are one list walked both ways; only one of them is run.
    sqlx::query_as!(
        RoomKey,
        r#"
            select organization_id as "organization_id!", room_id as "room_id!",
                activity_at as "activity_at!"
            from (
                select organization_id, room_id, activity_at
                from room
                where not $11
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or status = $2)
                    and ($3::text is null or channel = $3)
                    and ($4::text is null or $4 = any(agent_ids))
                    and ($5::text is null or $5 = any(tags))
                    and ($6::text is null or account_uniq_id = $6)
                    and (not $7 or (activity_at, room_id, organization_id)
                        < ($8::timestamptz, $9, $10))
                order by activity_at desc, room_id desc, organization_id desc
                limit $12
            ) as after
            union all
            select organization_id, room_id, activity_at
            from (
                select organization_id, room_id, activity_at
                from room
                where $11
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or status = $2)
                    and ($3::text is null or channel = $3)
                    and ($4::text is null or $4 = any(agent_ids))
                    and ($5::text is null or $5 = any(tags))
                    and ($6::text is null or account_uniq_id = $6)
                    and (not $7 or (activity_at, room_id, organization_id)
                        > ($8::timestamptz, $9, $10))
                order by activity_at, room_id, organization_id
                limit $12
            ) as before
        "#,
        organizations,
        filter.status.as_deref(),
        filter.channel.as_deref(),
        filter.agent.as_deref(),
        filter.tag.as_deref(),
        filter.account_uniq_id.as_deref(),
        from.is_some(),
        from.map(|place| place.activity_at) as _,
        from.map(|place| place.room_id),
        from.map(|place| place.organization_id),
        backward,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The room with this id, if it may be seen.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    room_id: &str,
) -> sqlx::Result<Option<RoomKey>> {
    sqlx::query_as!(
        RoomKey,
        r#"
            select organization_id, room_id, activity_at as "activity_at!"
            from room
            where room_id = $1 and ($2::text[] is null or organization_id = any($2))
            -- One without an organisation is but a guess beside one that has it.
            order by organization_id desc
            limit 1
        "#,
        room_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// A room as the API shows it, but for its last message.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct RoomRow {
    pub id: String,
    pub organization_id: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: Option<String>,
    pub r#type: Option<String>,
    pub tags: Option<Vec<String>>,
    pub channel: Option<String>,
    pub channel_account: Option<String>,
    pub channel_uniq_id: Option<String>,
    pub account_uniq_id: Option<String>,
    pub channel_integration_id: Option<String>,
    pub session: Option<String>,
    pub session_at: Option<Timestamp>,
    pub unread_count: Option<i64>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub last_message_at: Option<Timestamp>,
    pub last_activity_at: Option<Timestamp>,
    pub avatar: Option<Value>,
    pub resolved_at: Option<Timestamp>,
    pub resolved_by_id: Option<String>,
    pub resolved_by_type: Option<String>,
    pub external_id: Option<String>,
    pub division_id: Option<String>,
    pub agent_ids: Option<Vec<String>>,
    pub note: Option<Value>,
    pub extra: Option<Value>,
    pub email_cc: Option<Value>,
    pub is_dont_auto_resolve: Option<bool>,
    pub is_blocked: Option<bool>,
    pub is_unresponded: Option<bool>,
    pub is_manual_survey: Option<bool>,
    #[serde(skip)]
    pub activity_at: Timestamp,
}

/// The rooms of these keys, in their order.
pub async fn show(db: impl PgExecutor<'_>, keys: &[RoomKey]) -> sqlx::Result<Vec<RoomRow>> {
    sqlx::query_as!(
        RoomRow,
        r#"
            select
                room.room_id as id, nullif(room.organization_id, '') as organization_id,
                name, description, status, type, tags, channel, channel_account,
                channel_uniq_id, account_uniq_id, channel_integration_id, session, session_at,
                unread_count, created_at, updated_at, last_message_at, last_activity_at, avatar,
                -- A room that goes on after it was resolved keeps these, but they mean nothing.
                case when status = 'resolved' then resolved_at end as resolved_at,
                case when status = 'resolved' then resolved_by_id end as resolved_by_id,
                case when status = 'resolved' then resolved_by_type end as resolved_by_type,
                external_id, division_id, agent_ids, note, extra, email_cc, is_dont_auto_resolve,
                is_blocked, is_unresponded, is_manual_survey, key.activity_at as "activity_at!"
            from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality
                as key (room_id, organization_id, activity_at, place)
            join room using (room_id, organization_id)
            order by key.place
        "#,
        &column(keys, |key| key.room_id.as_str()) as _,
        &column(keys, |key| key.organization_id.as_str()) as _,
        &column(keys, |key| key.activity_at) as _,
    )
    .fetch_all(db)
    .await
}
