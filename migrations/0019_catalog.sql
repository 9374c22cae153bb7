-- Names of what webhooks mention only by id, from Qontak's own API.

create table catalog (
    organization_id text        collate "C" not null,
    kind            text        collate "C" not null,
    id              text        collate "C" not null,
    name            text,
    data            jsonb       not null default '{}',
    synced_at       timestamptz,
    constraint catalog_pkey primary key (kind, id, organization_id)
);

comment on table catalog is 'Agents, templates, channel integrations, divisions and contact lists, as of the last sync.';
comment on column catalog.organization_id is 'Organisation.';
comment on column catalog.kind is 'agent, template, channel, division or contact_list.';
comment on column catalog.id is 'Qontak''s id.';
comment on column catalog.name is 'Name; null if Qontak does not list an id that occurs in webhooks.';
comment on column catalog.data is 'Chosen fields of Qontak''s row, never its secrets; {} if Qontak does not list the id.';
comment on column catalog.synced_at is 'Last sync that found the row in Qontak''s list; else the first sync that did not; null if there was none, and a webhook mentioned it.';
