-- The lattice of statuses: a pure function of the set of statuses seen, each given by the time
-- at which it was. Delivered and read beat failed, because a phone with several devices reports
-- both; failed beats sent.
create function effective_status(
    created timestamptz, pending timestamptz, sent timestamptz, delivered timestamptz,
    read timestamptz, failed timestamptz
)
    returns text
    language sql immutable parallel safe
    return case
        when read      is not null then 'read'
        when delivered is not null then 'delivered'
        when failed    is not null then 'failed'
        when sent      is not null then 'sent'
        when pending   is not null then 'pending'
        when created   is not null then 'created'
    end;

comment on function effective_status is 'The status that follows from the set of statuses seen.';

-- One row per message id, written by any event that carries the message, in any order.
--
-- Every column is merged by a rule that does not depend on order: first observations by
-- `least`; what never changes in a message by `greatest`, which fills nulls and picks one of
-- two contradicting values for good; the text by text_rank. The status follows from the set
-- of statuses seen, so it cannot go backwards.
create table message (
    organization_id        text        collate "C" not null,
    message_id             text        collate "C" not null,
    room_id                text        collate "C",
    received_at            timestamptz not null,
    created_at             timestamptz,
    channel_at             timestamptz,
    type                   text        collate "C",
    participant_type       text        collate "C",
    participant_id         text        collate "C",
    sender_type            text        collate "C",
    sender_id              text        collate "C",
    text                   text        collate "C",
    text_rank              uuid        not null,
    external_id            text        collate "C",
    channel                text        collate "C",
    channel_integration_id text        collate "C",
    broadcast_id           text        collate "C",
    file_uniq_id           text        collate "C",
    is_campaign            boolean,
    is_edited              boolean,
    review_star            bigint,
    file                   jsonb,
    reply                  jsonb,
    buttons                jsonb,
    raw_message            jsonb,
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
        (coalesce(created_at, channel_at, received_at)) stored,
    constraint message_pkey primary key (message_id, organization_id)
) with (fillfactor = 85);

create index message_by_room on message (room_id, at, message_id, organization_id);
create index message_by_external_id on message (external_id) where external_id is not null;

comment on table message is 'Messages of customers, agents and bots, each with all statuses seen.';
comment on column message.organization_id is 'Organisation it belongs to; empty when unknown.';
comment on column message.message_id is 'Qontak''s id of the message; opaque text.';
comment on column message.room_id is 'The conversation.';
comment on column message.received_at is 'When it was first heard of, by our clock.';
comment on column message.created_at is 'Creation of the message (never of an event), by Qontak''s clock.';
comment on column message.channel_at is 'Time at WhatsApp of an incoming message, from raw_message; whole seconds.';
comment on column message.type is 'text, image, document, location, …; open list.';
comment on column message.participant_type is 'customer, agent or bot; derived from sender_type where Qontak left it out.';
comment on column message.participant_id is 'Membership of the sender in the room.';
comment on column message.sender_type is 'Models::Contact, Models::User, Models::SystemAccount.';
comment on column message.sender_id is 'Contact or user that sent it; see table sender.';
comment on column message.text is 'Text or caption. Null for media without caption. NUL is stripped.';
comment on column message.text_rank is 'Which text wins: of an edit (id of its event) over of a message event (…01) over of a room''s last_message (…00).';
comment on column message.external_id is 'Id at the channel (wamid.…); null until the channel accepted it. Equals broadcast_log.whatsapp_message_id of its twin.';
comment on column message.channel is 'Channel, where the event names it.';
comment on column message.channel_integration_id is 'The integration it went through.';
comment on column message.broadcast_id is 'The broadcast that sent it, where last_campaign names one.';
comment on column message.file_uniq_id is 'Id of the attached file.';
comment on column message.is_campaign is 'Sent by a broadcast.';
comment on column message.is_edited is 'Was edited after it was sent.';
comment on column message.review_star is 'Stars of a review: 0 to 5.';
comment on column message.file is 'Attachment: {filename, url, size, large, medium, small}. The URL''s lifetime is unknown.';
comment on column message.reply is 'What it answers: an object with id, or text.';
comment on column message.buttons is 'Buttons shown with it; null when there are none.';
comment on column message.raw_message is 'WhatsApp''s own value object: location, contacts, order and interactive details live here.';
comment on column message.created_seen_at is 'When status created was first seen, by our clock.';
comment on column message.pending_seen_at is 'When status pending was first seen, by our clock.';
comment on column message.sent_seen_at is 'When status sent was first seen, by our clock.';
comment on column message.delivered_seen_at is 'When status delivered was first seen, by our clock.';
comment on column message.read_seen_at is 'When status read (or played) was first seen, by our clock.';
comment on column message.failed_seen_at is 'When status failed was first seen, by our clock.';
comment on column message.other_statuses is 'Other status words seen (played, deleted, warning, …), sorted.';
comment on column message.status is 'Effective status: a pure function of the set of statuses seen. Null when none of them is ranked.';
comment on column message.at is 'What conversations are sorted by.';

-- The last known face of who sends messages.
create table sender (
    organization_id text  collate "C" not null,
    sender_id       text  collate "C" not null,
    type            text  collate "C",
    name            text        collate "C",
    username        text        collate "C",
    avatar          jsonb,
    keys            uuid[] not null,
    constraint sender_pkey primary key (sender_id, organization_id)
);

comment on table sender is 'Contacts, agents and bots as their newest message shows them.';
comment on column sender.organization_id is 'Organisation; empty when unknown.';
comment on column sender.sender_id is 'Qontak''s id of the contact or user.';
comment on column sender.type is 'customer, agent or bot.';
comment on column sender.name is 'Display name.';
comment on column sender.username is 'User name; agents only.';
comment on column sender.avatar is 'Picture: {url, large, medium, small, …}, or a URL.';
comment on column sender.keys is 'Fold key (time of the message, SHA-256 of the body) of the message that said each field, in the order of the columns type to avatar.';
