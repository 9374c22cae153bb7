-- Templates and contact lists that callers of the API create at Qontak (`store/creation.rs`).
--
-- A row is committed before Qontak is called. So whatever happens afterwards, a repeated request finds it
-- and is not sent a second time. The request itself is not stored: a contact list has numbers of people.

create table creation (
    creation_id     uuid        not null,
    organization_id text        collate "C" not null,
    idempotency_key text        collate "C" not null,
    request_sha256  bytea       not null
        constraint creation_request_sha256_check check (octet_length(request_sha256) = 32),
    key_name        text        collate "C" not null,
    kind            text        collate "C" not null
        constraint creation_kind_known check (kind in ('template', 'contact_list')),
    name            text        not null,
    attempt         integer     not null default 1,
    state           text        collate "C" not null default 'sending'
        constraint creation_state_known check (
            state in ('sending', 'processing', 'done', 'failed', 'rejected', 'not_sent', 'unknown')
        ),
    qontak_id       text        collate "C",
    result          jsonb,
    error           text,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    checked_at      timestamptz,
    constraint creation_pkey primary key (creation_id),
    -- Not per API key: whoever replaces a key must not send a second time.
    constraint creation_idempotency_key unique (organization_id, idempotency_key)
);

comment on table creation is 'Templates and contact lists created at Qontak over the API; kept for 30 days.';
comment on column creation.creation_id is 'UUIDv7.';
comment on column creation.organization_id is 'Organisation.';
comment on column creation.idempotency_key is 'Header Idempotency-Key of the request.';
comment on column creation.request_sha256 is 'SHA-256 of kind and request, to tell a repetition from another request with the same key.';
comment on column creation.key_name is 'Name of the API key that sent it last.';
comment on column creation.kind is 'template or contact_list.';
comment on column creation.name is 'Name of the template or contact list.';
comment on column creation.attempt is 'Number of times that it was handed over to be sent; a report of an earlier attempt is not stored.';
comment on column creation.state is 'sending: Qontak is being called. processing: Qontak accepted it. done, failed: its result there. rejected: Qontak refused it. not_sent: Qontak did not get it, the same request may be sent again. unknown: Qontak may have accepted it.';
comment on column creation.qontak_id is 'Qontak''s id; null unless Qontak accepted it.';
comment on column creation.result is 'Chosen fields of Qontak''s row, as of checked_at, and of the request where that row lacks them; null unless Qontak accepted it.';
comment on column creation.error is 'Why the state is failed, rejected, not_sent or unknown; else null.';
comment on column creation.created_at is 'When it was first asked for.';
comment on column creation.updated_at is 'Last change of the state.';
comment on column creation.checked_at is 'When Qontak was last asked about it; null if it was not.';

create index creation_by_state on creation (state) where state in ('sending', 'processing');
comment on index creation_by_state is 'Which creations to ask Qontak about, and which were interrupted.';
