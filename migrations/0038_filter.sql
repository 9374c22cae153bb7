-- Filters of the lists, where a list in order of time would have to be read far to find few rows.

-- Rooms without tags, with unread messages, without an agent, blocked ones. Lists walk the indexes of
-- activity, and what stands in these is compared there, without a look at the row: a million rooms
-- take 0.1 s. As columns of their own, because Postgres asks only whether a column has changed (HOT):
-- unread_count changes with each message, is_unread twice in a conversation. An entry grows by 8
-- bytes.
alter table room
    add column is_unread boolean not null generated always as
        (coalesce(unread_count > 0, false)) stored,
    add column is_untagged boolean not null generated always as
        (coalesce(cardinality(tags), 0) = 0) stored,
    add column is_without_agent boolean not null generated always as
        (coalesce(cardinality(agent_ids), 0) = 0 and coalesce(status <> 'assigned', true)) stored;

comment on column room.is_unread is 'Whether unread_count is above 0.';
comment on column room.is_untagged is 'Whether it has no tags.';
comment on column room.is_without_agent is 'Whether no agent is known and the status is not assigned: messages do not name the agents of their room.';

drop index room_by_activity;
create index room_by_activity on room (
    activity_slot, session_hour, is_unread, is_untagged, is_without_agent, is_blocked
);

drop index room_by_organization;
create index room_by_organization on room (
    organization_id, activity_slot, session_hour, is_unread, is_untagged, is_without_agent,
    is_blocked
);

-- Messages of one contact: few of very many. Those of agents and bots are found on the way through
-- all messages; where the last of them is, `facet` tells. With these in the index it would cost some
-- 5 us and 70 bytes of WAL an event, because outgoing messages are updated when they get their id at
-- the channel; without them it costs 1 us and 20 bytes.
create index message_by_sender on message (
    hashtext(organization_id), hashtext(sender_id), at
) where participant_type = 'customer';

-- The next ones have few of all messages, and cost the others nothing. Most messages come through
-- WhatsApp Cloud, so these are soon found without an index; `message_count` knows when there were any.
create index message_by_channel on message (hashtext(organization_id), channel, at)
    where channel <> 'wa_cloud';
create index message_campaign on message (hashtext(organization_id), at)
    where is_campaign is true;
create index message_by_broadcast on message (
    hashtext(organization_id), hashtext(broadcast_id), at
) where broadcast_id is not null;
create index message_by_error on message (hashtext(organization_id), error_code, at)
    where error_code is not null;

-- Events of a rarely used endpoint. In the index of organisations the endpoint takes no more room,
-- because equal entries are kept once.
drop index event_by_organization;
create index event_by_organization on event (organization_id, endpoint);

-- A message that is sent alone through a template is a broadcast to one recipient, so there may be as
-- many broadcasts as logs. One entry for each broadcast, not for its logs.
create index broadcast_by_template on broadcast (template_id, at) where template_id is not null;

-- Recipients were counted by effective status, which cannot tell how many reached a status and failed
-- later. The set of statuses that were seen tells both, and it is what the funnel counts by. A log
-- whose set grows without another status is now counted anew as well.
truncate broadcast_count;
alter table broadcast_count drop constraint broadcast_count_pkey;
alter table broadcast_count drop column status;
alter table broadcast_count add column statuses smallint not null;
alter table broadcast_count add constraint broadcast_count_pkey
    primary key (broadcast_id, organization_id, statuses, session);

comment on table broadcast_count is 'Recipients of broadcasts by the set of their statuses: the sum over all sessions.';
comment on column broadcast_count.statuses is 'broadcast_log.statuses.';
comment on column broadcast_count.count is 'How many came to these statuses, less those that have others now: below 0 where another session counted them first.';

create or replace function count_recipients() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate broadcast_count;
        return null;
    end if;
    if tg_op = 'UPDATE' then
        insert into broadcast_count (organization_id, broadcast_id, statuses, session, count)
        select organization_id, broadcast_id, statuses, pg_backend_pid(), sum(change)
        from (
            select organization_id, broadcast_id, statuses, 1 as change from changed
            union all
            select organization_id, broadcast_id, statuses, -1 from before
        ) as change
        where broadcast_id is not null
        group by organization_id, broadcast_id, statuses
        having sum(change) <> 0
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    else
        insert into broadcast_count (organization_id, broadcast_id, statuses, session, count)
        select
            organization_id, broadcast_id, statuses, pg_backend_pid(),
            case tg_op when 'INSERT' then count(*) else -count(*) end
        from changed
        where broadcast_id is not null
        group by organization_id, broadcast_id, statuses
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    end if;
    return null;
end
$$;

insert into broadcast_count (organization_id, broadcast_id, statuses, session, count)
select organization_id, broadcast_id, statuses, 0, count(*)
from broadcast_log
where broadcast_id is not null
group by organization_id, broadcast_id, statuses;
