-- The journal, and what is written with it in the same transaction: the ledger and the batches of the
-- event stream.

-- Types of their own for what every row of the journal has: 4 bytes instead of up to 30.
create type event_kind as enum (
    'receive_message_from_customer', 'receive_message_from_agent', 'status_message',
    'broadcast_log_status', 'room_created', 'room_resolved', 'room_updated',
    'agent_assigned_to_room', 'agent_unassigned_from_room', 'agent_handover_room',
    'custom_agent_allocation', 'status_template', 'available_user_status', 'unknown'
);

comment on type event_kind is 'Kind of an event: the names of enum Kind of the service.';

create type event_outcome as enum ('applied', 'recorded', 'quarantined', 'malformed');

comment on type event_outcome is 'applied: written to projections. recorded: changes no table. quarantined: JSON that could not be identified. malformed: not JSON.';

-- Every acknowledged webhook with its body, byte for byte, and the columns by which it is found. One
-- partition per day, so that old days are dropped as a whole. There is no default partition: rows in it
-- would block the creation of the right one. `store/partition.rs` creates the partitions.
--
-- A body is about 2 KB, most of it common to all bodies. Compressed with a dictionary of these parts
-- it takes a fifth, on disk and in WAL (`store/event/body.rs`).
create table event (
    day             date        not null,
    organization    integer     not null,
    event_id        uuid        not null,
    received_at     timestamptz not null,
    endpoint        text        collate "C" not null,
    kind            event_kind,
    name            text        collate "C",
    subject_id      text        collate "C",
    outcome         event_outcome not null,
    reasons         text[],
    dedup_key       bytea       not null,
    deliveries      integer     not null,
    body            bytea       not null,
    dictionary      smallint,
    body_bytes      integer,
    parser_version  smallint    not null,
    request_id      text        collate "C" not null,
    constraint event_pkey primary key (day, event_id),
    constraint event_dedup_key unique (dedup_key, day)
) partition by range (day);

create function folded_name(name text) returns text
    language sql immutable parallel safe
    return lower(btrim(name, e' \t\n\r'));

comment on function folded_name is 'Name of an event as it is compared: without the space around it, in lower case.';

create function name_sent(name text, kind event_kind) returns text
    language sql stable parallel safe
    return nullif(coalesce(name, kind::text), '');

comment on function name_sent is 'Name of an event as sent, from columns name and kind; null if the body has none.';

-- Bodies are compressed already; a second attempt by Postgres would only cost time.
alter table event alter column body set storage external;

comment on table event is 'The journal: every acknowledged webhook as received.';
comment on column event.day is 'UTC day of received_at; selects the partition.';
comment on column event.organization is 'Number of the organisation in the body, else of the endpoint, else 0.';
comment on column event.event_id is 'UUIDv7 whose time is received_at, to the millisecond.';
comment on column event.received_at is 'Time the request was authenticated, by this service''s clock.';
comment on column event.endpoint is 'Name of the configured endpoint whose token was used.';
comment on column event.kind is 'Type of the event: receive_message_from_customer, …, room_updated, unknown. Null if it could not be determined.';
comment on column event.name is 'Name of the event as sent by Qontak, if it is not that of its kind; empty if the body has none.';
comment on column event.subject_id is 'Id of the message, room, broadcast log, template or user that the event is about.';
comment on column event.outcome is 'What became of the event; of a replay, the last one.';
comment on column event.reasons is 'Why the event is quarantined or malformed, and each field that could not be used, with the expected value. Null if there are none.';
comment on column event.dedup_key is 'First half of the SHA-256 of endpoint and body; for kinds without a time in the body also of the 10-minute window.';
comment on column event.deliveries is 'Number of deliveries of the same bytes on that day, at least 1.';
comment on column event.body is 'The request body (decompressed if it was sent compressed), plain or as a zstd frame. Not jsonb, which refuses NUL, reorders keys and drops duplicate keys. `qontak-receiver body` prints it.';
comment on column event.dictionary is 'Number of the zstd dictionary of body. Null if body is plain.';
comment on column event.body_bytes is 'Length of the uncompressed body. Null if body is plain.';
comment on column event.parser_version is 'Version of the parser that determined kind, outcome and reasons.';
comment on column event.request_id is 'x-request-id of the request, as in the logs.';

-- Equality only, so a hash index: 4 bytes of an id instead of its 36 or 60 characters.
create index event_by_subject on event using hash (subject_id) where subject_id is not null;
comment on index event_by_subject is 'GET /v1/events?subject_id= and GET /v1/trace/{id}: events of a message, room or log.';

-- Frequent kinds are found soon in the order of the journal. Without them the index costs next to
-- nothing.
create index event_by_kind on event (kind, day, event_id)
    where kind not in (
        'receive_message_from_customer', 'receive_message_from_agent', 'status_message',
        'broadcast_log_status'
    );
comment on index event_by_kind is 'GET /v1/events?kind=: events of a rare kind.';

-- Names that are not those of their kind. A hash index, because a name may have any length.
create index event_by_name on event using hash (folded_name(name)) where name is not null;
comment on index event_by_name is 'GET /v1/events?name=: events of a new name.';

create index event_by_outcome on event (outcome, day, event_id) where outcome <> 'applied';
comment on index event_by_outcome is 'GET /v1/events?outcome=: events that were not applied.';

create index event_not_understood on event (day, event_id) where outcome in ('quarantined', 'malformed');
comment on index event_not_understood is 'GET /v1/events?outcome=quarantined,malformed: both in the order of the list, without a sort.';

-- Postgres stores an organisation once for many rows, so this takes 8 bytes and 90 bytes of WAL per
-- event, and the endpoint adds nothing. With one organisation and one endpoint it is of no use.
create index event_by_organization on event (organization, endpoint);
comment on index event_by_organization is 'GET /v1/events: events of a small organisation, and of a rarely used endpoint.';

-- Almost empty as long as Qontak does not change its format; after a change it is needed.
create index event_with_reasons on event (day, event_id) where reasons is not null;
comment on index event_with_reasons is 'GET /v1/events?has_reasons=true: events with fields that could not be used.';

-- Deliveries, counted by the transaction that stores them. Each writer task has rows of its own, so
-- that tasks and replicas do not wait for each other.
create table ledger (
    hour            timestamptz not null,
    organization_id text        collate "C" not null,
    writer_id       uuid        not null,
    received        bigint      not null,
    applied         bigint      not null,
    recorded        bigint      not null,
    quarantined     bigint      not null,
    malformed       bigint      not null,
    duplicate       bigint      not null,
    last_event_at   timestamptz,
    constraint ledger_pkey primary key (hour, organization_id, writer_id)
);

comment on table ledger is 'Deliveries per hour: received = applied + recorded + quarantined + malformed + duplicate.';
comment on column ledger.hour is 'Start of the hour (UTC) in which they were received.';
comment on column ledger.organization_id is 'Organisation of the events; empty if unknown.';
comment on column ledger.writer_id is 'Writer task that counted, new at each start; all zeros for hours that were merged.';
comment on column ledger.received is 'All deliveries.';
comment on column ledger.applied is 'First deliveries that were written to projections.';
comment on column ledger.recorded is 'First deliveries that change no table.';
comment on column ledger.quarantined is 'First deliveries of JSON that could not be identified.';
comment on column ledger.malformed is 'First deliveries that are not JSON.';
comment on column ledger.duplicate is 'Repeated deliveries of the same bytes, whatever the outcome of the first.';
comment on column ledger.last_event_at is 'Time the last event counted here was received, by this service''s clock.';

-- The ledger is small, so organisations are listed from it, with one look-up each.
create index ledger_by_organization on ledger (organization_id, hour);
comment on index ledger_by_organization is 'GET /v1/organizations: all organisations with the time of their last event.';

-- Applied events in the order of commits, from which the event stream is read. One row per
-- transaction: an indexed column of the journal would cost 74 bytes of WAL per event, this costs 16
-- bytes and a share of the row's 180.
--
-- The order is that of transaction ids, assigned when a transaction begins to write. All transactions
-- below `pg_snapshot_xmin` have ended, so no row can appear there any more.
create table batch (
    xid       xid8        not null default pg_current_xact_id(),
    at        timestamptz not null default now(),
    event_ids uuid[]      not null
);

comment on table batch is 'Applied events in the order of commits; kept for stream.keep.';
comment on column batch.xid is 'Id of the transaction.';
comment on column batch.at is 'Start of the transaction.';
comment on column batch.event_ids is 'Events applied by the transaction: first deliveries, and replays of events that had not been applied.';

-- Not unique: in a restored backup transaction ids may begin again at 1, and writes must go on.
create index batch_by_xid on batch (xid);
comment on index batch_by_xid is 'GET /v1/stream: batches after a position.';

-- The first position: see `is_known` in store/batch.rs.
insert into batch (event_ids) values ('{}');

-- Ids of deliveries that were answered `spooled` with an id of their own, and later found to be
-- duplicates of an event with another id. Written only in this case, so that a usual event costs
-- nothing.
create table event_alias (
    event_id        uuid not null,
    stored_event_id uuid not null,
    constraint event_alias_pkey primary key (event_id)
);

comment on table event_alias is 'Ids that were answered for spooled duplicates; kept as long as the journal.';
comment on column event_alias.event_id is 'Id in the response to the duplicate.';
comment on column event_alias.stored_event_id is 'Id of the event in the journal.';
