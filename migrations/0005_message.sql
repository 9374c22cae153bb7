-- Messages of customers, agents and bots.

-- An event that names the sender prevails over one that does not, whichever comes first. So the three
-- sources are stored apart, and the sender kind follows from them.
create function sender_kind_of(
    author_by_sender text, direction_by_name text, seen_at timestamptz
)
    returns text
    language sql immutable parallel safe
    return coalesce(
        author_by_sender,
        case
            when direction_by_name = 'in' then 'customer'
            when direction_by_name = 'out' or seen_at is not null then 'other'
        end
    );

comment on function sender_kind_of is 'Sender kind of a message: customer, agent, bot or other. seen_at is when a status beyond created was seen: only outgoing messages have one.';

-- Broadcasts, notices and reactions neither ask nor answer. Counts and response times leave them out or
-- count them apart.
create function author_of(
    sender_kind text, type text, is_campaign boolean, raw_message jsonb
)
    returns text
    language sql immutable parallel safe
    return case
        when lower(btrim(type)) = 'system' then 'notice'
        when lower(btrim(type)) = 'reaction' then 'reaction'
        when sender_kind = 'customer' then
            case raw_message #>> '{messages,0,type}'
                when 'system' then 'notice'
                when 'reaction' then 'reaction'
                else 'customer'
            end
        when is_campaign then 'campaign'
        when sender_kind in ('agent', 'bot') then sender_kind
        when sender_kind is null then ''
        else 'unknown'
    end;

comment on function author_of is 'Author of a message: customer, agent, bot, unknown (outgoing, of another sender); empty if the sender is not known; campaign, notice and reaction are nobody''s word.';

create function reached(
    sent_at timestamptz, delivered_at timestamptz, read_at timestamptz, failed_at timestamptz,
    external_id text
)
    returns smallint
    language sql immutable parallel safe
    return (coalesce(sent_at, delivered_at, read_at) is not null)::int
        + (coalesce(delivered_at, read_at) is not null)::int * 2
        + (read_at is not null)::int * 4
        + (failed_at is not null and coalesce(delivered_at, read_at) is null)::int * 8
        + (external_id is not null)::int * 16;

comment on function reached is 'What a message reached: 1 sent, 2 delivered, 4 read (each also if a later status was seen), 8 failed (as the effective status), 16 an id at the channel.';

create function message_at(
    created_at timestamptz, channel_at timestamptz, received_at timestamptz
)
    returns timestamptz
    language sql immutable parallel safe
    return case
        when created_at - received_at > interval '5 minutes' then received_at
        else coalesce(created_at, channel_at, received_at)
    end;

comment on function message_at is 'Time of a message in lists: see message.at.';

-- One row per message id, merged from all events that carry the message, in any order. Statuses have
-- the time at which they were first seen (`least`). Other fields have the value of the newest event that
-- contains them (the fold), and the text has an order of its own (text_rank).
--
-- Columns that later events change stand together after the others, because Postgres logs an updated
-- row from the first to the last byte that differ. sender_kind and author are stored because several
-- statements of each batch read them; they are functions of the merged row, so the order of events cannot
-- matter.
create table message (
    organization           integer     not null,
    message_id             text        collate "C" not null,
    room_id                text        collate "C",
    received_at            timestamptz not null,
    created_at             timestamptz,
    channel_at             timestamptz,
    at                     timestamptz not null default 'epoch',
    type                   text        collate "C",
    participant_type       text        collate "C",
    participant_id         text        collate "C",
    sender_type            text        collate "C",
    sender_id              text        collate "C",
    author_by_sender       text        collate "C",
    direction_by_name      text        collate "C",
    text                   text        collate "C",
    text_rank              uuid        not null,
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
    external_id            text        collate "C",
    key                    uuid        not null default '00000000-0000-0000-0000-000000000000',
    fields                 bigint      not null default 0,
    keys                   uuid[],
    created_seen_at        timestamptz,
    pending_seen_at        timestamptz,
    sent_seen_at           timestamptz,
    delivered_seen_at      timestamptz,
    read_seen_at           timestamptz,
    failed_seen_at         timestamptz,
    other_statuses         text[],
    failed_at              timestamptz,
    error_code             bigint,
    error_title            text        collate "C",
    error_details          text        collate "C",
    status                 text        collate "C",
    sender_kind            text        collate "C",
    author                 text        collate "C" not null default '',
    reached                smallint    not null default 0,
    reached_before         smallint,
    constraint message_pkey primary key (message_id, organization)
) with (fillfactor = 75);

comment on table message is 'Messages of customers, agents and bots, each with all statuses seen.';
comment on column message.organization is 'Number of the organisation of the message; 0 if unknown.';
comment on column message.message_id is 'Qontak''s id of the message; opaque text.';
comment on column message.room_id is 'The conversation.';
comment on column message.received_at is 'Time of the first event about it, by this service''s clock.';
comment on column message.created_at is 'Time the message (not an event about it) was created, by Qontak''s clock.';
comment on column message.channel_at is 'Time of an incoming message at WhatsApp, from raw_message; whole seconds.';
comment on column message.at is 'Order of lists: created_at, or received_at if that is more than five minutes earlier.';
comment on column message.type is 'text, image, document, location, …; open list.';
comment on column message.participant_type is 'Kind of sender as sent: customer, agent, bot; open list. Derived if Qontak left it out.';
comment on column message.participant_id is 'Membership of the sender in the room.';
comment on column message.sender_type is 'Models::Contact, Models::User, Models::SystemAccount.';
comment on column message.sender_id is 'Contact or user that sent it; see table sender.';
comment on column message.author_by_sender is 'customer, agent or bot according to the fields of the sender; null if no event had them.';
comment on column message.direction_by_name is 'in or out according to the name of an event; null if no name implies one.';
comment on column message.text is 'Text or caption, without NUL. Null for media without caption.';
comment on column message.text_rank is 'Order of texts; the greatest wins: embedded in a room, sent, edited, each by fold key.';
comment on column message.channel is 'Channel, if an event names it.';
comment on column message.channel_integration_id is 'Integration it was sent through.';
comment on column message.broadcast_id is 'Broadcast that sent it, if last_campaign names one.';
comment on column message.file_uniq_id is 'Id of the attached file.';
comment on column message.is_campaign is 'Whether a broadcast sent it.';
comment on column message.is_edited is 'Whether it was edited after it was sent.';
comment on column message.review_star is 'Stars of a review: 0 to 5.';
comment on column message.file is 'Attachment: {filename, url, size, large, medium, small}. The lifetime of the URL is unknown.';
comment on column message.reply is 'Message that it replies to: an object with id, or text.';
comment on column message.buttons is 'Buttons shown with it; null if there are none.';
comment on column message.raw_message is 'WhatsApp''s own value object, with location, contacts, order and interactive details.';
comment on column message.external_id is 'Id at the channel (wamid.…); null until the channel accepted it. Equals broadcast_log.whatsapp_message_id of the log of the same delivery.';
comment on column message.key is 'Fold key of its newest event: by the clock of the room in the same body, or else created_at; less than any of these if only rooms contained it.';
comment on column message.fields is 'Folded columns that are known, one bit each, in the order of function merged_columns.';
comment on column message.keys is 'Fold key of the event that set a column, for each folded column that the newest event lacks, in the order of column fields. Null if it lacks none.';
comment on column message.created_seen_at is 'Time status created was first seen, by this service''s clock.';
comment on column message.pending_seen_at is 'Time status pending was first seen, by this service''s clock.';
comment on column message.sent_seen_at is 'Time status sent was first seen, by this service''s clock.';
comment on column message.delivered_seen_at is 'Time status delivered was first seen, by this service''s clock.';
comment on column message.read_seen_at is 'Time status read (or played) was first seen, by this service''s clock.';
comment on column message.failed_seen_at is 'Time status failed was first seen, by this service''s clock.';
comment on column message.other_statuses is 'Other statuses seen (played, deleted, warning, …), sorted.';
comment on column message.failed_at is 'Time it failed, by WhatsApp''s clock.';
comment on column message.error_code is 'WhatsApp error code, if an event about the message had one; its broadcast_log may have another. Messages outside of broadcasts have no log, so they keep their own error.';
comment on column message.error_title is 'Meta''s title of the error, or else its message.';
comment on column message.error_details is 'Meta''s details of the error: which parameter, media or recipient was wrong. Meta will drop titles in favour of code and details.';
comment on column message.reached is 'What it reached: see function reached.';
comment on column message.reached_before is 'reached before the last write; null if that inserted the row. Postgres 15 does not return old values.';
comment on column message.status is 'Effective status: a function of the set of statuses seen. Null if it has none of those with an order.';
comment on column message.sender_kind is 'Sender kind: customer, agent, bot, or other (outgoing, of an unknown sender). From the sender, else from the name of an event, else from a status beyond created. Null while unknown.';
comment on column message.author is 'Whose word it is: see function author_of.';

-- A page reads its messages from the table anyway and orders those of the same moment there.
create index message_by_room on message (room_id, at);
comment on index message_by_room is 'GET /v1/rooms/{id}/messages and GET /v1/messages?room_id=; response times read the words of a room by it.';

-- Each organisation has a range in order of time, and a list merges the ranges: a small organisation is
-- not scanned past the messages of all others: 31 bytes per message and 80 bytes of WAL. Time alone would
-- take 22 and 70.
create index message_by_time on message (organization, at);
comment on index message_by_time is 'GET /v1/messages, newest first.';

-- Ids at the channel. Outgoing messages get theirs from a later event: with the id in an index of the
-- message, half of all updates would touch every index. Equality only, so a hash of 8 bytes.
create table message_channel_id (
    hash         bigint  not null,
    organization integer not null,
    message_id   text    collate "C" not null
);

comment on table message_channel_id is 'Messages by their id at the channel.';
comment on column message_channel_id.hash is 'hashtextextended(message.external_id, 0).';
comment on column message_channel_id.organization is 'Number of the organisation of the message.';
comment on column message_channel_id.message_id is 'The message.';

create index message_channel_id_by_hash on message_channel_id (hash);
comment on index message_channel_id_by_hash is 'GET /v1/messages?external_id=, GET /v1/trace/{wamid}, and the message of each log in GET /v1/delivery-statuses.';

-- The next indexes contain few of all messages and cost the others nothing.
create index message_failed on message (organization, at)
    where failed_seen_at is not null;
comment on index message_failed is 'GET /v1/messages?status=failed and GET /v1/delivery-statuses?status=failed.';

create index message_by_error on message (organization, error_code, at)
    where error_code is not null;
comment on index message_by_error is 'GET /v1/delivery-statuses?error=: messages that failed with this code.';

-- Messages through WhatsApp Cloud are the majority and are found soon without an index.
create index message_by_channel on message (organization, channel, at)
    where channel <> 'wa_cloud';
comment on index message_by_channel is 'GET /v1/messages?channel=: messages of a less used channel.';

create index message_campaign on message (organization, at)
    where is_campaign is true;
comment on index message_campaign is 'GET /v1/messages?is_campaign=true.';

create index message_by_broadcast on message (
    organization, hashtext(broadcast_id), at
) where broadcast_id is not null;
comment on index message_by_broadcast is 'GET /v1/messages?broadcast_id=.';

-- A contact has few of very many messages. Agents and bots have many, which a scan by time finds, from
-- the day in facet.last_on. With theirs the index would cost 5 us and 70 bytes of WAL per event instead
-- of 1 us and 20 bytes, because outgoing messages are updated when the channel assigns their id.
create index message_by_sender on message (
    organization, hashtext(sender_id), at
) where participant_type = 'customer';
comment on index message_by_sender is 'GET /v1/messages?sender_id=: messages of a customer.';

-- Nearly always empty: each row waits to be merged into the row of its organisation, and every batch
-- looks for such rows.
create index message_without_organization on message (message_id) where organization = 0;
comment on index message_without_organization is 'Writes: messages for which no event has named an organisation yet.';
