-- Conversations and what happened to them.

-- A room is the fold of all its snapshots: each field has the value of the newest snapshot that contains
-- it. "Newest" is the greatest fold key, so any order of arrival ends in the same row.
--
-- Nearly every event of a conversation updates its room. An update that changes no indexed column
-- touches no index (HOT), and Postgres logs a row only from the first to the last byte that differ. So
-- rooms are indexed by the minute of their activity, which most events of a conversation share, and
-- the columns that change with every event stand side by side, from `key` on. Filters in these indexes
-- are columns of their own: for HOT, Postgres compares columns, not the expressions of an index.
create table room (
    organization           integer     not null,
    room_id                text        collate "C" not null,
    received_at            timestamptz not null,
    name                   text        collate "C",
    description            text        collate "C",
    status                 text        collate "C",
    type                   text        collate "C",
    tags                   text[],
    channel                text        collate "C",
    channel_account        text        collate "C",
    channel_uniq_id        text        collate "C",
    account_uniq_id        text        collate "C",
    account_normalized     text        collate "C",
    channel_integration_id text        collate "C",
    session                text        collate "C",
    created_at             timestamptz,
    avatar                 jsonb,
    resolved_at            timestamptz,
    resolved_by_id         text        collate "C",
    resolved_by_type       text        collate "C",
    resolved_by_at         timestamptz,
    resolved_at_by         text        collate "C",
    external_id            text        collate "C",
    division_id            text        collate "C",
    agent_ids              text[],
    note                   jsonb,
    extra                  jsonb,
    email_cc               jsonb,
    is_dont_auto_resolve   boolean,
    is_blocked             boolean,
    is_manual_survey       boolean,
    keys                   uuid[],
    key                    uuid        not null default '00000000-0000-0000-0000-000000000000',
    fields                 bigint      not null default 0,
    clock                  timestamptz,
    session_at             timestamptz,
    unread_count           bigint,
    updated_at             timestamptz,
    last_message_at        timestamptz,
    last_activity_at       timestamptz,
    is_unresponded         boolean,
    session_hour           timestamptz,
    activity_at            timestamptz not null default 'epoch',
    activity_slot          timestamptz not null default 'epoch',
    is_untagged            boolean     not null default true,
    is_without_agent       boolean     not null default true,
    constraint room_pkey primary key (room_id, organization)
) with (fillfactor = 85);

comment on table room is 'Conversations, each the fold of all its snapshots.';
comment on column room.organization is 'Number of the organisation of the room; 0 if neither a body nor an endpoint named one.';
comment on column room.room_id is 'Qontak''s id of the room; opaque text.';
comment on column room.received_at is 'Time of the first event about it, by this service''s clock.';
comment on column room.name is 'Display name of the contact.';
comment on column room.description is 'Free text, usually empty.';
comment on column room.status is 'campaign, unassigned, assigned, resolved, deleted; open list.';
comment on column room.type is 'Models::CustomerServiceRoom and others.';
comment on column room.tags is 'Tags of the conversation.';
comment on column room.channel is 'wa, wa_cloud, ig, web_chat, …; open list.';
comment on column room.channel_account is 'Name of the business account, as sent; may start with a space.';
comment on column room.channel_uniq_id is 'The business number (+62…) or a token; only in room events.';
comment on column room.account_uniq_id is 'The contact at the channel: a phone number on WhatsApp, similar to an e-mail address in web chat. Never assume a phone number.';
comment on column room.account_normalized is 'account_uniq_id as it is compared: the digits of a phone number with the country code, or else the visible text. Written by the service, see model/phone.rs.';
comment on column room.channel_integration_id is 'Integration (number, page, …) of the room.';
comment on column room.session is 'open, expiring, expired; sent in 2021 only.';
comment on column room.created_at is 'Time of creation, by Qontak''s clock.';
comment on column room.avatar is 'Picture of the contact: {url, large, medium, small, …}, or a URL.';
comment on column room.resolved_at is 'Time of the last resolution; 1970 if the newest snapshot with this field is not resolved. Meaningful while status is resolved.';
comment on column room.resolved_by_id is 'User that resolved it; empty if the newest snapshot with this field names nobody. Meaningful while status is resolved.';
comment on column room.resolved_by_at is 'Time of the resolution by resolved_by_id; 1970 if the snapshot did not say when, or names nobody. Another time than resolved_at is that of an earlier resolution.';
comment on column room.resolved_at_by is 'User that the snapshot with resolved_at named; empty if it named nobody. Another user than resolved_by_id is that of an earlier resolution.';
comment on column room.resolved_by_type is 'Type of resolved_by_id; empty like it. Meaningful while status is resolved.';
comment on column room.external_id is 'Id at the channel, if any.';
comment on column room.division_id is 'Division of the organisation.';
comment on column room.agent_ids is 'User ids of the agents; absent in message events.';
comment on column room.note is 'Note of the agents: {text}.';
comment on column room.extra is 'Object of the channel: {is_participant_online}.';
comment on column room.email_cc is 'Copy recipients of an e-mail conversation.';
comment on column room.is_dont_auto_resolve is 'Whether it is excluded from automatic resolution.';
comment on column room.is_blocked is 'Whether the contact is blocked.';
comment on column room.is_manual_survey is 'Whether the survey is sent manually.';
comment on column room.keys is 'Fold key of the snapshot that set a column, for each folded column that the newest snapshot lacks, in the order of column fields. Null if it lacks none.';
comment on column room.key is 'Fold key of the newest snapshot. A key sorts by clock, earlier time, rank of the status, number of agents, number of tags, session_at, unread_count, SHA-256 of the body.';
comment on column room.fields is 'Folded columns that are known, one bit each, in the order of function merged_columns.';
comment on column room.clock is 'Latest time of its snapshots and messages, each at most five minutes after its receipt.';
comment on column room.session_at is 'Last message of the customer: start of the 24-hour customer service window. At most five minutes after its receipt.';
comment on column room.unread_count is 'Number of messages that no agent has read.';
comment on column room.updated_at is 'Qontak''s updated_at; stays near created_at in some bodies.';
comment on column room.last_message_at is 'Time of the last message, by Qontak''s clock.';
comment on column room.last_activity_at is 'Time of the last activity, by Qontak''s clock.';
comment on column room.is_unresponded is 'Whether the last word is the customer''s, according to Qontak.';
comment on column room.session_hour is 'Hour of session_at; lists use it to skip rooms of other sessions in the index.';
comment on column room.activity_at is 'Order of lists: the latest known activity.';
comment on column room.activity_slot is 'Minute of activity_at; lists find rooms by it and sort them afterwards.';
comment on column room.is_untagged is 'Whether it has no tags.';
comment on column room.is_without_agent is 'Whether no agent is known and the status is not assigned: messages do not name the agents of their room.';

-- A scan compares filters in the index without reading rows: 0.1 s for a million rooms. They add 8 bytes
-- to an entry and few writes. Unread messages are not among them: with each answer the room would
-- change all indexes, and a list of unread rooms finds enough of them soon.
create index room_by_activity on room (
    activity_slot, session_hour, is_untagged, is_without_agent, is_blocked
);
comment on index room_by_activity is 'GET /v1/rooms of several or all organisations; filters session, untagged, agent=none and blocked.';

-- Otherwise a key for a small organisation would scan past the rooms of all others. Written together with
-- room_by_activity, once per minute of activity.
create index room_by_organization on room (
    organization, activity_slot, session_hour, is_untagged, is_without_agent, is_blocked
);
comment on index room_by_organization is 'GET /v1/rooms of one organisation, with the filters of room_by_activity.';

-- A filter that matches many rooms is applied during the scan of activity. For one that matches few,
-- this index finds the rooms, which are then sorted; Postgres chooses by its statistics. Where both cost
-- most, at about one room in a hundred, they read a few thousand rows.
--
-- One index for all filters, because it intersects them and four B-trees would cost more. An update that
-- moves the activity costs 20 us and 900 bytes of WAL; this index adds 5 us and 200 bytes, four B-trees
-- would add 35 us and 400 bytes. New entries wait in a list that every query reads, so the list is kept
-- short. GIN indexes arrays only, so single values are put in an array.
create index room_by_label on room using gin (
    agent_ids, tags, (array[status]), (array[channel])
) with (gin_pending_list_limit = 512);
comment on index room_by_label is 'GET /v1/rooms with a selective agent, tag, status or channel; open rooms in GET /v1/stats.';

create index room_by_account on room (account_normalized) where account_normalized is not null;
comment on index room_by_account is 'GET /v1/rooms?account_uniq_id= and GET /v1/trace/{phone}: rooms of a contact.';

-- Contains only rooms without a status, so others pay nothing.
create index room_without_status on room (activity_slot) where status is null;
comment on index room_without_status is 'GET /v1/rooms?response_state= and GET /v1/stats: rooms known by their messages only may be unanswered too.';

-- What happened to rooms.
create table room_event (
    organization    integer     not null,
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
    constraint room_event_pkey primary key (room_id, organization, type, mark)
);

comment on table room_event is 'Lifecycle of rooms: created, assigned, unassigned, handed over, resolved.';
comment on column room_event.organization is 'Number of the organisation of the room; 0 if unknown.';
comment on column room_event.room_id is 'The room; table room may not have it.';
comment on column room_event.type is 'created, assigned, unassigned, handed_over, resolved.';
comment on column room_event.mark is 'Discriminator: reports with the same one are one event. Time and (but for resolved) actor, or the hash of the body if it contains no time.';
comment on column room_event.at is 'Time it happened, by Qontak''s clock. Null if the body contains no time.';
comment on column room_event.actor_id is 'User that was assigned, unassigned, took over or resolved, if the body names one.';
comment on column room_event.actor_name is 'Name of that user, if the body has it.';
comment on column room_event.event_id is 'First event that reported it.';
comment on column room_event.received_at is 'Time of the first report, by this service''s clock.';
