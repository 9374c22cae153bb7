-- Keys of the read API created by `qontak-receiver key`; those of the settings are not stored.
--
-- Each replica caches all live keys and reads them again every few seconds (`read/keys/stored.rs`), so
-- the table needs no other indexes.
--
-- Mekari's HMAC needs the secret itself to check a signature; a hash is not enough. So the secret of an
-- HMAC key is derived from the id of the key and the setting `api.hmac_secret`, and a copy of the
-- database contains no secret. Its SHA-256 is stored like that of any key: it works as a bearer key too,
-- and shows whether the setting is still the one with which the key was created.
create table api_key (
    api_key_id    uuid        not null,
    name          text        collate "C" not null,
    sha256        bytea       not null,
    is_hmac       boolean     not null default false,
    scopes        text[]      not null,
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

comment on table api_key is 'Keys of the read API, as hashes.';
comment on column api_key.api_key_id is 'Id of this service, a UUIDv7.';
comment on column api_key.name is 'Name given by the operator; unique among keys that are not revoked.';
comment on column api_key.sha256 is 'SHA-256 of the key.';
comment on column api_key.is_hmac is 'Whether the secret is derived from api.hmac_secret and api_key_id, so that it can check signatures.';
comment on column api_key.scopes is 'Permissions: read, read_masked, export, replay, write.';
comment on column api_key.organizations is 'Organisations whose data it may read; null for all.';
comment on column api_key.created_at is 'Time of creation.';
comment on column api_key.expires_at is 'Time from which it is refused; null for never.';
comment on column api_key.revoked_at is 'Time it was revoked, or a new key took its name after it had expired; null if neither.';
comment on column api_key.last_used_at is 'Time of the last use, accurate to about a minute; null for never.';

-- The name of an expired key is still taken, because an index knows no clock: creating a key with this
-- name revokes the expired one.
create unique index api_key_by_name on api_key (name) where revoked_at is null;
comment on index api_key_by_name is '`qontak-receiver key`: one live key per name.';
