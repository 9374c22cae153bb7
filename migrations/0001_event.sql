-- Every webhook that was acknowledged, exactly as it came in, and the few columns it is
-- looked up by. One partition a day, so that old days can be dropped whole; there is no
-- default partition, because rows in one would block the making of the real one.
create table event (
    day             date        not null,
    event_id        uuid        not null,
    received_at     timestamptz not null,
    endpoint        text        collate "C" not null,
    kind            text        collate "C",
    name            text        collate "C",
    organization_id text        collate "C" not null,
    subject_id      text        collate "C",
    outcome         text        collate "C" not null
        constraint event_outcome_known
        check (outcome in ('applied', 'recorded', 'quarantined', 'malformed')),
    reasons         text[]      not null,
    dedup_key       bytea       not null,
    deliveries      integer     not null,
    body            bytea       not null,
    parser_version  smallint    not null,
    request_id      text        collate "C" not null,
    constraint event_pkey primary key (day, event_id),
    constraint event_dedup_key unique (dedup_key, day)
) partition by range (day);

-- What happened to this message, room or log?
create index event_by_subject on event (subject_id, day, event_id) where subject_id is not null;
-- What could not be understood? These are few, so the index costs nothing.
create index event_not_understood on event (outcome, day, event_id)
    where outcome in ('quarantined', 'malformed');

comment on table event is 'The journal: every webhook acknowledged, as it came in.';
comment on column event.day is 'UTC day of received_at; the partition.';
comment on column event.event_id is 'UUIDv7 whose time is received_at, to the millisecond.';
comment on column event.received_at is 'When the request was authenticated, by our clock.';
comment on column event.endpoint is 'Name of the configured endpoint whose token was used.';
comment on column event.kind is 'What it is: receive_message_from_customer, …, room_updated, unknown. Null when it could not be told.';
comment on column event.name is 'The event''s name as Qontak sent it. Null for bodies without one.';
comment on column event.organization_id is 'Organisation of the body, else of the endpoint, else empty.';
comment on column event.subject_id is 'Id of the message, room, broadcast log, template or user it is about.';
comment on column event.outcome is 'applied: written to projections. recorded: changes no table. quarantined: JSON that could not be identified. malformed: not JSON.';
comment on column event.reasons is 'Why it is quarantined or malformed, and each field that could not be used, with what was expected there.';
comment on column event.dedup_key is 'SHA-256 of endpoint and body; for kinds without a clock in the body also of the 10-minute window.';
comment on column event.deliveries is 'How often the same bytes came in on that day: 1 and more.';
comment on column event.body is 'The bytes on the wire (inflated if they came compressed). Not jsonb: that refuses NUL, reorders keys and drops duplicate ones.';
comment on column event.parser_version is 'Version of the rules that gave kind, outcome and reasons.';
comment on column event.request_id is 'The request''s x-request-id, as in the logs.';

-- What has been answered, counted by the transaction that stored it. One row per writer task,
-- so that tasks and replicas never wait for each other's row.
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
    constraint ledger_pkey primary key (hour, organization_id, writer_id)
);

comment on table ledger is 'Deliveries per hour: received = applied + recorded + quarantined + malformed + duplicate.';
comment on column ledger.hour is 'Start of the hour (UTC) in which they were received.';
comment on column ledger.organization_id is 'Organisation of the events; empty when it could not be told.';
comment on column ledger.writer_id is 'The writer task that counted, new at each start; all zeros for hours merged since.';
comment on column ledger.received is 'All deliveries.';
comment on column ledger.applied is 'First deliveries that were written to projections.';
comment on column ledger.recorded is 'First deliveries that change no table.';
comment on column ledger.quarantined is 'First deliveries of JSON that could not be identified.';
comment on column ledger.malformed is 'First deliveries of what is not JSON.';
comment on column ledger.duplicate is 'Repeated deliveries of the same bytes, whatever the outcome of the first.';
