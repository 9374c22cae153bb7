//! Table `room`: conversations, each the fold of all its snapshots.

mod read;

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

pub use self::read::{Filter, Place, RoomKey, RoomRow, find, list, show};
use super::{column, json, not_outdone, rounds};
use crate::model::{List, Room, Timestamp};

/// Merges what events say of rooms.
///
/// Each field is what the newest snapshot that has it says, so the row equals the fold of all
/// snapshots in the order of their keys, however they arrive.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a Room>,
) -> sqlx::Result<()> {
    let key = |row: &'a Room| (row.organization_id.as_str(), row.room_id.as_str());
    let rows: Vec<&Room> = rows.collect();
    // Also of those that are outdone.
    let mut first_at = FirstAt::with_capacity(rows.len());
    for row in &rows {
        let at = first_at.entry(key(row)).or_insert(row.received_at);
        *at = row.received_at.min(*at);
    }
    let rows = not_outdone(rows.into_iter(), key, |row| (row.key, row.fields()));
    for mut rows in rounds(rows.into_iter(), key) {
        // Most snapshots are the newest of their room and have the fields that the last one had.
        // These need no look at the keys of single fields.
        let merged = merge(db, &rows, &first_at, false).await?;
        let merged: HashSet<_> =
            merged.iter().map(|row| (row.organization_id.as_str(), row.room_id.as_str())).collect();
        rows.retain(|row| !merged.contains(&key(row)));
        if !rows.is_empty() {
            merge(db, &rows, &first_at, true).await?;
        }
    }
    Ok(())
}

/// When a batch first heard of its rooms.
type FirstAt<'a> = HashMap<(&'a str, &'a str), Timestamp>;

/// A row that a statement has merged.
struct Merged {
    organization_id: String,
    room_id: String,
}

/// Merges field by field, or only where the whole snapshot wins. The rows that it merged; those
/// that it did not are locked all the same.
async fn merge(
    db: &mut PgConnection,
    rows: &[&Room],
    first_at: &FirstAt<'_>,
    by_field: bool,
) -> sqlx::Result<Vec<Merged>> {
    sqlx::query_as!(
        Merged,
        r#"
            insert into room (
                organization_id, room_id, received_at, clock, name, description, status,
                type, tags, channel, channel_account, channel_uniq_id, account_uniq_id,
                channel_integration_id, session, session_at, unread_count, created_at,
                updated_at, last_message_at, last_activity_at, avatar, resolved_at,
                resolved_by_id, resolved_by_type, external_id, division_id, agent_ids,
                note, extra, email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey, key, fields, key_fields
            )
            select
                organization_id, room_id, received_at, clock, name, description, status,
                type, string_to_array(tags, e'\x1f'), channel, channel_account,
                channel_uniq_id, account_uniq_id, channel_integration_id, session,
                session_at, unread_count, created_at, updated_at, last_message_at,
                last_activity_at, avatar, resolved_at, resolved_by_id, resolved_by_type,
                external_id, division_id, string_to_array(agent_ids, e'\x1f'), note, extra,
                email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey, key, fields, fields
            from unnest(
                $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[],
                $17::bigint[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[],
                $21::timestamptz[], $22::jsonb[], $23::timestamptz[], $24::text[],
                $25::text[], $26::text[], $27::text[], $28::text[], $29::jsonb[],
                $30::jsonb[], $31::jsonb[], $32::boolean[], $33::boolean[], $34::boolean[],
                $35::boolean[], $36::uuid[], $37::int[]
            ) as new (
                organization_id, room_id, received_at, clock, name, description, status,
                type, tags, channel, channel_account, channel_uniq_id, account_uniq_id,
                channel_integration_id, session, session_at, unread_count, created_at,
                updated_at, last_message_at, last_activity_at, avatar, resolved_at,
                resolved_by_id, resolved_by_type, external_id, division_id, agent_ids,
                note, extra, email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                is_manual_survey, key, fields
            )
            on conflict (organization_id, room_id) do update set
                received_at = least(room.received_at, excluded.received_at),
                clock       = greatest(room.clock, excluded.clock),
                name = case when $38 then later(room.name, coalesce(room.keys[1], room.key), excluded.name, excluded.key) else coalesce(excluded.name, room.name) end,
                description = case when $38 then later(room.description, coalesce(room.keys[2], room.key), excluded.description, excluded.key) else coalesce(excluded.description, room.description) end,
                status = case when $38 then later(room.status, coalesce(room.keys[3], room.key), excluded.status, excluded.key) else coalesce(excluded.status, room.status) end,
                type = case when $38 then later(room.type, coalesce(room.keys[4], room.key), excluded.type, excluded.key) else coalesce(excluded.type, room.type) end,
                tags = case when $38 then later(room.tags, coalesce(room.keys[5], room.key), excluded.tags, excluded.key) else coalesce(excluded.tags, room.tags) end,
                channel = case when $38 then later(room.channel, coalesce(room.keys[6], room.key), excluded.channel, excluded.key) else coalesce(excluded.channel, room.channel) end,
                channel_account = case when $38 then later(room.channel_account, coalesce(room.keys[7], room.key), excluded.channel_account, excluded.key) else coalesce(excluded.channel_account, room.channel_account) end,
                channel_uniq_id = case when $38 then later(room.channel_uniq_id, coalesce(room.keys[8], room.key), excluded.channel_uniq_id, excluded.key) else coalesce(excluded.channel_uniq_id, room.channel_uniq_id) end,
                account_uniq_id = case when $38 then later(room.account_uniq_id, coalesce(room.keys[9], room.key), excluded.account_uniq_id, excluded.key) else coalesce(excluded.account_uniq_id, room.account_uniq_id) end,
                channel_integration_id = case when $38 then later(room.channel_integration_id, coalesce(room.keys[10], room.key), excluded.channel_integration_id, excluded.key) else coalesce(excluded.channel_integration_id, room.channel_integration_id) end,
                session = case when $38 then later(room.session, coalesce(room.keys[11], room.key), excluded.session, excluded.key) else coalesce(excluded.session, room.session) end,
                session_at = case when $38 then later(room.session_at, coalesce(room.keys[12], room.key), excluded.session_at, excluded.key) else coalesce(excluded.session_at, room.session_at) end,
                unread_count = case when $38 then later(room.unread_count, coalesce(room.keys[13], room.key), excluded.unread_count, excluded.key) else coalesce(excluded.unread_count, room.unread_count) end,
                created_at = case when $38 then later(room.created_at, coalesce(room.keys[14], room.key), excluded.created_at, excluded.key) else coalesce(excluded.created_at, room.created_at) end,
                updated_at = case when $38 then later(room.updated_at, coalesce(room.keys[15], room.key), excluded.updated_at, excluded.key) else coalesce(excluded.updated_at, room.updated_at) end,
                last_message_at = case when $38 then later(room.last_message_at, coalesce(room.keys[16], room.key), excluded.last_message_at, excluded.key) else coalesce(excluded.last_message_at, room.last_message_at) end,
                last_activity_at = case when $38 then later(room.last_activity_at, coalesce(room.keys[17], room.key), excluded.last_activity_at, excluded.key) else coalesce(excluded.last_activity_at, room.last_activity_at) end,
                avatar = case when $38 then later(room.avatar, coalesce(room.keys[18], room.key), excluded.avatar, excluded.key) else coalesce(excluded.avatar, room.avatar) end,
                resolved_at = case when $38 then later(room.resolved_at, coalesce(room.keys[19], room.key), excluded.resolved_at, excluded.key) else coalesce(excluded.resolved_at, room.resolved_at) end,
                resolved_by_id = case when $38 then later(room.resolved_by_id, coalesce(room.keys[20], room.key), excluded.resolved_by_id, excluded.key) else coalesce(excluded.resolved_by_id, room.resolved_by_id) end,
                resolved_by_type = case when $38 then later(room.resolved_by_type, coalesce(room.keys[21], room.key), excluded.resolved_by_type, excluded.key) else coalesce(excluded.resolved_by_type, room.resolved_by_type) end,
                external_id = case when $38 then later(room.external_id, coalesce(room.keys[22], room.key), excluded.external_id, excluded.key) else coalesce(excluded.external_id, room.external_id) end,
                division_id = case when $38 then later(room.division_id, coalesce(room.keys[23], room.key), excluded.division_id, excluded.key) else coalesce(excluded.division_id, room.division_id) end,
                agent_ids = case when $38 then later(room.agent_ids, coalesce(room.keys[24], room.key), excluded.agent_ids, excluded.key) else coalesce(excluded.agent_ids, room.agent_ids) end,
                note = case when $38 then later(room.note, coalesce(room.keys[25], room.key), excluded.note, excluded.key) else coalesce(excluded.note, room.note) end,
                extra = case when $38 then later(room.extra, coalesce(room.keys[26], room.key), excluded.extra, excluded.key) else coalesce(excluded.extra, room.extra) end,
                email_cc = case when $38 then later(room.email_cc, coalesce(room.keys[27], room.key), excluded.email_cc, excluded.key) else coalesce(excluded.email_cc, room.email_cc) end,
                is_dont_auto_resolve = case when $38 then later(room.is_dont_auto_resolve, coalesce(room.keys[28], room.key), excluded.is_dont_auto_resolve, excluded.key) else coalesce(excluded.is_dont_auto_resolve, room.is_dont_auto_resolve) end,
                is_blocked = case when $38 then later(room.is_blocked, coalesce(room.keys[29], room.key), excluded.is_blocked, excluded.key) else coalesce(excluded.is_blocked, room.is_blocked) end,
                is_unresponded = case when $38 then later(room.is_unresponded, coalesce(room.keys[30], room.key), excluded.is_unresponded, excluded.key) else coalesce(excluded.is_unresponded, room.is_unresponded) end,
                is_manual_survey = case when $38 then later(room.is_manual_survey, coalesce(room.keys[31], room.key), excluded.is_manual_survey, excluded.key) else coalesce(excluded.is_manual_survey, room.is_manual_survey) end,
                key         = greatest(room.key, excluded.key),
                fields      = room.fields | excluded.fields,
                key_fields  = case
                    when excluded.key > room.key then excluded.fields
                    when excluded.key = room.key then room.key_fields | excluded.fields
                    else room.key_fields
                end,
                keys        = case
                    when not $38 then room.keys
                    -- The newest snapshot has every field there is.
                    when (room.fields | excluded.fields) = case
                        when excluded.key > room.key then excluded.fields
                        when excluded.key = room.key then room.key_fields | excluded.fields
                        else room.key_fields
                    end then null
                    else array[
                        lagging(room.name, room.keys[1], room.key, excluded.name, excluded.key),
                        lagging(room.description, room.keys[2], room.key, excluded.description, excluded.key),
                        lagging(room.status, room.keys[3], room.key, excluded.status, excluded.key),
                        lagging(room.type, room.keys[4], room.key, excluded.type, excluded.key),
                        lagging(room.tags, room.keys[5], room.key, excluded.tags, excluded.key),
                        lagging(room.channel, room.keys[6], room.key, excluded.channel, excluded.key),
                        lagging(room.channel_account, room.keys[7], room.key, excluded.channel_account, excluded.key),
                        lagging(room.channel_uniq_id, room.keys[8], room.key, excluded.channel_uniq_id, excluded.key),
                        lagging(room.account_uniq_id, room.keys[9], room.key, excluded.account_uniq_id, excluded.key),
                        lagging(room.channel_integration_id, room.keys[10], room.key, excluded.channel_integration_id, excluded.key),
                        lagging(room.session, room.keys[11], room.key, excluded.session, excluded.key),
                        lagging(room.session_at, room.keys[12], room.key, excluded.session_at, excluded.key),
                        lagging(room.unread_count, room.keys[13], room.key, excluded.unread_count, excluded.key),
                        lagging(room.created_at, room.keys[14], room.key, excluded.created_at, excluded.key),
                        lagging(room.updated_at, room.keys[15], room.key, excluded.updated_at, excluded.key),
                        lagging(room.last_message_at, room.keys[16], room.key, excluded.last_message_at, excluded.key),
                        lagging(room.last_activity_at, room.keys[17], room.key, excluded.last_activity_at, excluded.key),
                        lagging(room.avatar, room.keys[18], room.key, excluded.avatar, excluded.key),
                        lagging(room.resolved_at, room.keys[19], room.key, excluded.resolved_at, excluded.key),
                        lagging(room.resolved_by_id, room.keys[20], room.key, excluded.resolved_by_id, excluded.key),
                        lagging(room.resolved_by_type, room.keys[21], room.key, excluded.resolved_by_type, excluded.key),
                        lagging(room.external_id, room.keys[22], room.key, excluded.external_id, excluded.key),
                        lagging(room.division_id, room.keys[23], room.key, excluded.division_id, excluded.key),
                        lagging(room.agent_ids, room.keys[24], room.key, excluded.agent_ids, excluded.key),
                        lagging(room.note, room.keys[25], room.key, excluded.note, excluded.key),
                        lagging(room.extra, room.keys[26], room.key, excluded.extra, excluded.key),
                        lagging(room.email_cc, room.keys[27], room.key, excluded.email_cc, excluded.key),
                        lagging(room.is_dont_auto_resolve, room.keys[28], room.key, excluded.is_dont_auto_resolve, excluded.key),
                        lagging(room.is_blocked, room.keys[29], room.key, excluded.is_blocked, excluded.key),
                        lagging(room.is_unresponded, room.keys[30], room.key, excluded.is_unresponded, excluded.key),
                        lagging(room.is_manual_survey, room.keys[31], room.key, excluded.is_manual_survey, excluded.key)
                    ]
                end
            where $38
                or excluded.fields = 0
                or (excluded.key > room.key and room.fields & excluded.fields = room.key_fields)
            returning organization_id, room_id
        "#,
        &column(rows, |row| row.organization_id.as_str()) as _,
        &column(rows, |row| row.room_id.as_str()) as _,
        &column(rows, |row| first_at[&(row.organization_id.as_str(), row.room_id.as_str())]) as _,
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
        &column(rows, |row| row.fields()),
        by_field,
    )
    .fetch_all(db)
    .await
}
