-- Broadcasts and their recipients. Qontak sends no event about a broadcast itself, so it is known by its
-- logs and messages only.
create table broadcast (
    organization           integer     not null,
    broadcast_id           text        collate "C" not null,
    received_at            timestamptz not null,
    created_at             timestamptz,
    name                   text        collate "C",
    template_id            text        collate "C",
    channel_integration_id text        collate "C",
    key                    uuid        not null default '00000000-0000-0000-0000-000000000000',
    fields                 bigint      not null default 0,
    keys                   uuid[],
    at                     timestamptz not null generated always as
        (coalesce(created_at, received_at)) stored,
    constraint broadcast_pkey primary key (broadcast_id, organization)
);

comment on table broadcast is 'Broadcasts, derived from their logs and messages.';
comment on column broadcast.organization is 'Number of the organisation of the broadcast; 0 if unknown.';
comment on column broadcast.broadcast_id is 'Qontak''s id of the broadcast (messages_broadcast_id).';
comment on column broadcast.received_at is 'Time of the first event about it, by this service''s clock.';
comment on column broadcast.created_at is 'Time its earliest log was created, by Qontak''s clock.';
comment on column broadcast.name is 'Name, if last_campaign of a message has it.';
comment on column broadcast.template_id is 'The template (messages_broadcast_template_id).';
comment on column broadcast.channel_integration_id is 'Integration it was sent through.';
comment on column broadcast.key is 'Fold key of its oldest event, reversed: each log repeats the same fields, so the oldest event wins.';
comment on column broadcast.fields is 'Folded columns that are known, one bit each, in the order of function merged_columns.';
comment on column broadcast.keys is 'Fold key of the event that set a column, for each folded column that the event of key lacks. Null if it lacks none.';
comment on column broadcast.at is 'Order of lists: created_at, or else received_at.';

create index broadcast_by_time on broadcast (at, broadcast_id, organization);
comment on index broadcast_by_time is 'GET /v1/broadcasts, newest first.';

-- A message that is sent alone through a template is a broadcast with one recipient, so there may be as
-- many broadcasts as logs. One entry per broadcast, not per log.
create index broadcast_by_template on broadcast (template_id, at) where template_id is not null;
comment on index broadcast_by_template is 'GET /v1/broadcasts?template_id=; a sample of each template in GET /api/open/v1/templates/whatsapp.';

-- Nobody asks whether half of the recipients read within 5,412 or 5,400 seconds. With all digits nearly
-- each recipient would have a key of its own in the index of the funnel; rounded, many share one.
create function rounded_seconds(seconds integer) returns integer
    language sql immutable parallel safe
    return case
        when abs(seconds) < 100 then seconds
        when abs(seconds) < 1000 then (seconds + 5) / 10 * 10
        when abs(seconds) < 10000 then (seconds + 50) / 100 * 100
        when abs(seconds) < 100000 then (seconds + 500) / 1000 * 1000
        else (seconds + 5000) / 10000 * 10000
    end;

comment on function rounded_seconds is 'Seconds rounded to two digits: 5412 becomes 5400.';

create function hours_after(start timestamptz, at timestamptz) returns smallint
    language sql immutable parallel safe
    return case when at is not null then
        least(greatest(floor(extract(epoch from at - start) / 3600), 0), 1000)::smallint
    end;

comment on function hours_after is 'Complete hours from one time to another: at least 0, and 1000 for all that is later.';

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

-- One recipient of a broadcast, merged by the rules of table message; here Meta provides the times of
-- statuses.
--
-- A log may be sent again: then it has another id at WhatsApp, or another error. The row shows the newest
-- by WhatsApp's clock; between equal times the one that got further. All that was reported is kept in the
-- columns `last_…`, and the shown error follows from them: not the error of an earlier attempt once a
-- later one was delivered.
--
-- Columns that later events change stand together after the others, as in message.
create table broadcast_log (
    organization           integer     not null,
    log_id                 text        collate "C" not null,
    broadcast_id           text        collate "C",
    received_at            timestamptz not null,
    created_at             timestamptz,
    at                     timestamptz not null generated always as
        (coalesce(created_at, received_at)) stored,
    template_id            text        collate "C",
    channel_integration_id text        collate "C",
    contact_phone_number   text        collate "C",
    contact_phone_digits   text        collate "C",
    contact_id             text        collate "C",
    contact_full_name      text        collate "C",
    messages               jsonb,
    billable               boolean,
    pricing_category       text        collate "C",
    pricing_model          text        collate "C",
    conversation_id        text        collate "C",
    conversation_origin    text        collate "C",
    is_pacing              boolean,
    key                    uuid        not null default '00000000-0000-0000-0000-000000000000',
    fields                 bigint      not null default 0,
    keys                   uuid[],
    whatsapp_message_id    text        collate "C",
    pending_at             timestamptz,
    sent_at                timestamptz,
    delivered_at           timestamptz,
    read_at                timestamptz,
    failed_at              timestamptz,
    created_seen_at        timestamptz,
    pending_seen_at        timestamptz,
    sent_seen_at           timestamptz,
    delivered_seen_at      timestamptz,
    read_seen_at           timestamptz,
    failed_seen_at         timestamptz,
    other_statuses         text[],
    last_error_key         uuid,
    last_error_message_id  text        collate "C",
    last_error_code        bigint,
    last_error_title       text        collate "C",
    last_error_details     text        collate "C",
    last_error_message     text        collate "C",
    status                 text        collate "C" generated always as (
        effective_status(
            created_seen_at, pending_seen_at, sent_seen_at, delivered_seen_at, read_seen_at,
            failed_seen_at
        )
    ) stored,
    statuses               smallint    not null generated always as ((
        (created_seen_at is not null)::integer
        + (pending_seen_at is not null)::integer * 2
        + (sent_seen_at is not null)::integer * 4
        + (delivered_seen_at is not null)::integer * 8
        + (read_seen_at is not null)::integer * 16
        + (failed_seen_at is not null)::integer * 32
    )::smallint) stored,
    delivery_seconds       integer     generated always as
        (extract(epoch from delivered_at - sent_at)::integer) stored,
    read_seconds           integer     generated always as
        (rounded_seconds(extract(epoch from read_at - sent_at)::integer)) stored,
    -- Whoever read it received it, and whoever received it was sent it, reported or not.
    sent_hour              smallint    generated always as (
        hours_after(
            coalesce(created_at, received_at),
            least(
                coalesce(sent_at, sent_seen_at), coalesce(delivered_at, delivered_seen_at),
                coalesce(read_at, read_seen_at)
            )
        )
    ) stored,
    delivered_hour         smallint    generated always as (
        hours_after(
            coalesce(created_at, received_at),
            least(coalesce(delivered_at, delivered_seen_at), coalesce(read_at, read_seen_at))
        )
    ) stored,
    read_hour              smallint    generated always as (
        hours_after(coalesce(created_at, received_at), coalesce(read_at, read_seen_at))
    ) stored,
    failed_hour            smallint    generated always as (
        case when delivered_seen_at is null and read_seen_at is null then
            hours_after(coalesce(created_at, received_at), coalesce(failed_at, failed_seen_at))
        end
    ) stored,
    error_code             bigint      generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_code end
    ) stored,
    error_title            text        collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_title end
    ) stored,
    error_details          text        collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_details end
    ) stored,
    error_message          text        collate "C" generated always as (
        case when is_current_error(
            last_error_message_id, whatsapp_message_id, delivered_seen_at, read_seen_at
        ) then last_error_message end
    ) stored,
    constraint broadcast_log_pkey primary key (log_id, organization)
) with (fillfactor = 85);

comment on table broadcast_log is 'Recipients of broadcasts, each with all statuses seen.';
comment on column broadcast_log.organization is 'Number of the organisation of the log; 0 if unknown.';
comment on column broadcast_log.log_id is 'Qontak''s id of the log: one recipient of one broadcast.';
comment on column broadcast_log.broadcast_id is 'The broadcast (messages_broadcast_id).';
comment on column broadcast_log.received_at is 'Time of the first event about it, by this service''s clock.';
comment on column broadcast_log.created_at is 'Time the log was created, by Qontak''s clock.';
comment on column broadcast_log.at is 'Order of lists: created_at, or else received_at.';
comment on column broadcast_log.template_id is 'The template (messages_broadcast_template_id).';
comment on column broadcast_log.channel_integration_id is 'Integration it was sent through.';
comment on column broadcast_log.contact_phone_number is 'Phone number of the recipient, as sent. Null if what was sent is no phone number.';
comment on column broadcast_log.contact_phone_digits is 'Digits of contact_phone_number with the country code, for look-ups. Written by the service, see model/phone.rs.';
comment on column broadcast_log.contact_id is 'What was sent in place of a phone number: an id of WhatsApp that hides the number (ID.…, …@lid), a masked number, an e-mail address.';
comment on column broadcast_log.contact_full_name is 'Name of the recipient.';
comment on column broadcast_log.messages is 'Header, body and buttons with template and parameters.';
comment on column broadcast_log.billable is 'Whether Meta charges for it.';
comment on column broadcast_log.pricing_category is 'marketing, utility, authentication, …';
comment on column broadcast_log.pricing_model is 'PMP, CBP.';
comment on column broadcast_log.conversation_id is 'Meta''s conversation.';
comment on column broadcast_log.conversation_origin is 'Category of the message that opened Meta''s conversation: marketing, utility, …';
comment on column broadcast_log.is_pacing is 'Whether Meta''s template pacing holds it back.';
comment on column broadcast_log.key is 'Fold key of its newest event: by the latest time of WhatsApp, or else created_at.';
comment on column broadcast_log.fields is 'Folded columns that are known, one bit each, in the order of function merged_columns.';
comment on column broadcast_log.keys is 'Fold key of the event that set a column, for each folded column that the newest event lacks. Null if it lacks none.';
comment on column broadcast_log.whatsapp_message_id is 'WhatsApp''s id (wamid.…) of the newest attempt; null if none was accepted. Equals message.external_id of the message of the same delivery.';
comment on column broadcast_log.pending_at is 'Time it became pending, by WhatsApp''s clock.';
comment on column broadcast_log.sent_at is 'Time it was sent, by WhatsApp''s clock.';
comment on column broadcast_log.delivered_at is 'Time it was delivered, by WhatsApp''s clock. Null if only a read was reported.';
comment on column broadcast_log.read_at is 'Time it was read, by WhatsApp''s clock.';
comment on column broadcast_log.failed_at is 'Time it failed, by WhatsApp''s clock.';
comment on column broadcast_log.created_seen_at is 'Time status created was first seen, by this service''s clock.';
comment on column broadcast_log.pending_seen_at is 'Time status pending was first seen, by this service''s clock.';
comment on column broadcast_log.sent_seen_at is 'Time status sent was first seen, by this service''s clock.';
comment on column broadcast_log.delivered_seen_at is 'Time status delivered was first seen, by this service''s clock.';
comment on column broadcast_log.read_seen_at is 'Time status read (or played) was first seen, by this service''s clock.';
comment on column broadcast_log.failed_seen_at is 'Time status failed was first seen, by this service''s clock.';
comment on column broadcast_log.other_statuses is 'Other statuses seen (played, warning, …), sorted.';
comment on column broadcast_log.last_error_key is 'Time of the failure by WhatsApp''s clock, and the code: the error with the greater key wins.';
comment on column broadcast_log.last_error_message_id is 'WhatsApp''s id of the attempt with the newest error; null if it was not accepted.';
comment on column broadcast_log.last_error_code is 'Code of the newest error.';
comment on column broadcast_log.last_error_title is 'Title of the newest error.';
comment on column broadcast_log.last_error_details is 'Details of the newest error.';
comment on column broadcast_log.last_error_message is 'whatsapp_error_message of the newest error.';
comment on column broadcast_log.status is 'Effective status: a function of the set of statuses seen. Null if it has none of those with an order.';
comment on column broadcast_log.statuses is 'Statuses seen, one bit each: created 1, pending 2, sent 4, delivered 8, read 16, failed 32.';
comment on column broadcast_log.delivery_seconds is 'Seconds from sent to delivered, by WhatsApp''s clock, which has whole seconds.';
comment on column broadcast_log.read_seconds is 'Seconds from sent to read, by WhatsApp''s clock, rounded to two digits.';
comment on column broadcast_log.sent_hour is 'Complete hours from its creation until it was sent, or until an earlier sign of that; see function hours_after.';
comment on column broadcast_log.delivered_hour is 'Complete hours from its creation until it was delivered, or until an earlier sign of that.';
comment on column broadcast_log.read_hour is 'Complete hours from its creation until it was read.';
comment on column broadcast_log.failed_hour is 'Complete hours from its creation until it failed. Null if it was delivered or read.';
comment on column broadcast_log.error_code is 'WhatsApp error code, e.g. 131026 undeliverable; not the HTTP-like code beside it. Null if a later attempt was delivered.';
comment on column broadcast_log.error_title is 'Meta''s title of that error.';
comment on column broadcast_log.error_details is 'Meta''s details of that error: which parameter, media or recipient was wrong.';
comment on column broadcast_log.error_message is 'whatsapp_error_message of that error: text only.';

-- Each change of a log is written to all of its indexes. So those for one value are hash indexes, and
-- logs of the same moment are ordered after they are read.
create index broadcast_log_by_message on broadcast_log using hash (whatsapp_message_id)
    where whatsapp_message_id is not null;
comment on index broadcast_log_by_message is 'GET /v1/trace/{wamid}, and the log of a message in GET /v1/messages and GET /v1/delivery-statuses.';

-- Contains only logs that were sent again after an attempt failed.
create index broadcast_log_by_failed_attempt on broadcast_log using hash (last_error_message_id)
    where last_error_message_id <> whatsapp_message_id;
comment on index broadcast_log_by_failed_attempt is 'GET /v1/trace/{wamid} of an earlier attempt.';

create index broadcast_log_by_phone on broadcast_log using hash (contact_phone_digits)
    where contact_phone_digits is not null;
comment on index broadcast_log_by_phone is 'GET /v1/delivery-statuses?phone= and GET /v1/trace/{phone}.';

-- Contains only what is no phone number.
create index broadcast_log_by_contact on broadcast_log using hash (contact_id)
    where contact_id is not null;
comment on index broadcast_log_by_contact is 'GET /v1/trace/{contact_id}.';

create index broadcast_log_by_broadcast on broadcast_log (broadcast_id, at);
comment on index broadcast_log_by_broadcast is 'GET /v1/broadcasts/{id}/logs and GET /v1/delivery-statuses?broadcast_id=.';

-- A range in order of time per organisation, as in message_by_time.
create index broadcast_log_by_time on broadcast_log (organization, at);
comment on index broadcast_log_by_time is 'GET /v1/delivery-statuses, newest first.';

-- Contains failed logs only, a range in order of time per organisation and code.
create index broadcast_log_by_error on broadcast_log (organization, error_code, at)
    where error_code is not null;
comment on index broadcast_log_by_error is 'GET /v1/delivery-statuses?error=.';

-- Has everything that a funnel needs, so one pass over it is enough: tens of milliseconds for 100,000
-- recipients, whose rows are twenty to a hundred times as many pages. Many recipients have equal keys, which Postgres stores
-- once per page: some 30 bytes per recipient. The hours come last, because the seconds nearly determine them.
create index broadcast_log_funnel on broadcast_log (
    broadcast_id, organization, status, error_code, statuses, billable, pricing_category,
    delivery_seconds, read_seconds, sent_hour, delivered_hour, read_hour, failed_hour
);
comment on index broadcast_log_funnel is 'GET /v1/broadcasts/{id}: the delivery funnel.';
