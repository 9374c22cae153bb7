-- Values that occur in a field, for the drop-downs of dashboards. No index can list the tags or channels
-- of millions of rooms, so a value gets a row here when it is first written.
--
-- Each writer remembers hashes of the rows that it has committed (`store/facet.rs`), so an event without
-- a new value costs no statement. A value stays after the last row with it is gone.
create table facet (
    organization_id text collate "C" not null,
    name            text collate "C" not null,
    value           text collate "C" not null,
    channel         text collate "C",
    last_on         date,
    constraint facet_pkey primary key (organization_id, name, value)
);

comment on table facet is 'Values that occurred in fields by which lists are filtered.';
comment on column facet.organization_id is 'Organisation of the rows with the value; empty if unknown.';
comment on column facet.name is 'The field: agent, channel, channel_integration, endpoint, event_kind, event_name, message_status, message_type, room_status, sender, tag or template.';
comment on column facet.value is 'The value as it is stored there.';
comment on column facet.channel is 'Channel of a channel integration; else null.';
comment on column facet.last_on is 'UTC day of the latest message of a sender that is no customer; else null. Messages of these senders have no index by sender, so their list starts there.';
