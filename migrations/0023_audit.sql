-- Who did what with the data.

create table audit (
    audit_id uuid        not null,
    at       timestamptz not null,
    key_name text        collate "C" not null,
    action   text        collate "C" not null
        constraint audit_action_known check (
            action in ('read', 'export', 'replay', 'erase', 'create')
        ),
    target   text        collate "C" not null,
    status   integer     not null,
    constraint audit_pkey primary key (audit_id)
);

comment on table audit is 'Requests that are recorded: exports, replays, erasures, creations at Qontak, and reads if audit.reads is set; kept for audit.days.';
comment on column audit.audit_id is 'UUIDv7.';
comment on column audit.at is 'When it was answered.';
comment on column audit.key_name is 'Name of the API key; empty for a command.';
comment on column audit.action is 'read, export, replay, erase or create.';
comment on column audit.target is 'Path and names of parameters, the organisation with its value; numbers in it are masked. Of an erasure, by what was erased. Of a creation, its kind and id.';
comment on column audit.status is 'HTTP status of the response; 0 for a command, and for a creation, which is recorded before it is sent.';

create index audit_by_time on audit using brin (at);
comment on index audit_by_time is 'Upkeep: rows older than audit.days.';
