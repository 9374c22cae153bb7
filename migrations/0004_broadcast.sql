-- Qontak sends no event about a broadcast itself: this is what its logs and messages tell.
create table broadcast (
    organization_id        text        collate "C" not null,
    broadcast_id           text        collate "C" not null,
    received_at            timestamptz not null,
    created_at             timestamptz,
    name                   text        collate "C",
    template_id            text        collate "C",
    channel_integration_id text        collate "C",
    at                     timestamptz not null generated always as
        (coalesce(created_at, received_at)) stored,
    constraint broadcast_pkey primary key (broadcast_id, organization_id)
);

create index broadcast_by_time on broadcast (at, broadcast_id, organization_id);

comment on table broadcast is 'Broadcasts, as told by their logs and messages.';
comment on column broadcast.organization_id is 'Organisation; empty when unknown.';
comment on column broadcast.broadcast_id is 'Qontak''s id of the broadcast (messages_broadcast_id).';
comment on column broadcast.received_at is 'When it was first heard of, by our clock.';
comment on column broadcast.created_at is 'Creation of its earliest log, by Qontak''s clock.';
comment on column broadcast.name is 'Its name, where a message names it in last_campaign.';
comment on column broadcast.template_id is 'The template (messages_broadcast_template_id).';
comment on column broadcast.channel_integration_id is 'The integration it was sent through.';
comment on column broadcast.at is 'What lists are sorted by.';

-- One recipient of a broadcast. Merged by the same rules as message; here Meta gives true times.
create table broadcast_log (
    organization_id        text        collate "C" not null,
    log_id                 text        collate "C" not null,
    broadcast_id           text        collate "C",
    received_at            timestamptz not null,
    created_at             timestamptz,
    template_id            text        collate "C",
    channel_integration_id text        collate "C",
    contact_phone_number   text        collate "C",
    contact_full_name      text        collate "C",
    whatsapp_message_id    text        collate "C",
    error_code             bigint,
    error_title            text        collate "C",
    error_message          text        collate "C",
    billable               boolean,
    pricing_category       text        collate "C",
    pricing_model          text        collate "C",
    conversation_id        text        collate "C",
    conversation_origin    text        collate "C",
    is_pacing              boolean,
    messages               jsonb,
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
    status                 text        collate "C" generated always as (
        effective_status(
            created_seen_at, pending_seen_at, sent_seen_at, delivered_seen_at, read_seen_at,
            failed_seen_at
        )
    ) stored,
    at                     timestamptz not null generated always as
        (coalesce(created_at, received_at)) stored,
    constraint broadcast_log_pkey primary key (log_id, organization_id)
) with (fillfactor = 85);

create index broadcast_log_by_broadcast on broadcast_log (broadcast_id, at, log_id, organization_id);
create index broadcast_log_funnel on broadcast_log (broadcast_id, organization_id, status, error_code);
create index broadcast_log_by_message on broadcast_log (whatsapp_message_id) where whatsapp_message_id is not null;

comment on table broadcast_log is 'Recipients of broadcasts, each with all statuses seen.';
comment on column broadcast_log.organization_id is 'Organisation; empty when unknown.';
comment on column broadcast_log.log_id is 'Qontak''s id of the log: one recipient of one broadcast.';
comment on column broadcast_log.broadcast_id is 'The broadcast (messages_broadcast_id).';
comment on column broadcast_log.received_at is 'When it was first heard of, by our clock.';
comment on column broadcast_log.created_at is 'Creation of the log, by Qontak''s clock.';
comment on column broadcast_log.template_id is 'The template (messages_broadcast_template_id).';
comment on column broadcast_log.channel_integration_id is 'The integration it was sent through.';
comment on column broadcast_log.contact_phone_number is 'Phone number of the recipient, as sent.';
comment on column broadcast_log.contact_full_name is 'Name of the recipient.';
comment on column broadcast_log.whatsapp_message_id is 'WhatsApp''s id (wamid.…); null when never accepted. Equals message.external_id of its twin.';
comment on column broadcast_log.error_code is 'WhatsApp error code, e.g. 131026 undeliverable. Not the HTTP-like code beside it.';
comment on column broadcast_log.error_title is 'Meta''s title of the error.';
comment on column broadcast_log.error_message is 'whatsapp_error_message: text only.';
comment on column broadcast_log.billable is 'Whether Meta charges for it.';
comment on column broadcast_log.pricing_category is 'marketing, utility, authentication, …';
comment on column broadcast_log.pricing_model is 'PMP, CBP.';
comment on column broadcast_log.conversation_id is 'Meta''s conversation.';
comment on column broadcast_log.conversation_origin is 'What opened Meta''s conversation: marketing, utility, …';
comment on column broadcast_log.is_pacing is 'Held by Meta''s template pacing.';
comment on column broadcast_log.messages is 'Header, body and buttons with template and parameters.';
comment on column broadcast_log.pending_at is 'When it became pending, by WhatsApp''s clock.';
comment on column broadcast_log.sent_at is 'When it was sent, by WhatsApp''s clock.';
comment on column broadcast_log.delivered_at is 'When it was delivered, by WhatsApp''s clock. Not invented where only a read came.';
comment on column broadcast_log.read_at is 'When it was read, by WhatsApp''s clock.';
comment on column broadcast_log.failed_at is 'When it failed, by WhatsApp''s clock.';
comment on column broadcast_log.created_seen_at is 'When status created was first seen, by our clock.';
comment on column broadcast_log.pending_seen_at is 'When status pending was first seen, by our clock.';
comment on column broadcast_log.sent_seen_at is 'When status sent was first seen, by our clock.';
comment on column broadcast_log.delivered_seen_at is 'When status delivered was first seen, by our clock.';
comment on column broadcast_log.read_seen_at is 'When status read (or played) was first seen, by our clock.';
comment on column broadcast_log.failed_seen_at is 'When status failed was first seen, by our clock.';
comment on column broadcast_log.other_statuses is 'Other status words seen (played, warning, …), sorted.';
comment on column broadcast_log.status is 'Effective status: a pure function of the set of statuses seen. Null when none of them is ranked.';
comment on column broadcast_log.at is 'What lists are sorted by.';

-- A broadcast with how far its recipients are. Each counts once, under its effective status.
create view broadcast_funnel as
select broadcast.*, funnel.*
from broadcast
cross join lateral (
    select
        count(*)                                     as total,
        count(*) filter (where status = 'created')   as created,
        count(*) filter (where status = 'pending')   as pending,
        count(*) filter (where status = 'sent')      as sent,
        count(*) filter (where status = 'delivered') as delivered,
        count(*) filter (where status = 'read')      as read,
        count(*) filter (where status = 'failed')    as failed,
        count(*) filter (where status is null)       as other
    from broadcast_log
    where broadcast_log.broadcast_id = broadcast.broadcast_id
        and broadcast_log.organization_id = broadcast.organization_id
) as funnel;

comment on view broadcast_funnel is 'Broadcasts with their recipients counted by effective status.';
