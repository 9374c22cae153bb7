-- Which values occur in a field, for the drop-downs of dashboards. No index can list the tags or the
-- channels of millions of rooms, so each value gets a row here when it is first written.
--
-- A writer remembers the rows that it knows to be here (`store/facet.rs`), so an event with nothing
-- new costs some hashing and no statement. Values stay when the last row with them is gone.
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
comment on column facet.value is 'The value, as it is stored there.';
comment on column facet.last_on is 'UTC day of the latest message of a sender that is no customer; else null. Messages of other senders than customers have no index by sender, so their list begins there.';
comment on column facet.channel is 'Channel of a channel integration; else null.';

insert into facet (organization_id, name, value, channel, last_on)
select organization_id, name, value, max(channel), max(last_on)
from (
    select organization_id, 'sender' as name, sender_id as value, null as channel,
        (max(at) at time zone 'UTC')::date as last_on
    from message
    where participant_type is distinct from 'customer'
    group by organization_id, sender_id
    union all
    select distinct organization_id, 'room_status', status, null, null::date from room
    union all
    select distinct organization_id, 'channel', channel, null, null::date from room
    union all
    select distinct organization_id, 'channel_integration', channel_integration_id, channel, null::date
    from room
    union all
    select distinct organization_id, 'tag', unnest(tags), null, null::date from room
    union all
    select distinct organization_id, 'agent', unnest(agent_ids), null, null::date from room
    union all
    select distinct organization_id, 'channel', channel, null, null::date from message
    union all
    select distinct organization_id, 'channel_integration', channel_integration_id, channel, null::date
    from message
    union all
    select distinct organization_id, 'message_type', type, null, null::date from message
    union all
    select distinct organization_id, 'message_status', status, null, null::date from message
    union all
    select distinct organization_id, 'agent', sender_id, null, null::date from sender where type = 'agent'
    union all
    select distinct organization_id, 'template', template_id, null, null::date from broadcast
    union all
    select distinct organization_id, 'channel_integration', channel_integration_id, null, null::date
    from broadcast
    union all
    select distinct organization_id, 'event_kind', kind, null, null::date from event
    union all
    select distinct organization_id, 'event_name', name, null, null::date from event
    union all
    select distinct organization_id, 'endpoint', endpoint, null, null::date from event
) as occurring
where octet_length(value) between 1 and 512
group by organization_id, name, value;
