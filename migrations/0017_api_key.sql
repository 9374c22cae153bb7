-- Keys of the read API that `qontak-receiver key` makes; those of the settings are not here.
--
-- A replica keeps all live ones in memory and reads them anew every few seconds (`read/key`), so
-- the table needs no other indexes.
create table api_key (
    api_key_id    uuid not null,
    name          text collate "C" not null,
    sha256        bytea not null,
    scopes        text[] not null,
    organizations text[],
    created_at    timestamptz not null default now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    constraint api_key_pkey primary key (api_key_id),
    constraint api_key_sha256_key unique (sha256),
    constraint api_key_sha256_check check (octet_length(sha256) = 32),
    constraint api_key_scopes_check check (cardinality(scopes) > 0),
    constraint api_key_organizations_check check (cardinality(organizations) > 0)
);

-- A name is free again once its key is revoked. (One that is expired is revoked when a new key
-- wants its name: an index knows no clock.)
create unique index api_key_by_name on api_key (name) where revoked_at is null;

comment on table api_key is 'Keys of the read API. The keys themselves are nowhere.';
comment on column api_key.api_key_id is 'Ours, a UUIDv7.';
comment on column api_key.name is 'What people call it; unique among those that are not revoked.';
comment on column api_key.sha256 is 'SHA-256 of the key.';
comment on column api_key.scopes is 'What it may do: read, export, replay.';
comment on column api_key.organizations is 'Organisations whose data it may see; null for all.';
comment on column api_key.created_at is 'When it was made.';
comment on column api_key.expires_at is 'From when it is refused; null for never.';
comment on column api_key.revoked_at is 'When somebody took it back, or a new key its name after it had expired; null if neither.';
comment on column api_key.last_used_at is 'When it was last used, to about a minute; null for never.';
