-- A log may be sent again: then it has another id at WhatsApp, or another error. The newest by
-- WhatsApp's clock is what the row shows; the alphabet decides only between equal times.
--
-- All that was ever reported stays in the columns `last_…`. The error that is shown follows from
-- them: not that of an earlier attempt, once a later one was delivered.
create function of_later(old anyelement, old_key uuid, new anyelement, new_key uuid)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new_key > old_key then new
        when new_key < old_key then old
        else greatest(old, new)
    end
$$;

comment on function of_later is 'The value with the greater key, even if it is null; the greater value between equal keys.';

create function is_current_error(
    error_message_id text, message_id text, delivered timestamptz, read timestamptz
)
    returns boolean
    language sql immutable parallel safe
    return coalesce(
        delivered is null and read is null
            or message_id is null
            or error_message_id = message_id,
        false
    );

comment on function is_current_error is 'Whether an error belongs to the attempt that a log shows.';

drop index broadcast_log_funnel;
drop index broadcast_log_by_error;

alter table broadcast_log rename column error_code to last_error_code;
alter table broadcast_log rename column error_title to last_error_title;
alter table broadcast_log rename column error_details to last_error_details;
alter table broadcast_log rename column error_message to last_error_message;

alter table broadcast_log
    add column whatsapp_message_key  uuid,
    add column last_error_key        uuid,
    add column last_error_message_id text collate "C",
    add column error_code bigint generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_code end
    ) stored,
    add column error_title text collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_title end
    ) stored,
    add column error_details text collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_details end
    ) stored,
    add column error_message text collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_message end
    ) stored;

comment on column broadcast_log.whatsapp_message_id is 'WhatsApp''s id (wamid.…) of the newest attempt; null when never accepted. Equals message.external_id of its twin.';
comment on column broadcast_log.whatsapp_message_key is 'Latest time, by WhatsApp''s clock, of the report that named whatsapp_message_id: the greater wins.';
comment on column broadcast_log.last_error_key is 'Time of the failure by WhatsApp''s clock, and the code: the error with the greater key wins.';
comment on column broadcast_log.last_error_code is 'Code of the newest error.';
comment on column broadcast_log.last_error_title is 'Title of the newest error.';
comment on column broadcast_log.last_error_details is 'Details of the newest error.';
comment on column broadcast_log.last_error_message is 'whatsapp_error_message of the newest error.';
comment on column broadcast_log.last_error_message_id is 'WhatsApp''s id of the attempt that had the newest error; null when never accepted.';
comment on column broadcast_log.error_code is 'WhatsApp error code, e.g. 131026 undeliverable. Not the HTTP-like code beside it. Null if a later attempt was delivered.';
comment on column broadcast_log.error_title is 'Meta''s title of that error.';
comment on column broadcast_log.error_details is 'Meta''s details of that error: which parameter, media or recipient was wrong.';
comment on column broadcast_log.error_message is 'whatsapp_error_message of that error: text only.';

-- Rows that were written before have no times. They lose to all reports that have.
update broadcast_log
set
    whatsapp_message_key = case
        when whatsapp_message_id is not null then '00000000-0000-0000-0000-000000000000'::uuid
    end,
    last_error_key = lpad(to_hex(coalesce(last_error_code + 1, 0)), 32, '0')::uuid,
    last_error_message_id = whatsapp_message_id
where num_nonnulls(
    whatsapp_message_id, last_error_code, last_error_title, last_error_message
) > 0;

create index broadcast_log_funnel on broadcast_log (
    broadcast_id, organization_id, status, error_code, statuses, billable, pricing_category,
    delivery_seconds, read_seconds
);

-- Only what failed is in it.
create index broadcast_log_by_error on broadcast_log (error_code, at) where error_code is not null;
