//! Merges messages into table `message`.
//!
//! No rule depends on order: `least` keeps the first time of each status, other fields have the
//! value of the newest event that contains them (`later`), and the text with the greatest key wins.
//!
//! An event may name no organisation. Its message is a row of its own, until there is exactly one
//! organisation with that message: then the row is merged into the other one by the same rules. If
//! several organisations have it, nobody can tell whose it is, and it stays apart.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sqlx::{PgConnection, PgExecutor};

use crate::model::{Author, Direction, Message};
use crate::store::rows::{column, json, rounds_of_unique_keys};

/// A statement that merges rows from `$source` into the table, with SQL before and after.
macro_rules! merge {
    ($before:tt, $source:tt, $after:tt $(, $value:expr)* $(,)?) => {
        sqlx::query_scalar!(
            $before
                + r#"
            insert into message (
                organization_id, message_id, received_at, room_id, created_at, channel_at,
                type, participant_type, participant_id, sender_type, sender_id,
                external_id, channel, channel_integration_id, broadcast_id, file_uniq_id,
                is_campaign, is_edited, review_star, file, reply, buttons, raw_message,
                text, text_rank, created_seen_at, pending_seen_at, sent_seen_at,
                delivered_seen_at, read_seen_at, failed_seen_at, other_statuses,
                error_code, error_title, error_details, failed_at, clock, fields, clocks,
                author_by_sender, direction_by_name
            )
            "#
                + $source
                + r#"
            on conflict (organization_id, message_id) do update set
                received_at = least(message.received_at, excluded.received_at),
                room_id = later(message.room_id, coalesce(message.clocks[1], message.clock), excluded.room_id, coalesce(excluded.clocks[1], excluded.clock)),
                created_at = least(message.created_at, excluded.created_at),
                channel_at = least(message.channel_at, excluded.channel_at),
                type = later(message.type, coalesce(message.clocks[2], message.clock), excluded.type, coalesce(excluded.clocks[2], excluded.clock)),
                participant_type = later(message.participant_type, coalesce(message.clocks[3], message.clock), excluded.participant_type, coalesce(excluded.clocks[3], excluded.clock)),
                participant_id = later(message.participant_id, coalesce(message.clocks[4], message.clock), excluded.participant_id, coalesce(excluded.clocks[4], excluded.clock)),
                sender_type = later(message.sender_type, coalesce(message.clocks[5], message.clock), excluded.sender_type, coalesce(excluded.clocks[5], excluded.clock)),
                sender_id = later(message.sender_id, coalesce(message.clocks[6], message.clock), excluded.sender_id, coalesce(excluded.clocks[6], excluded.clock)),
                external_id = later(message.external_id, coalesce(message.clocks[7], message.clock), excluded.external_id, coalesce(excluded.clocks[7], excluded.clock)),
                channel = later(message.channel, coalesce(message.clocks[8], message.clock), excluded.channel, coalesce(excluded.clocks[8], excluded.clock)),
                channel_integration_id = later(message.channel_integration_id, coalesce(message.clocks[9], message.clock), excluded.channel_integration_id, coalesce(excluded.clocks[9], excluded.clock)),
                broadcast_id = later(message.broadcast_id, coalesce(message.clocks[10], message.clock), excluded.broadcast_id, coalesce(excluded.clocks[10], excluded.clock)),
                file_uniq_id = later(message.file_uniq_id, coalesce(message.clocks[11], message.clock), excluded.file_uniq_id, coalesce(excluded.clocks[11], excluded.clock)),
                is_campaign = later(message.is_campaign, coalesce(message.clocks[12], message.clock), excluded.is_campaign, coalesce(excluded.clocks[12], excluded.clock)),
                review_star = later(message.review_star, coalesce(message.clocks[13], message.clock), excluded.review_star, coalesce(excluded.clocks[13], excluded.clock)),
                file = later(message.file, coalesce(message.clocks[14], message.clock), excluded.file, coalesce(excluded.clocks[14], excluded.clock)),
                reply = later(message.reply, coalesce(message.clocks[15], message.clock), excluded.reply, coalesce(excluded.clocks[15], excluded.clock)),
                buttons = later(message.buttons, coalesce(message.clocks[16], message.clock), excluded.buttons, coalesce(excluded.clocks[16], excluded.clock)),
                raw_message = later(message.raw_message, coalesce(message.clocks[17], message.clock), excluded.raw_message, coalesce(excluded.clocks[17], excluded.clock)),
                author_by_sender = later(message.author_by_sender, coalesce(message.clocks[18], message.clock), excluded.author_by_sender, coalesce(excluded.clocks[18], excluded.clock)),
                direction_by_name = greatest(message.direction_by_name, excluded.direction_by_name),
                is_edited = greatest(message.is_edited, excluded.is_edited),
                clock = greatest(message.clock, excluded.clock),
                fields = message.fields | excluded.fields,
                clocks = case
                    -- The newest event has every known field.
                    when case
                        -- Not of an event, but of several: see `claim`.
                        when excluded.clocks is not null then 1
                        when excluded.clock > message.clock
                            then message.fields & ~excluded.fields
                        when message.clocks is not null then 1
                        when excluded.clock < message.clock
                            then excluded.fields & ~message.fields
                        else 0
                    end = 0 then null
                    else nullif(array[
                        lagging(message.room_id, coalesce(message.clocks[1], message.clock), excluded.room_id, coalesce(excluded.clocks[1], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.type, coalesce(message.clocks[2], message.clock), excluded.type, coalesce(excluded.clocks[2], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.participant_type, coalesce(message.clocks[3], message.clock), excluded.participant_type, coalesce(excluded.clocks[3], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.participant_id, coalesce(message.clocks[4], message.clock), excluded.participant_id, coalesce(excluded.clocks[4], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.sender_type, coalesce(message.clocks[5], message.clock), excluded.sender_type, coalesce(excluded.clocks[5], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.sender_id, coalesce(message.clocks[6], message.clock), excluded.sender_id, coalesce(excluded.clocks[6], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.external_id, coalesce(message.clocks[7], message.clock), excluded.external_id, coalesce(excluded.clocks[7], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.channel, coalesce(message.clocks[8], message.clock), excluded.channel, coalesce(excluded.clocks[8], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.channel_integration_id, coalesce(message.clocks[9], message.clock), excluded.channel_integration_id, coalesce(excluded.clocks[9], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.broadcast_id, coalesce(message.clocks[10], message.clock), excluded.broadcast_id, coalesce(excluded.clocks[10], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.file_uniq_id, coalesce(message.clocks[11], message.clock), excluded.file_uniq_id, coalesce(excluded.clocks[11], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.is_campaign, coalesce(message.clocks[12], message.clock), excluded.is_campaign, coalesce(excluded.clocks[12], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.review_star, coalesce(message.clocks[13], message.clock), excluded.review_star, coalesce(excluded.clocks[13], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.file, coalesce(message.clocks[14], message.clock), excluded.file, coalesce(excluded.clocks[14], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.reply, coalesce(message.clocks[15], message.clock), excluded.reply, coalesce(excluded.clocks[15], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.buttons, coalesce(message.clocks[16], message.clock), excluded.buttons, coalesce(excluded.clocks[16], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.raw_message, coalesce(message.clocks[17], message.clock), excluded.raw_message, coalesce(excluded.clocks[17], excluded.clock), greatest(message.clock, excluded.clock)),
                        lagging(message.author_by_sender, coalesce(message.clocks[18], message.clock), excluded.author_by_sender, coalesce(excluded.clocks[18], excluded.clock), greatest(message.clock, excluded.clock))
                    ], array_fill(null::timestamptz, array[18]))
                end,
                text = later(message.text, message.text_rank, excluded.text, excluded.text_rank),
                text_rank = greatest(message.text_rank, excluded.text_rank),
                error_code = greatest(message.error_code, excluded.error_code),
                -- Merged with their code, so that title and details never belong to another code.
                error_title = case
                    when coalesce(excluded.error_code, -1) > coalesce(message.error_code, -1)
                        then excluded.error_title
                    when coalesce(excluded.error_code, -1) < coalesce(message.error_code, -1)
                        then message.error_title
                    else greatest(message.error_title, excluded.error_title)
                end,
                error_details = case
                    when coalesce(excluded.error_code, -1) > coalesce(message.error_code, -1)
                        then excluded.error_details
                    when coalesce(excluded.error_code, -1) < coalesce(message.error_code, -1)
                        then message.error_details
                    else greatest(message.error_details, excluded.error_details)
                end,
                failed_at = least(message.failed_at, excluded.failed_at),
                created_seen_at = least(message.created_seen_at, excluded.created_seen_at),
                pending_seen_at = least(message.pending_seen_at, excluded.pending_seen_at),
                sent_seen_at = least(message.sent_seen_at, excluded.sent_seen_at),
                delivered_seen_at = least(message.delivered_seen_at, excluded.delivered_seen_at),
                read_seen_at = least(message.read_seen_at, excluded.read_seen_at),
                failed_seen_at = least(message.failed_seen_at, excluded.failed_seen_at),
                other_statuses = case
                    when excluded.other_statuses is null
                        or message.other_statuses @> excluded.other_statuses
                    then message.other_statuses
                    else array(
                        select distinct word
                        from unnest(message.other_statuses || excluded.other_statuses) as word
                        order by word
                    )
                end
            "#
                + $after
            $(, $value)*
        )
    };
}

/// Merges messages.
pub async fn upsert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a Message>,
) -> sqlx::Result<()> {
    let mut unknown = BTreeSet::new();
    for rows in
        rounds_of_unique_keys(rows, |row| (&row.organization_id, &row.message_id), Message::merge)
    {
        unknown.extend(upsert_round(db, &rows).await?);
        let unnamed = rows.iter().filter(|row| row.organization_id.is_empty());
        unknown.extend(unnamed.map(|row| row.message_id.clone()));
    }
    if !unknown.is_empty() {
        claim(db, Some(&unknown.into_iter().collect::<Vec<_>>())).await?;
    }
    Ok(())
}

/// Merges rows with unique keys. Returns which of them are also there without an organisation: asked
/// in the same statement, because a lone caller waits for each round trip.
async fn upsert_round(
    db: &mut PgConnection,
    rows: &[Cow<'_, Message>],
) -> sqlx::Result<Vec<String>> {
    merge!(
        "with merged as (",
        r#"
            select
                unnest($1::text[]), unnest($2::text[]), unnest($3::timestamptz[]),
                unnest($4::text[]), unnest($5::timestamptz[]), unnest($6::timestamptz[]),
                unnest($7::text[]), unnest($8::text[]), unnest($9::text[]),
                unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
                unnest($13::text[]), unnest($14::text[]), unnest($15::text[]),
                unnest($16::text[]), unnest($17::boolean[]), unnest($18::boolean[]),
                unnest($19::bigint[]), unnest($20::jsonb[]), unnest($21::jsonb[]),
                unnest($22::jsonb[]), unnest($23::jsonb[]), unnest($24::text[]),
                unnest($25::uuid[]), unnest($26::timestamptz[]),
                unnest($27::timestamptz[]), unnest($28::timestamptz[]),
                unnest($29::timestamptz[]), unnest($30::timestamptz[]),
                unnest($31::timestamptz[]), string_to_array(unnest($32::text[]), ''),
                unnest($33::bigint[]), unnest($34::text[]), unnest($35::text[]),
                unnest($36::timestamptz[]), unnest($37::timestamptz[]), unnest($38::int[]),
                null::timestamptz[], unnest($39::text[]), unnest($40::text[])
        "#,
        r#"
            )
            -- An empty index, as a rule.
            select message_id from message where organization_id = '' and message_id = any($2)
        "#,
        &column(rows, |row| row.organization_id.as_str()) as _,
        &column(rows, |row| row.message_id.as_str()) as _,
        &column(rows, |row| row.received_at) as _,
        &column(rows, |row| row.room_id.as_deref()) as _,
        &column(rows, |row| row.created_at) as _,
        &column(rows, |row| row.channel_at) as _,
        &column(rows, |row| row.r#type.as_deref()) as _,
        &column(rows, |row| row.participant_type.as_deref()) as _,
        &column(rows, |row| row.participant_id.as_deref()) as _,
        &column(rows, |row| row.sender_type.as_deref()) as _,
        &column(rows, |row| row.sender_id.as_deref()) as _,
        &column(rows, |row| row.external_id.as_deref()) as _,
        &column(rows, |row| row.channel.as_deref()) as _,
        &column(rows, |row| row.channel_integration_id.as_deref()) as _,
        &column(rows, |row| row.broadcast_id.as_deref()) as _,
        &column(rows, |row| row.file_uniq_id.as_deref()) as _,
        &column(rows, |row| row.is_campaign) as _,
        &column(rows, |row| row.is_edited) as _,
        &column(rows, |row| row.review_star) as _,
        &column(rows, |row| json(&row.file)) as _,
        &column(rows, |row| json(&row.reply)) as _,
        &column(rows, |row| json(&row.buttons)) as _,
        &column(rows, |row| json(&row.raw_message)) as _,
        &column(rows, |row| row.text.as_deref()) as _,
        &column(rows, |row| row.text_key.as_uuid()),
        &column(rows, |row| row.statuses.created) as _,
        &column(rows, |row| row.statuses.pending) as _,
        &column(rows, |row| row.statuses.sent) as _,
        &column(rows, |row| row.statuses.delivered) as _,
        &column(rows, |row| row.statuses.read) as _,
        &column(rows, |row| row.statuses.failed) as _,
        &column(rows, |row| row.statuses.other.as_deref()) as _,
        &column(rows, |row| row.error_code) as _,
        &column(rows, |row| row.error_title.as_deref()) as _,
        &column(rows, |row| row.error_details.as_deref()) as _,
        &column(rows, |row| row.failed_at) as _,
        &column(rows, |row| row.clock) as _,
        &column(rows, |row| row.fields()),
        &column(rows, |row| row.author_by_sender.map(Author::as_str)) as _,
        &column(rows, |row| row.direction_by_name.map(Direction::as_str)) as _,
    )
    .fetch_all(db)
    .await
}

/// Merges these messages, or all, of an unknown organisation into those of the only organisation that
/// has the message.
pub async fn claim(db: impl PgExecutor<'_>, message_ids: Option<&[String]>) -> sqlx::Result<()> {
    merge!(
        r#"
            with known as (
                select given.message_id, min(owner.organization_id) as organization_id
                from (
                    select message_id from unnest($1::text[]) as message_id
                    union all
                    select message_id from message where $1 is null and organization_id = ''
                ) as given
                cross join lateral (
                    select message.organization_id
                    from message
                    where message.message_id = given.message_id
                        and coalesce(message.organization_id <> '', false)
                    limit 2
                ) as owner
                group by given.message_id
                having count(*) = 1
            ), unknown as (
                delete from message
                using known
                where message.message_id = known.message_id and message.organization_id = ''
                returning to_jsonb(message)
                    || jsonb_build_object('organization_id', known.organization_id) as value
            ), merged as (
        "#,
        r#"
            select
                own.organization_id, own.message_id, own.received_at, own.room_id, own.created_at, own.channel_at,
                own.type, own.participant_type, own.participant_id, own.sender_type, own.sender_id,
                own.external_id, own.channel, own.channel_integration_id, own.broadcast_id, own.file_uniq_id,
                own.is_campaign, own.is_edited, own.review_star, own.file, own.reply, own.buttons, own.raw_message,
                own.text, own.text_rank, own.created_seen_at, own.pending_seen_at, own.sent_seen_at,
                own.delivered_seen_at, own.read_seen_at, own.failed_seen_at, own.other_statuses,
                own.error_code, own.error_title, own.error_details, own.failed_at,
                own.clock, own.fields, own.clocks, own.author_by_sender, own.direction_by_name
            from unknown
            cross join jsonb_populate_record(null::message, unknown.value) as own
            order by own.message_id
        "#,
        r#"
                returning 1
            ), occurring as (
                -- Filters look for messages only where these values are known to occur.
                insert into facet (organization_id, name, value, last_on)
                select own.organization_id, facet.name, facet.value, max(facet.last_on)
                from unknown
                cross join jsonb_populate_record(null::message, unknown.value) as own
                cross join lateral (
                    values
                        ('channel', own.channel, null::date),
                        ('message_type', own.type, null),
                        ('message_status', own.status, null),
                        ('agent', case own.participant_type when 'agent' then own.sender_id end, null),
                        (
                            'sender',
                            case when own.participant_type is distinct from 'customer'
                                then own.sender_id end,
                            (own.at at time zone 'UTC')::date
                        )
                ) as facet (name, value, last_on)
                where octet_length(facet.value) between 1 and 512
                group by 1, 2, 3
                order by 1, facet.name collate "C", 3
                on conflict (organization_id, name, value) do update
                    set last_on = greatest(facet.last_on, excluded.last_on)
                    where excluded.last_on > coalesce(facet.last_on, '-infinity')
            )
            select count(*) as "count!" from merged
        "#,
        message_ids,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}
