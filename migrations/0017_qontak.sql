-- Qontak's own API: refreshed tokens, and the state of the webhook settings there.

-- Qontak replaces the refresh token with each use, so the new pair is stored before it is used.
create table qontak_token (
    name         text collate "C" not null,
    sealed       bytea not null,
    expires_at   timestamptz,
    refreshed_at timestamptz not null default now(),
    constraint qontak_token_pkey primary key (name)
);

comment on table qontak_token is 'Tokens of Qontak''s API, encrypted; one row per organisation that uses them.';
comment on column qontak_token.name is 'Name of the organisation in the settings.';
comment on column qontak_token.sealed is 'Access and refresh token, AES-256-GCM with database.encryption_key: nonce and ciphertext.';
comment on column qontak_token.expires_at is 'Expiry of the access token; null if Qontak did not say.';
comment on column qontak_token.refreshed_at is 'Time of the last refresh.';

-- One replica makes a check per interval: the one that moves checked_at.
create table qontak_check (
    name          text collate "C" not null,
    kind          text collate "C" not null,
    checked_at    timestamptz not null,
    error         text,
    failing_since timestamptz,
    constraint qontak_check_pkey primary key (name, kind)
);

comment on table qontak_check is 'Last check of each kind at Qontak.';
comment on column qontak_check.name is 'Name of the organisation in the settings; empty for the status page.';
comment on column qontak_check.kind is 'hooks (webhook settings), status_page.';
comment on column qontak_check.checked_at is 'When the last check began.';
comment on column qontak_check.error is 'Why the last check failed; null if it did not.';
comment on column qontak_check.failing_since is 'When the first of the failed checks in a row began; null if the last one succeeded.';

create table qontak_hook (
    name        text collate "C" not null,
    event       text collate "C" not null,
    category    text collate "C" not null,
    is_enabled  boolean not null,
    is_wanted   boolean not null,
    own_urls    integer not null,
    other_urls  integer not null,
    problem     text,
    since       timestamptz not null default now(),
    constraint qontak_hook_pkey primary key (name, event)
);

comment on table qontak_hook is 'Webhook settings at Qontak as of the last check that succeeded, one row per organisation and event.';
comment on column qontak_hook.name is 'Name of the organisation in the settings.';
comment on column qontak_hook.event is 'Event that can be switched on, by Qontak''s name.';
comment on column qontak_hook.category is 'Category of the event; its URLs receive all events of the category that are on.';
comment on column qontak_hook.is_enabled is 'Whether it is on for the organisation.';
comment on column qontak_hook.is_wanted is 'Whether the settings of this service want it.';
comment on column qontak_hook.own_urls is 'How often the URL of this service is registered in the category.';
comment on column qontak_hook.other_urls is 'How many other URLs are registered in the category.';
comment on column qontak_hook.problem is 'What is wrong: off, url_missing or url_twice; null if nothing.';
comment on column qontak_hook.since is 'Since when problem has this value.';

create table qontak_status (
    id          text collate "C" not null,
    kind        text collate "C" not null,
    name        text not null,
    status      text not null,
    impact      text,
    started_at  timestamptz,
    url         text,
    constraint qontak_status_pkey primary key (id)
);

comment on table qontak_status is 'Unresolved incidents and maintenance of Qontak''s status page, as of the last check that succeeded.';
comment on column qontak_status.id is 'Id at the status page.';
comment on column qontak_status.kind is 'incident or maintenance.';
comment on column qontak_status.name is 'Title.';
comment on column qontak_status.status is 'Statuspage''s word, such as investigating or in_progress.';
comment on column qontak_status.impact is 'Statuspage''s word, such as minor; null if it has none.';
comment on column qontak_status.started_at is 'Start of the incident, or planned start of the maintenance.';
comment on column qontak_status.url is 'Page about it.';
