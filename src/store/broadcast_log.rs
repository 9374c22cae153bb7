//! Table `broadcast_log`: one row per recipient of a broadcast.

pub mod count;
pub mod funnel;
pub mod hour_count;
mod read;

use std::borrow::Cow;

use sqlx::PgConnection;

pub use self::read::{LogKey, LogRow, Place, list, show};
use super::rows::{column, json, rounds_of_unique_keys};
use crate::model::BroadcastLog;

/// Merges broadcast logs, by the rules of table `message`. Rows with the same key are not merged in
/// memory; they go into separate rounds.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a BroadcastLog>,
) -> sqlx::Result<()> {
    for rows in rounds_of_unique_keys(rows, |row| (&row.organization_id, &row.log_id), |_, _| false)
    {
        upsert_round(db, &rows).await?;
    }
    Ok(())
}

async fn upsert_round(db: &mut PgConnection, rows: &[Cow<'_, BroadcastLog>]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into broadcast_log (
                organization_id, log_id, received_at, broadcast_id, created_at,
                template_id, channel_integration_id, contact_phone_number,
                contact_full_name, whatsapp_message_id, last_error_code, last_error_title,
                last_error_message, billable, pricing_category, pricing_model, conversation_id,
                conversation_origin, is_pacing, messages, pending_at, sent_at,
                delivered_at, read_at, failed_at, created_seen_at, pending_seen_at,
                sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at,
                other_statuses, last_error_details, last_error_key, last_error_message_id,
                whatsapp_message_key, clock, fields, contact_phone_digits, contact_id
            )
            select
                unnest($1::text[]), unnest($2::text[]), unnest($3::timestamptz[]),
                unnest($4::text[]), unnest($5::timestamptz[]), unnest($6::text[]),
                unnest($7::text[]), unnest($8::text[]), unnest($9::text[]),
                unnest($10::text[]), unnest($11::bigint[]), unnest($12::text[]),
                unnest($13::text[]), unnest($14::boolean[]), unnest($15::text[]),
                unnest($16::text[]), unnest($17::text[]), unnest($18::text[]),
                unnest($19::boolean[]), unnest($20::jsonb[]), unnest($21::timestamptz[]),
                unnest($22::timestamptz[]), unnest($23::timestamptz[]),
                unnest($24::timestamptz[]), unnest($25::timestamptz[]),
                unnest($26::timestamptz[]), unnest($27::timestamptz[]),
                unnest($28::timestamptz[]), unnest($29::timestamptz[]),
                unnest($30::timestamptz[]), unnest($31::timestamptz[]),
                string_to_array(unnest($32::text[]), ''), unnest($33::text[]),
                unnest($34::uuid[]), unnest($35::text[]), unnest($36::uuid[]),
                unnest($37::timestamptz[]), unnest($38::int[]), unnest($39::text[]),
                unnest($40::text[])
            on conflict (organization_id, log_id) do update set
                received_at = least(broadcast_log.received_at, excluded.received_at),
                broadcast_id = later(broadcast_log.broadcast_id, coalesce(broadcast_log.clocks[1], broadcast_log.clock), excluded.broadcast_id, excluded.clock),
                created_at = least(broadcast_log.created_at, excluded.created_at),
                template_id = later(broadcast_log.template_id, coalesce(broadcast_log.clocks[2], broadcast_log.clock), excluded.template_id, excluded.clock),
                channel_integration_id = later(broadcast_log.channel_integration_id, coalesce(broadcast_log.clocks[3], broadcast_log.clock), excluded.channel_integration_id, excluded.clock),
                contact_phone_number = later(broadcast_log.contact_phone_number, coalesce(broadcast_log.clocks[4], broadcast_log.clock), excluded.contact_phone_number, excluded.clock),
                -- Those of the number that is kept.
                contact_phone_digits = case later(broadcast_log.contact_phone_number, coalesce(broadcast_log.clocks[4], broadcast_log.clock), excluded.contact_phone_number, excluded.clock)
                    when broadcast_log.contact_phone_number then broadcast_log.contact_phone_digits
                    else excluded.contact_phone_digits
                end,
                contact_id = later(broadcast_log.contact_id, coalesce(broadcast_log.clocks[13], broadcast_log.clock), excluded.contact_id, excluded.clock),
                contact_full_name = later(broadcast_log.contact_full_name, coalesce(broadcast_log.clocks[5], broadcast_log.clock), excluded.contact_full_name, excluded.clock),
                whatsapp_message_id = later(
                    broadcast_log.whatsapp_message_id, broadcast_log.whatsapp_message_key,
                    excluded.whatsapp_message_id, excluded.whatsapp_message_key
                ),
                whatsapp_message_key = greatest(broadcast_log.whatsapp_message_key, excluded.whatsapp_message_key),
                -- The key contains the code, so that no text belongs to another code.
                last_error_code = of_later(
                    broadcast_log.last_error_code, broadcast_log.last_error_key,
                    excluded.last_error_code, excluded.last_error_key
                ),
                last_error_title = of_later(
                    broadcast_log.last_error_title, broadcast_log.last_error_key,
                    excluded.last_error_title, excluded.last_error_key
                ),
                last_error_details = of_later(
                    broadcast_log.last_error_details, broadcast_log.last_error_key,
                    excluded.last_error_details, excluded.last_error_key
                ),
                last_error_message = of_later(
                    broadcast_log.last_error_message, broadcast_log.last_error_key,
                    excluded.last_error_message, excluded.last_error_key
                ),
                last_error_message_id = of_later(
                    broadcast_log.last_error_message_id, broadcast_log.last_error_key,
                    excluded.last_error_message_id, excluded.last_error_key
                ),
                last_error_key = greatest(broadcast_log.last_error_key, excluded.last_error_key),
                billable = later(broadcast_log.billable, coalesce(broadcast_log.clocks[6], broadcast_log.clock), excluded.billable, excluded.clock),
                pricing_category = later(broadcast_log.pricing_category, coalesce(broadcast_log.clocks[7], broadcast_log.clock), excluded.pricing_category, excluded.clock),
                pricing_model = later(broadcast_log.pricing_model, coalesce(broadcast_log.clocks[8], broadcast_log.clock), excluded.pricing_model, excluded.clock),
                conversation_id = later(broadcast_log.conversation_id, coalesce(broadcast_log.clocks[9], broadcast_log.clock), excluded.conversation_id, excluded.clock),
                conversation_origin = later(broadcast_log.conversation_origin, coalesce(broadcast_log.clocks[10], broadcast_log.clock), excluded.conversation_origin, excluded.clock),
                is_pacing = later(broadcast_log.is_pacing, coalesce(broadcast_log.clocks[11], broadcast_log.clock), excluded.is_pacing, excluded.clock),
                messages = later(broadcast_log.messages, coalesce(broadcast_log.clocks[12], broadcast_log.clock), excluded.messages, excluded.clock),
                clock = greatest(broadcast_log.clock, excluded.clock),
                fields = broadcast_log.fields | excluded.fields,
                clocks = case
                    -- The newest event has every known field.
                    when case
                        when excluded.clock > broadcast_log.clock
                            then broadcast_log.fields & ~excluded.fields
                        when broadcast_log.clocks is not null then 1
                        when excluded.clock < broadcast_log.clock
                            then excluded.fields & ~broadcast_log.fields
                        else 0
                    end = 0 then null
                    else nullif(array[
                        lagging(broadcast_log.broadcast_id, coalesce(broadcast_log.clocks[1], broadcast_log.clock), excluded.broadcast_id, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.template_id, coalesce(broadcast_log.clocks[2], broadcast_log.clock), excluded.template_id, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.channel_integration_id, coalesce(broadcast_log.clocks[3], broadcast_log.clock), excluded.channel_integration_id, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.contact_phone_number, coalesce(broadcast_log.clocks[4], broadcast_log.clock), excluded.contact_phone_number, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.contact_full_name, coalesce(broadcast_log.clocks[5], broadcast_log.clock), excluded.contact_full_name, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.billable, coalesce(broadcast_log.clocks[6], broadcast_log.clock), excluded.billable, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.pricing_category, coalesce(broadcast_log.clocks[7], broadcast_log.clock), excluded.pricing_category, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.pricing_model, coalesce(broadcast_log.clocks[8], broadcast_log.clock), excluded.pricing_model, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.conversation_id, coalesce(broadcast_log.clocks[9], broadcast_log.clock), excluded.conversation_id, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.conversation_origin, coalesce(broadcast_log.clocks[10], broadcast_log.clock), excluded.conversation_origin, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.is_pacing, coalesce(broadcast_log.clocks[11], broadcast_log.clock), excluded.is_pacing, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.messages, coalesce(broadcast_log.clocks[12], broadcast_log.clock), excluded.messages, excluded.clock, greatest(broadcast_log.clock, excluded.clock)),
                        lagging(broadcast_log.contact_id, coalesce(broadcast_log.clocks[13], broadcast_log.clock), excluded.contact_id, excluded.clock, greatest(broadcast_log.clock, excluded.clock))
                    ], array_fill(null::timestamptz, array[13]))
                end,
                pending_at = least(broadcast_log.pending_at, excluded.pending_at),
                sent_at = least(broadcast_log.sent_at, excluded.sent_at),
                delivered_at = least(broadcast_log.delivered_at, excluded.delivered_at),
                read_at = least(broadcast_log.read_at, excluded.read_at),
                failed_at = least(broadcast_log.failed_at, excluded.failed_at),
                created_seen_at = least(broadcast_log.created_seen_at, excluded.created_seen_at),
                pending_seen_at = least(broadcast_log.pending_seen_at, excluded.pending_seen_at),
                sent_seen_at = least(broadcast_log.sent_seen_at, excluded.sent_seen_at),
                delivered_seen_at = least(broadcast_log.delivered_seen_at, excluded.delivered_seen_at),
                read_seen_at = least(broadcast_log.read_seen_at, excluded.read_seen_at),
                failed_seen_at = least(broadcast_log.failed_seen_at, excluded.failed_seen_at),
                other_statuses = case
                    when excluded.other_statuses is null
                        or broadcast_log.other_statuses @> excluded.other_statuses
                    then broadcast_log.other_statuses
                    else array(
                        select distinct word
                        from unnest(broadcast_log.other_statuses || excluded.other_statuses) as word
                        order by word
                    )
                end
        "#,
        &column(rows, |row| row.organization_id.as_str()) as _,
        &column(rows, |row| row.log_id.as_str()) as _,
        &column(rows, |row| row.received_at) as _,
        &column(rows, |row| row.broadcast_id.as_deref()) as _,
        &column(rows, |row| row.created_at) as _,
        &column(rows, |row| row.template_id.as_deref()) as _,
        &column(rows, |row| row.channel_integration_id.as_deref()) as _,
        &column(rows, |row| row.contact_phone_number.as_deref()) as _,
        &column(rows, |row| row.contact_full_name.as_deref()) as _,
        &column(rows, |row| row.whatsapp_message_id.as_deref()) as _,
        &column(rows, |row| row.error_code) as _,
        &column(rows, |row| row.error_title.as_deref()) as _,
        &column(rows, |row| row.error_message.as_deref()) as _,
        &column(rows, |row| row.billable) as _,
        &column(rows, |row| row.pricing_category.as_deref()) as _,
        &column(rows, |row| row.pricing_model.as_deref()) as _,
        &column(rows, |row| row.conversation_id.as_deref()) as _,
        &column(rows, |row| row.conversation_origin.as_deref()) as _,
        &column(rows, |row| row.is_pacing) as _,
        &column(rows, |row| json(&row.messages)) as _,
        &column(rows, |row| row.pending_at) as _,
        &column(rows, |row| row.sent_at) as _,
        &column(rows, |row| row.delivered_at) as _,
        &column(rows, |row| row.read_at) as _,
        &column(rows, |row| row.failed_at) as _,
        &column(rows, |row| row.statuses.created) as _,
        &column(rows, |row| row.statuses.pending) as _,
        &column(rows, |row| row.statuses.sent) as _,
        &column(rows, |row| row.statuses.delivered) as _,
        &column(rows, |row| row.statuses.read) as _,
        &column(rows, |row| row.statuses.failed) as _,
        &column(rows, |row| row.statuses.other.as_deref()) as _,
        &column(rows, |row| row.error_details.as_deref()) as _,
        &column(rows, |row| row.error_key()) as _,
        &column(rows, |row| row.error_message_id.as_deref()) as _,
        &column(rows, |row| row.whatsapp_message_key()) as _,
        &column(rows, |row| row.clock()) as _,
        &column(rows, |row| row.fields()),
        &column(rows, |row| row.contact_phone_digits.as_deref()) as _,
        &column(rows, |row| row.contact_id.as_deref()) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}
