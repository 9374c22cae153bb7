//! Table `room`: one row per conversation, the fold of all its snapshots.

mod fold;
mod read;
pub mod stats;

use std::collections::HashSet;

use sqlx::PgConnection;

use self::fold::Fold;
pub use self::read::{Filter, Place, RoomKey, RoomRow, Session, find, list, show};
use super::rows::{column, json};
use crate::model::phone::normalize_account;
use crate::model::{PackedList, Room};

/// Merges snapshots of rooms.
///
/// Each field has the value of the newest snapshot that contains it, so the row does not depend on
/// the order of arrival.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a Room>,
) -> sqlx::Result<()> {
    for mut rows in fold::rounds_of_folds(rows) {
        // The usual case: the whole snapshot is newer than the row.
        let merged = merge_newer(db, &rows).await?;
        let merged: HashSet<_> =
            merged.iter().map(|row| (row.organization_id.as_str(), row.room_id.as_str())).collect();
        rows.retain(|row| !merged.contains(&row.id()));
        if !rows.is_empty() {
            merge_by_field(db, &rows).await?;
        }
    }
    Ok(())
}

/// Key of a row that a statement has merged.
struct Merged {
    organization_id: String,
    room_id: String,
}

/// The insert that both merges share; `$on_conflict` completes its `do update set`.
macro_rules! insert {
    ($db:expr, $rows:expr, $on_conflict:tt) => {
        sqlx::query_as!(
            Merged,
            r#"
                insert into room (
                    organization_id, room_id, received_at, clock, name, description,
                    status, type, tags, channel, channel_account, channel_uniq_id,
                    account_uniq_id, channel_integration_id, session, session_at,
                    unread_count, created_at, updated_at, last_message_at,
                    last_activity_at, avatar, resolved_at, resolved_by_id,
                    resolved_by_type, external_id, division_id, agent_ids, note, extra,
                    email_cc, is_dont_auto_resolve, is_blocked, is_unresponded,
                    is_manual_survey, key, fields, key_fields, keys, account_normalized
                )
                select
                    unnest($1::text[]), unnest($2::text[]), unnest($3::timestamptz[]),
                    unnest($4::timestamptz[]), unnest($5::text[]), unnest($6::text[]),
                    unnest($7::text[]), unnest($8::text[]),
                    string_to_array(unnest($9::text[]), e'\x1f'), unnest($10::text[]),
                    unnest($11::text[]), unnest($12::text[]), unnest($13::text[]),
                    unnest($14::text[]), unnest($15::text[]),
                    unnest($16::timestamptz[]), unnest($17::bigint[]),
                    unnest($18::timestamptz[]), unnest($19::timestamptz[]),
                    unnest($20::timestamptz[]), unnest($21::timestamptz[]),
                    unnest($22::jsonb[]), unnest($23::timestamptz[]),
                    unnest($24::text[]), unnest($25::text[]), unnest($26::text[]),
                    unnest($27::text[]), string_to_array(unnest($28::text[]), e'\x1f'),
                    unnest($29::jsonb[]), unnest($30::jsonb[]), unnest($31::jsonb[]),
                    unnest($32::boolean[]), unnest($33::boolean[]),
                    unnest($34::boolean[]), unnest($35::boolean[]), unnest($36::uuid[]),
                    unnest($37::int[]), unnest($38::int[]),
                    string_to_array(unnest($39::text[]), ',', '')::uuid[], unnest($40::text[])
                on conflict (organization_id, room_id) do update set
                    received_at = least(room.received_at, excluded.received_at),
                    clock = greatest(room.clock, excluded.clock),
                    key = greatest(room.key, excluded.key),
                    fields = room.fields | excluded.fields,
            "#
                + $on_conflict,
            &column($rows, |row| row.organization_id.as_str()) as _,
            &column($rows, |row| row.room_id.as_str()) as _,
            &column($rows, |row| row.received_at) as _,
            &column($rows, |row| row.clock) as _,
            &column($rows, |row| row.name.as_deref()) as _,
            &column($rows, |row| row.description.as_deref()) as _,
            &column($rows, |row| row.status.as_deref()) as _,
            &column($rows, |row| row.r#type.as_deref()) as _,
            &column($rows, |row| row.tags.as_ref().map(PackedList::as_str)) as _,
            &column($rows, |row| row.channel.as_deref()) as _,
            &column($rows, |row| row.channel_account.as_deref()) as _,
            &column($rows, |row| row.channel_uniq_id.as_deref()) as _,
            &column($rows, |row| row.account_uniq_id.as_deref()) as _,
            &column($rows, |row| row.channel_integration_id.as_deref()) as _,
            &column($rows, |row| row.session.as_deref()) as _,
            &column($rows, |row| row.session_at) as _,
            &column($rows, |row| row.unread_count) as _,
            &column($rows, |row| row.created_at) as _,
            &column($rows, |row| row.updated_at) as _,
            &column($rows, |row| row.last_message_at) as _,
            &column($rows, |row| row.last_activity_at) as _,
            &column($rows, |row| json(&row.avatar)) as _,
            &column($rows, |row| row.resolved_at) as _,
            &column($rows, |row| row.resolved_by_id.as_deref()) as _,
            &column($rows, |row| row.resolved_by_type.as_deref()) as _,
            &column($rows, |row| row.external_id.as_deref()) as _,
            &column($rows, |row| row.division_id.as_deref()) as _,
            &column($rows, |row| row.agent_ids.as_ref().map(PackedList::as_str)) as _,
            &column($rows, |row| json(&row.note)) as _,
            &column($rows, |row| json(&row.extra)) as _,
            &column($rows, |row| json(&row.email_cc)) as _,
            &column($rows, |row| row.is_dont_auto_resolve) as _,
            &column($rows, |row| row.is_blocked) as _,
            &column($rows, |row| row.is_unresponded) as _,
            &column($rows, |row| row.is_manual_survey) as _,
            &column($rows, |row| row.key.0),
            &column($rows, |row| row.fields),
            &column($rows, |row| row.key_fields),
            &column($rows, |row| row.lagging()) as _,
            &column($rows, |row| row.account_uniq_id.as_deref().map(normalize_account)) as _,
        )
        .fetch_all($db)
        .await
    };
}

/// Merges snapshots that are newer than their row in every field, and returns their keys. The other
/// rows are only locked.
async fn merge_newer(db: &mut PgConnection, rows: &[Fold<'_>]) -> sqlx::Result<Vec<Merged>> {
    insert!(
        db,
        rows,
        r#"
                name = coalesce(excluded.name, room.name),
                description = coalesce(excluded.description, room.description),
                status = coalesce(excluded.status, room.status),
                type = coalesce(excluded.type, room.type),
                tags = coalesce(excluded.tags, room.tags),
                channel = coalesce(excluded.channel, room.channel),
                channel_account = coalesce(excluded.channel_account, room.channel_account),
                channel_uniq_id = coalesce(excluded.channel_uniq_id, room.channel_uniq_id),
                account_uniq_id = coalesce(excluded.account_uniq_id, room.account_uniq_id),
                account_normalized = coalesce(excluded.account_normalized, room.account_normalized),
                channel_integration_id = coalesce(excluded.channel_integration_id, room.channel_integration_id),
                session = coalesce(excluded.session, room.session),
                session_at = coalesce(excluded.session_at, room.session_at),
                unread_count = coalesce(excluded.unread_count, room.unread_count),
                created_at = coalesce(excluded.created_at, room.created_at),
                updated_at = coalesce(excluded.updated_at, room.updated_at),
                last_message_at = coalesce(excluded.last_message_at, room.last_message_at),
                last_activity_at = coalesce(excluded.last_activity_at, room.last_activity_at),
                avatar = coalesce(excluded.avatar, room.avatar),
                resolved_at = coalesce(excluded.resolved_at, room.resolved_at),
                resolved_by_id = coalesce(excluded.resolved_by_id, room.resolved_by_id),
                resolved_by_type = coalesce(excluded.resolved_by_type, room.resolved_by_type),
                external_id = coalesce(excluded.external_id, room.external_id),
                division_id = coalesce(excluded.division_id, room.division_id),
                agent_ids = coalesce(excluded.agent_ids, room.agent_ids),
                note = coalesce(excluded.note, room.note),
                extra = coalesce(excluded.extra, room.extra),
                email_cc = coalesce(excluded.email_cc, room.email_cc),
                is_dont_auto_resolve = coalesce(excluded.is_dont_auto_resolve, room.is_dont_auto_resolve),
                is_blocked = coalesce(excluded.is_blocked, room.is_blocked),
                is_unresponded = coalesce(excluded.is_unresponded, room.is_unresponded),
                is_manual_survey = coalesce(excluded.is_manual_survey, room.is_manual_survey),
                key_fields = case
                    when excluded.fields = 0 then room.key_fields
                    else excluded.key_fields
                end,
                keys = case
                    -- The new snapshot has every known field.
                    when room.fields & ~excluded.fields = 0 then excluded.keys
                    -- It lacks the same fields as the previous newest snapshot.
                    when excluded.fields = 0
                        or excluded.keys is null
                        and room.fields & excluded.fields = room.key_fields
                    then room.keys
                    else array[
                        case when excluded.name is not null then excluded.keys[1] when room.name is not null then coalesce(room.keys[1], room.key) end,
                        case when excluded.description is not null then excluded.keys[2] when room.description is not null then coalesce(room.keys[2], room.key) end,
                        case when excluded.status is not null then excluded.keys[3] when room.status is not null then coalesce(room.keys[3], room.key) end,
                        case when excluded.type is not null then excluded.keys[4] when room.type is not null then coalesce(room.keys[4], room.key) end,
                        case when excluded.tags is not null then excluded.keys[5] when room.tags is not null then coalesce(room.keys[5], room.key) end,
                        case when excluded.channel is not null then excluded.keys[6] when room.channel is not null then coalesce(room.keys[6], room.key) end,
                        case when excluded.channel_account is not null then excluded.keys[7] when room.channel_account is not null then coalesce(room.keys[7], room.key) end,
                        case when excluded.channel_uniq_id is not null then excluded.keys[8] when room.channel_uniq_id is not null then coalesce(room.keys[8], room.key) end,
                        case when excluded.account_uniq_id is not null then excluded.keys[9] when room.account_uniq_id is not null then coalesce(room.keys[9], room.key) end,
                        case when excluded.channel_integration_id is not null then excluded.keys[10] when room.channel_integration_id is not null then coalesce(room.keys[10], room.key) end,
                        case when excluded.session is not null then excluded.keys[11] when room.session is not null then coalesce(room.keys[11], room.key) end,
                        case when excluded.session_at is not null then excluded.keys[12] when room.session_at is not null then coalesce(room.keys[12], room.key) end,
                        case when excluded.unread_count is not null then excluded.keys[13] when room.unread_count is not null then coalesce(room.keys[13], room.key) end,
                        case when excluded.created_at is not null then excluded.keys[14] when room.created_at is not null then coalesce(room.keys[14], room.key) end,
                        case when excluded.updated_at is not null then excluded.keys[15] when room.updated_at is not null then coalesce(room.keys[15], room.key) end,
                        case when excluded.last_message_at is not null then excluded.keys[16] when room.last_message_at is not null then coalesce(room.keys[16], room.key) end,
                        case when excluded.last_activity_at is not null then excluded.keys[17] when room.last_activity_at is not null then coalesce(room.keys[17], room.key) end,
                        case when excluded.avatar is not null then excluded.keys[18] when room.avatar is not null then coalesce(room.keys[18], room.key) end,
                        case when excluded.resolved_at is not null then excluded.keys[19] when room.resolved_at is not null then coalesce(room.keys[19], room.key) end,
                        case when excluded.resolved_by_id is not null then excluded.keys[20] when room.resolved_by_id is not null then coalesce(room.keys[20], room.key) end,
                        case when excluded.resolved_by_type is not null then excluded.keys[21] when room.resolved_by_type is not null then coalesce(room.keys[21], room.key) end,
                        case when excluded.external_id is not null then excluded.keys[22] when room.external_id is not null then coalesce(room.keys[22], room.key) end,
                        case when excluded.division_id is not null then excluded.keys[23] when room.division_id is not null then coalesce(room.keys[23], room.key) end,
                        case when excluded.agent_ids is not null then excluded.keys[24] when room.agent_ids is not null then coalesce(room.keys[24], room.key) end,
                        case when excluded.note is not null then excluded.keys[25] when room.note is not null then coalesce(room.keys[25], room.key) end,
                        case when excluded.extra is not null then excluded.keys[26] when room.extra is not null then coalesce(room.keys[26], room.key) end,
                        case when excluded.email_cc is not null then excluded.keys[27] when room.email_cc is not null then coalesce(room.keys[27], room.key) end,
                        case when excluded.is_dont_auto_resolve is not null then excluded.keys[28] when room.is_dont_auto_resolve is not null then coalesce(room.keys[28], room.key) end,
                        case when excluded.is_blocked is not null then excluded.keys[29] when room.is_blocked is not null then coalesce(room.keys[29], room.key) end,
                        case when excluded.is_unresponded is not null then excluded.keys[30] when room.is_unresponded is not null then coalesce(room.keys[30], room.key) end,
                        case when excluded.is_manual_survey is not null then excluded.keys[31] when room.is_manual_survey is not null then coalesce(room.keys[31], room.key) end
                    ]
                end
            where excluded.fields = 0
                or room.key < case
                    when excluded.keys is null then excluded.key
                    else (
                        select key
                        from unnest(excluded.keys) as key
                        where key is not null
                        order by key
                        limit 1
                    )
                end
            returning organization_id, room_id
        "#
    )
}

/// Merges snapshots field by field; the row may be newer in some fields.
async fn merge_by_field(db: &mut PgConnection, rows: &[Fold<'_>]) -> sqlx::Result<Vec<Merged>> {
    insert!(
        db,
        rows,
        r#"
                name = later(room.name, coalesce(room.keys[1], room.key), excluded.name, coalesce(excluded.keys[1], excluded.key)),
                description = later(room.description, coalesce(room.keys[2], room.key), excluded.description, coalesce(excluded.keys[2], excluded.key)),
                status = later(room.status, coalesce(room.keys[3], room.key), excluded.status, coalesce(excluded.keys[3], excluded.key)),
                type = later(room.type, coalesce(room.keys[4], room.key), excluded.type, coalesce(excluded.keys[4], excluded.key)),
                tags = later(room.tags, coalesce(room.keys[5], room.key), excluded.tags, coalesce(excluded.keys[5], excluded.key)),
                channel = later(room.channel, coalesce(room.keys[6], room.key), excluded.channel, coalesce(excluded.keys[6], excluded.key)),
                channel_account = later(room.channel_account, coalesce(room.keys[7], room.key), excluded.channel_account, coalesce(excluded.keys[7], excluded.key)),
                channel_uniq_id = later(room.channel_uniq_id, coalesce(room.keys[8], room.key), excluded.channel_uniq_id, coalesce(excluded.keys[8], excluded.key)),
                account_uniq_id = later(room.account_uniq_id, coalesce(room.keys[9], room.key), excluded.account_uniq_id, coalesce(excluded.keys[9], excluded.key)),
                account_normalized = later(room.account_normalized, coalesce(room.keys[9], room.key), excluded.account_normalized, coalesce(excluded.keys[9], excluded.key)),
                channel_integration_id = later(room.channel_integration_id, coalesce(room.keys[10], room.key), excluded.channel_integration_id, coalesce(excluded.keys[10], excluded.key)),
                session = later(room.session, coalesce(room.keys[11], room.key), excluded.session, coalesce(excluded.keys[11], excluded.key)),
                session_at = later(room.session_at, coalesce(room.keys[12], room.key), excluded.session_at, coalesce(excluded.keys[12], excluded.key)),
                unread_count = later(room.unread_count, coalesce(room.keys[13], room.key), excluded.unread_count, coalesce(excluded.keys[13], excluded.key)),
                created_at = later(room.created_at, coalesce(room.keys[14], room.key), excluded.created_at, coalesce(excluded.keys[14], excluded.key)),
                updated_at = later(room.updated_at, coalesce(room.keys[15], room.key), excluded.updated_at, coalesce(excluded.keys[15], excluded.key)),
                last_message_at = later(room.last_message_at, coalesce(room.keys[16], room.key), excluded.last_message_at, coalesce(excluded.keys[16], excluded.key)),
                last_activity_at = later(room.last_activity_at, coalesce(room.keys[17], room.key), excluded.last_activity_at, coalesce(excluded.keys[17], excluded.key)),
                avatar = later(room.avatar, coalesce(room.keys[18], room.key), excluded.avatar, coalesce(excluded.keys[18], excluded.key)),
                resolved_at = later(room.resolved_at, coalesce(room.keys[19], room.key), excluded.resolved_at, coalesce(excluded.keys[19], excluded.key)),
                resolved_by_id = later(room.resolved_by_id, coalesce(room.keys[20], room.key), excluded.resolved_by_id, coalesce(excluded.keys[20], excluded.key)),
                resolved_by_type = later(room.resolved_by_type, coalesce(room.keys[21], room.key), excluded.resolved_by_type, coalesce(excluded.keys[21], excluded.key)),
                external_id = later(room.external_id, coalesce(room.keys[22], room.key), excluded.external_id, coalesce(excluded.keys[22], excluded.key)),
                division_id = later(room.division_id, coalesce(room.keys[23], room.key), excluded.division_id, coalesce(excluded.keys[23], excluded.key)),
                agent_ids = later(room.agent_ids, coalesce(room.keys[24], room.key), excluded.agent_ids, coalesce(excluded.keys[24], excluded.key)),
                note = later(room.note, coalesce(room.keys[25], room.key), excluded.note, coalesce(excluded.keys[25], excluded.key)),
                extra = later(room.extra, coalesce(room.keys[26], room.key), excluded.extra, coalesce(excluded.keys[26], excluded.key)),
                email_cc = later(room.email_cc, coalesce(room.keys[27], room.key), excluded.email_cc, coalesce(excluded.keys[27], excluded.key)),
                is_dont_auto_resolve = later(room.is_dont_auto_resolve, coalesce(room.keys[28], room.key), excluded.is_dont_auto_resolve, coalesce(excluded.keys[28], excluded.key)),
                is_blocked = later(room.is_blocked, coalesce(room.keys[29], room.key), excluded.is_blocked, coalesce(excluded.keys[29], excluded.key)),
                is_unresponded = later(room.is_unresponded, coalesce(room.keys[30], room.key), excluded.is_unresponded, coalesce(excluded.keys[30], excluded.key)),
                is_manual_survey = later(room.is_manual_survey, coalesce(room.keys[31], room.key), excluded.is_manual_survey, coalesce(excluded.keys[31], excluded.key)),
                key_fields = case
                    when excluded.key > room.key then excluded.key_fields
                    when excluded.key = room.key then room.key_fields | excluded.key_fields
                    else room.key_fields
                end,
                keys = case
                    -- The newest snapshot has every known field.
                    when (room.fields | excluded.fields) = case
                        when excluded.key > room.key then excluded.key_fields
                        when excluded.key = room.key then room.key_fields | excluded.key_fields
                        else room.key_fields
                    end then null
                    else array[
                        lagging(room.name, coalesce(room.keys[1], room.key), excluded.name, coalesce(excluded.keys[1], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.description, coalesce(room.keys[2], room.key), excluded.description, coalesce(excluded.keys[2], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.status, coalesce(room.keys[3], room.key), excluded.status, coalesce(excluded.keys[3], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.type, coalesce(room.keys[4], room.key), excluded.type, coalesce(excluded.keys[4], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.tags, coalesce(room.keys[5], room.key), excluded.tags, coalesce(excluded.keys[5], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.channel, coalesce(room.keys[6], room.key), excluded.channel, coalesce(excluded.keys[6], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.channel_account, coalesce(room.keys[7], room.key), excluded.channel_account, coalesce(excluded.keys[7], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.channel_uniq_id, coalesce(room.keys[8], room.key), excluded.channel_uniq_id, coalesce(excluded.keys[8], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.account_uniq_id, coalesce(room.keys[9], room.key), excluded.account_uniq_id, coalesce(excluded.keys[9], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.channel_integration_id, coalesce(room.keys[10], room.key), excluded.channel_integration_id, coalesce(excluded.keys[10], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.session, coalesce(room.keys[11], room.key), excluded.session, coalesce(excluded.keys[11], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.session_at, coalesce(room.keys[12], room.key), excluded.session_at, coalesce(excluded.keys[12], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.unread_count, coalesce(room.keys[13], room.key), excluded.unread_count, coalesce(excluded.keys[13], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.created_at, coalesce(room.keys[14], room.key), excluded.created_at, coalesce(excluded.keys[14], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.updated_at, coalesce(room.keys[15], room.key), excluded.updated_at, coalesce(excluded.keys[15], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.last_message_at, coalesce(room.keys[16], room.key), excluded.last_message_at, coalesce(excluded.keys[16], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.last_activity_at, coalesce(room.keys[17], room.key), excluded.last_activity_at, coalesce(excluded.keys[17], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.avatar, coalesce(room.keys[18], room.key), excluded.avatar, coalesce(excluded.keys[18], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.resolved_at, coalesce(room.keys[19], room.key), excluded.resolved_at, coalesce(excluded.keys[19], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.resolved_by_id, coalesce(room.keys[20], room.key), excluded.resolved_by_id, coalesce(excluded.keys[20], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.resolved_by_type, coalesce(room.keys[21], room.key), excluded.resolved_by_type, coalesce(excluded.keys[21], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.external_id, coalesce(room.keys[22], room.key), excluded.external_id, coalesce(excluded.keys[22], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.division_id, coalesce(room.keys[23], room.key), excluded.division_id, coalesce(excluded.keys[23], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.agent_ids, coalesce(room.keys[24], room.key), excluded.agent_ids, coalesce(excluded.keys[24], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.note, coalesce(room.keys[25], room.key), excluded.note, coalesce(excluded.keys[25], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.extra, coalesce(room.keys[26], room.key), excluded.extra, coalesce(excluded.keys[26], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.email_cc, coalesce(room.keys[27], room.key), excluded.email_cc, coalesce(excluded.keys[27], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.is_dont_auto_resolve, coalesce(room.keys[28], room.key), excluded.is_dont_auto_resolve, coalesce(excluded.keys[28], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.is_blocked, coalesce(room.keys[29], room.key), excluded.is_blocked, coalesce(excluded.keys[29], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.is_unresponded, coalesce(room.keys[30], room.key), excluded.is_unresponded, coalesce(excluded.keys[30], excluded.key), greatest(room.key, excluded.key)),
                        lagging(room.is_manual_survey, coalesce(room.keys[31], room.key), excluded.is_manual_survey, coalesce(excluded.keys[31], excluded.key), greatest(room.key, excluded.key))
                    ]
                end
            returning organization_id, room_id
        "#
    )
}
