-- Text is compared by its bytes everywhere (collate "C"): what wins must not depend on the
-- locale of a database.
--
-- A field of a room is what the newest snapshot that has it says. "Newest" is the greater
-- fold key, so any order of arrival ends in the same row.
--
-- Absent or null never overwrites a known value. Equal keys mean equal snapshots; should two
-- hashes ever collide, the greater value wins, so that order still cannot matter.
create function later(old anyelement, old_key uuid, new anyelement, new_key uuid)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new is null then old
        when old is null or old_key < new_key then new
        when old_key = new_key then greatest(old, new)
        else old
    end
$$;

comment on function later is 'The value with the greater fold key; a null loses to any value.';

-- A conversation: the fold of all its snapshots.
create table room (
    organization_id        text        collate "C" not null,
    room_id                text        collate "C" not null,
    received_at            timestamptz not null,
    clock                  timestamptz,
    name                   text        collate "C",
    description            text        collate "C",
    status                 text        collate "C",
    type                   text        collate "C",
    tags                   text[],
    channel                text        collate "C",
    channel_account        text        collate "C",
    channel_uniq_id        text        collate "C",
    account_uniq_id        text        collate "C",
    channel_integration_id text        collate "C",
    session                text        collate "C",
    session_at             timestamptz,
    unread_count           bigint,
    created_at             timestamptz,
    updated_at             timestamptz,
    last_message_at        timestamptz,
    last_activity_at       timestamptz,
    avatar                 jsonb,
    resolved_at            timestamptz,
    resolved_by_id         text        collate "C",
    resolved_by_type       text        collate "C",
    external_id            text        collate "C",
    division_id            text        collate "C",
    agent_ids              text[],
    note                   jsonb,
    extra                  jsonb,
    email_cc               jsonb,
    is_dont_auto_resolve   boolean,
    is_blocked             boolean,
    is_unresponded         boolean,
    is_manual_survey       boolean,
    keys                   uuid[]      not null,
    activity_at            timestamptz not null generated always as
        (coalesce(greatest(clock, last_message_at), created_at, received_at)) stored,
    constraint room_pkey primary key (room_id, organization_id)
) with (fillfactor = 85);

create index room_by_account on room (account_uniq_id) where account_uniq_id is not null;
create index room_by_activity on room (activity_at, room_id, organization_id);

comment on table room is 'Conversations, each the fold of all its snapshots.';
comment on column room.organization_id is 'Organisation it belongs to; empty when no body and no endpoint named one.';
comment on column room.room_id is 'Qontak''s id of the room; opaque text.';
comment on column room.received_at is 'When it was first heard of, by our clock.';
comment on column room.clock is 'Clock of its newest snapshot: the later of updated_at and last_activity_at, for they lag behind each other.';
comment on column room.name is 'Display name of the contact.';
comment on column room.description is 'Free text, mostly empty.';
comment on column room.status is 'campaign, unassigned, assigned, resolved, deleted; open list.';
comment on column room.type is 'Models::CustomerServiceRoom and others.';
comment on column room.tags is 'Tags of the conversation.';
comment on column room.channel is 'wa, wa_cloud, ig, web_chat, …; open list.';
comment on column room.channel_account is 'Name of the business account, as sent; may start with a space.';
comment on column room.channel_uniq_id is 'The business number (+62…) or a token; only in room events.';
comment on column room.account_uniq_id is 'The contact at the channel: a phone number on WhatsApp, something like an e-mail in web chat. Never assume a phone.';
comment on column room.channel_integration_id is 'The integration (number, page, …) it runs through.';
comment on column room.session is 'open, expiring, expired; sent in 2021 only.';
comment on column room.session_at is 'Last message of the customer: start of the 24-hour window.';
comment on column room.unread_count is 'Messages that no agent has read.';
comment on column room.created_at is 'Creation, by Qontak''s clock.';
comment on column room.updated_at is 'Qontak''s updated_at; stays near created_at in some answers.';
comment on column room.last_message_at is 'Time of the last message, by Qontak''s clock.';
comment on column room.last_activity_at is 'Last activity, by Qontak''s clock.';
comment on column room.avatar is 'Picture of the contact: {url, large, medium, small, …}, or a URL.';
comment on column room.resolved_at is 'When it was last resolved; meaningful while status is resolved.';
comment on column room.resolved_by_id is 'Who resolved it; meaningful while status is resolved.';
comment on column room.resolved_by_type is 'Kind of resolved_by_id; meaningful while status is resolved.';
comment on column room.external_id is 'Id at the channel, if any.';
comment on column room.division_id is 'Division of the organisation.';
comment on column room.agent_ids is 'User ids of the agents; absent in message events.';
comment on column room.note is 'Note of the agents: {text}.';
comment on column room.extra is 'Object of the channel: {is_participant_online}.';
comment on column room.email_cc is 'Copies of an e-mail conversation.';
comment on column room.is_dont_auto_resolve is 'Kept from being resolved by time.';
comment on column room.is_blocked is 'The contact is blocked.';
comment on column room.is_unresponded is 'The last word is the customer''s.';
comment on column room.is_manual_survey is 'The survey is sent by hand.';
comment on column room.keys is 'Fold key of the snapshot that said each field, in the order of the columns name to is_manual_survey. A key sorts by clock, smaller time, status rank, SHA-256 of the body.';
comment on column room.activity_at is 'What lists are sorted by: the latest known sign of life.';

-- The life of a room.
create table room_event (
    organization_id text        collate "C" not null,
    room_id         text        collate "C" not null,
    type            text        collate "C" not null
        constraint room_event_type_known
        check (type in ('created', 'assigned', 'unassigned', 'handed_over', 'resolved')),
    mark            text        collate "C" not null,
    at              timestamptz,
    actor_id        text        collate "C",
    actor_name      text        collate "C",
    event_id        uuid        not null,
    received_at     timestamptz not null,
    constraint room_event_pkey primary key (room_id, organization_id, type, mark)
);

comment on table room_event is 'What happened to rooms: created, assigned, unassigned, handed over, resolved.';
comment on column room_event.organization_id is 'Organisation of the room; empty when unknown.';
comment on column room_event.room_id is 'The room; it may not be known otherwise.';
comment on column room_event.type is 'created, assigned, unassigned, handed_over, resolved.';
comment on column room_event.mark is 'What makes two reports the same: time and actor, or the hash of the body where it holds no time.';
comment on column room_event.at is 'When it happened, by Qontak''s clock. Null when the body holds no time.';
comment on column room_event.actor_id is 'User that was assigned, unassigned, took over or resolved, where the body names one.';
comment on column room_event.actor_name is 'Name of that user, where the body names one.';
comment on column room_event.event_id is 'The first event that reported it.';
comment on column room_event.received_at is 'When it was first reported, by our clock.';
