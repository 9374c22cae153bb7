-- Copies of the files of messages (`[media]`). The tables stay empty unless media.folder or
-- media.bucket is set.

-- One row per message with a file. It exists as long as there may be a copy: what deletes a message sets
-- `deleted`, and the row goes when the copy is gone.
create table media (
    organization_id text        collate "C" not null,
    message_id      text        collate "C" not null,
    state           text        collate "C" not null default 'waiting'
        constraint media_state_known check (state in ('waiting', 'stored', 'failed', 'deleted')),
    attempts        integer     not null default 0,
    next_attempt_at timestamptz not null default now(),
    sha256          text        collate "C",
    content_type    text        collate "C",
    bytes           bigint,
    stored_at       timestamptz,
    error           text        collate "C",
    constraint media_pkey primary key (message_id, organization_id)
);

comment on table media is 'Files of messages that are copied into media.folder or media.bucket.';
comment on column media.organization_id is 'Organisation of the message; empty if unknown.';
comment on column media.message_id is 'The message.';
comment on column media.state is 'waiting: is fetched at next_attempt_at. stored: copied. failed: given up. deleted: the message is gone, its copy goes next.';
comment on column media.attempts is 'Number of attempts.';
comment on column media.next_attempt_at is 'When it is fetched next. While a replica fetches it: when another one takes over. deleted: when its copy is removed.';
comment on column media.sha256 is 'SHA-256 of the copy, hex: its name. Set before the copy is written. Messages with the same file share one copy.';
comment on column media.content_type is 'Media type of the copy, as the server of the link named it.';
comment on column media.bytes is 'Size of the copy.';
comment on column media.stored_at is 'When it was copied.';
comment on column media.error is 'Why the last attempt failed; null if it did not.';

create index media_due on media (next_attempt_at) where state = 'waiting';
comment on index media_due is 'Files to fetch.';

create index media_by_file on media using hash (sha256) where sha256 is not null;
comment on index media_by_file is 'Messages that share a copy: it is removed with the last one.';

create index media_deleted on media (next_attempt_at) where state = 'deleted';
comment on index media_deleted is 'Copies to remove.';

create table media_position (
    is_only  boolean not null default true
        constraint media_position_is_only check (is_only),
    position text    collate "C" not null,
    constraint media_position_pkey primary key (is_only)
);

comment on table media_position is 'Up to where applied events were searched for files. Its only row is locked by the replica that searches.';
comment on column media_position.is_only is 'Always true.';
comment on column media_position.position is 'Position in table batch, as in GET /v1/stream.';
